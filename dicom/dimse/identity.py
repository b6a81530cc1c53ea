"""What we call ourselves (PS3.7 D.3.3.2)."""

import re
from pathlib import Path

IMPLEMENTATION_CLASS_UID = "1.2.826.0.1.3680043.10.1461.1"


def _version_name() -> str:
    """PACS_ and the newest heading of the change log: 16 characters at most."""
    log = Path(__file__).resolve().parents[2] / "CHANGELOG.md"
    found = re.search(r"^## (\d[\w.]*)", log.read_text(encoding="utf-8"), re.MULTILINE) if log.is_file() else None
    return f"PACS_{found[1]}"[:16] if found else "PACS"


IMPLEMENTATION_VERSION_NAME = _version_name()
