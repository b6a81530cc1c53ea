"""Keep the performed procedure steps of modalities as files: python -m samples.mpps_scp FOLDER --port 11112"""

import argparse
from functools import partial
from pathlib import Path
from threading import Lock

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dicom import status
from dicom.datasets import SYNTAXES, data_set, decode, read_file, write_file
from dicom.dimse import Association, CommandField, Failed, Message, SimpleAcceptor, ThreadedServer
from dicom.sop_classes import MODALITY_PERFORMED_PROCEDURE_STEP as MPPS
from dicom.values import is_uid

IN_PROGRESS, FINAL = "IN PROGRESS", ("COMPLETED", "DISCONTINUED")
TOO_LATE = "Performed Procedure Step Object may no longer be updated"  # PS3.4 Table F.7.2-2


def merged(path: Path, sent: Dataset, *, creates: bool) -> Dataset:
    """The step after this N-CREATE or N-SET (PS3.4 F.7.2)."""
    if path.exists() == creates:
        raise Failed(status.DUPLICATE_INSTANCE if creates else status.NO_SUCH_INSTANCE)
    step = data_set() if creates else read_file(path)
    if step.get("PerformedProcedureStepStatus") in FINAL:
        raise Failed(status.PROCESSING_FAILURE, TOO_LATE, error_id=0xA710)
    step.update(sent)
    if step.get("PerformedProcedureStepStatus") not in ((IN_PROGRESS,) if creates else (IN_PROGRESS, *FINAL)):
        raise Failed(status.INVALID_ATTRIBUTE_VALUE)
    return step


def handle(folder: Path, lock: Lock, assoc: Association, message: Message) -> None:
    command, creates = message.command, message.command.command_field == CommandField.N_CREATE
    if not creates and command.command_field != CommandField.N_SET:
        raise Failed(status.UNRECOGNIZED_OPERATION)
    uid = command.affected_sop_instance_uid or command.requested_sop_instance_uid or generate_uid()
    if not is_uid(uid):  # it becomes a name
        raise Failed(status.INVALID_INSTANCE)
    path, sent = folder / f"{uid}.dcm", decode(message.read(), message.context.transfer_syntax)
    with lock:  # associations have a thread each
        write_file(path, merged(path, sent, creates=creates), sop_class_uid=MPPS, sop_instance_uid=uid)
    assoc.respond(message, status.SUCCESS, affected_sop_instance_uid=uid)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=11112, help="0: any that is free")
    args = parser.parse_args()
    acceptor = SimpleAcceptor({MPPS: (SYNTAXES, partial(handle, args.folder, Lock()))})
    with ThreadedServer(("", args.port), acceptor) as server:
        print(f"Listening on port {server.port}; Ctrl-C ends", flush=True)
        server.wait()
