"""PostgreSQL looks closer at columns searched by prefix.

With a hundred samples it takes `KRU*` for a handful of a million studies, and then sorts ten thousand for each page
instead of walking the index: 96 ms a page, 13 ms with a thousand samples.
"""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

SAMPLES = 1000
COLUMNS = (
    ("storage_patient", "patient_id"),
    ("storage_patient", "patient_name_key"),
    ("storage_study", "accession_number"),
    ("storage_study", "referring_physician_name_key"),
)


def set_statistics(schema_editor: BaseDatabaseSchemaEditor, samples: int) -> None:
    if schema_editor.connection.vendor == "postgresql":
        for table, column in COLUMNS:
            schema_editor.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS {samples}")


def forwards(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    set_statistics(schema_editor, SAMPLES)


def backwards(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    set_statistics(schema_editor, -1)


class Migration(migrations.Migration):
    dependencies = [("storage", "0001_initial")]
    operations = [migrations.RunPython(forwards, backwards)]
