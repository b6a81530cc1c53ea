from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# Codes of our own scheme (PS3.16 8.2: private ones begin with 99), for a house to replace by those of its catalogue.
SCHEME = "99PACS"
FIRST = (
    # modality, name, code, minutes
    ("CT", "CT head", "CTHEAD", 15),
    ("CT", "CT chest", "CTCHEST", 15),
    ("CT", "CT abdomen and pelvis with contrast", "CTABDPELC", 20),
    ("MR", "MR brain", "MRBRAIN", 30),
    ("MR", "MR lumbar spine", "MRLSPINE", 30),
    ("MR", "MR knee", "MRKNEE", 30),
    ("DX", "X-ray chest, two views", "DXCHEST2", 10),
    ("DX", "X-ray hand", "DXHAND", 10),
    ("US", "Ultrasound abdomen", "USABDOMEN", 20),
    ("US", "Ultrasound neck and thyroid", "USNECK", 20),
    ("MG", "Screening mammography, both sides", "MGSCREEN", 15),
    ("MG", "Diagnostic mammography", "MGDIAG", 20),
    ("XA", "Coronary angiography", "XACORO", 60),
    ("NM", "Whole-body bone scan", "NMBONE", 45),
    ("PT", "PET/CT whole body, FDG", "PTCTFDG", 45),
)


def add(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    templates = apps.get_model("worklist", "ProcedureTemplate")
    for modality, name, code, minutes in FIRST:
        codes = [
            {
                "00080100": {"vr": "SH", "Value": [code]},
                "00080102": {"vr": "SH", "Value": [SCHEME]},
                "00080104": {"vr": "LO", "Value": [name]},
            }
        ]
        templates.objects.get_or_create(
            name=name,
            defaults={
                "modality": modality,
                "requested_procedure_description": name,
                "requested_procedure_code_sequence": codes,
                "scheduled_procedure_step_description": name,
                "scheduled_protocol_code_sequence": codes,
                "duration_minutes": minutes,
            },
        )


class Migration(migrations.Migration):
    dependencies = [("worklist", "0003_step_start_index")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
