"""What every process that has the rows of the archive can do with them."""

import subprocess
import sys
from pathlib import Path

from tests.node import ROOT

ASKS = """
from apps.storage.models import Instance
print(Instance.objects.filter(sop_instance_uid__any_of=["1.2.3"]).query)
"""


def test_columns_know_their_lookups_wherever_django_is(tmp_path: Path) -> None:
    code = f"import django\ndjango.setup()\n{ASKS}"
    environment = {"DJANGO_SETTINGS_MODULE": "pacs.settings", "PATH": "", "PACS_DATA": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "1.2.3" in run.stdout, run.stderr
