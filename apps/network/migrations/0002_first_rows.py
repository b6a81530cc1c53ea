"""The version of the configuration, and the default trust: who calls from this machine may do everything."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

SERVICES = ["echo", "store", "find", "move", "get", "worklist", "mpps", "commitment"]


def make(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("network", "ConfigVersion").objects.create(version=1)
    apps.get_model("network", "Peer").objects.create(
        name="loopback", ae_title="*", address_ranges="127.0.0.0/8\n::1/128", services=SERVICES
    )


class Migration(migrations.Migration):
    dependencies = [("network", "0001_initial")]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
