"""Commit to the DICOM files in a folder: python -m samples.commit_scp FOLDER --port 11112"""

import argparse
from functools import partial
from pathlib import Path
from threading import Thread

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from dicom import commitment, status
from dicom.commitment import Commitment, Reference
from dicom.datasets import SYNTAXES
from dicom.dimse import Association, CommandField, Failed, Message, SimpleAcceptor, ThreadedServer
from dicom.errors import DicomError
from dicom.sop_classes import STORAGE_COMMITMENT_PUSH as PUSH


def kept(folder: Path) -> dict[str, str]:
    """SOP class by SOP instance."""
    found = {}
    for path in folder.rglob("*"):
        try:
            ds = dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"])
            found[str(ds.SOPInstanceUID)] = str(ds.SOPClassUID)
        except (InvalidDicomError, OSError, AttributeError):
            continue
    return found


def report(folder: Path, assoc: Association, message: Message, asked: Commitment) -> None:
    here, references = kept(folder), []
    for each in asked.references:
        wrong = status.CLASS_INSTANCE_CONFLICT if each.sop_instance_uid in here else status.NO_SUCH_INSTANCE
        good = here.get(each.sop_instance_uid) == each.sop_class_uid
        references.append(Reference(each.sop_class_uid, each.sop_instance_uid, 0 if good else wrong))
    event, data = commitment.report(asked.transaction_uid, references, message.context.transfer_syntax)
    named = {"sop_class_uid": PUSH, "sop_instance_uid": commitment.INSTANCE}
    try:
        assoc.n_event_report(context=message.context, event_type_id=event, data=data, **named).check()
    except DicomError as error:
        print(f"{asked.transaction_uid} not reported: {error}", flush=True)


def handle(folder: Path, assoc: Association, message: Message) -> None:
    if message.command.command_field != CommandField.N_ACTION or message.command.action_type_id != commitment.REQUEST:
        raise Failed(status.NO_SUCH_ACTION)
    asked = commitment.read(message.read(), message.context.transfer_syntax, most=100_000)
    assoc.respond(message, status.SUCCESS)
    Thread(target=report, args=(folder, assoc, message, asked)).start()  # while this one reads on


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", type=Path)
parser.add_argument("--port", type=int, default=11112, help="0: any that is free")
args = parser.parse_args()
with ThreadedServer(("", args.port), SimpleAcceptor({PUSH: (SYNTAXES, partial(handle, args.folder))})) as server:
    print(f"Listening on port {server.port}; Ctrl-C ends", flush=True)
    server.wait()
