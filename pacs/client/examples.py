"""What `--help` of each verb ends with."""

from collections.abc import Mapping
from typing import Final

EXIT: Final = """exit status:
  0  the peer did all of it
  1  it refused or failed some
  2  there was no association, or the command line is wrong
  130  somebody pressed Ctrl-C"""

_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "echo": ("CT1", "PACS@10.0.0.5:104", "--tls --ca ca.pem PACS@archive.example:2762"),
    "store": ("archive study/ one.dcm", "--json PACS@10.0.0.5:104 study/"),
    "find": (
        "archive -k PatientName='Doe*' -k StudyDate=20260101-",
        "archive,mirror -k PatientID=17                # both at once: one list that says who has it",
        "archive --level series -k StudyInstanceUID=1.2.3 -k Modality=CT",
        "archive --json --limit 10 -k RequestAttributesSequence.RequestedProcedureID=7",
    ),
    "get": ("archive --to study/ -k StudyInstanceUID=1.2.3",),
    "move": ("archive --destination WS -k StudyInstanceUID=1.2.3", "archive -k StudyInstanceUID=1.2.3   # to us"),
    "worklist": ("ris -k ScheduledProcedureStepStartDate=20261127 -k Modality=CT", "ris --import"),
    "mpps": (
        "ris create -k PatientID=17 -k PatientName=Doe^Jane -k Modality=CT",
        "ris complete 1.2.3.4 --file series.json",
        "ris get 1.2.3.4",
    ),
    "commit": ("archive study/", "archive -k StudyInstanceUID=1.2.3 --listen 11112"),
}


def of(verb: str) -> str:
    lines = "\n".join(f"  manage.py dicom {verb} {example}" for example in _OF[verb])
    return f"examples:\n{lines}\n\n{EXIT}"
