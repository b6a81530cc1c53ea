"""Take whatever comes into a folder, one file an instance: python -m samples.store_scp FOLDER --port 11112"""

import argparse
from functools import partial
from pathlib import Path

from dicom import status
from dicom.dimse import Association, Failed, Message, SimpleAcceptor, ThreadedServer
from dicom.part10 import write_file
from dicom.sop_classes import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from dicom.values import is_uid


def store(folder: Path, assoc: Association, message: Message) -> None:
    uid = message.command.affected_sop_instance_uid
    if not is_uid(uid):  # it becomes a name
        raise Failed(status.STORE_CANNOT_UNDERSTAND, "Not a UID")
    try:
        write_file(
            folder / f"{uid}.dcm",
            message.fragments(),  # as they come: never the whole data set in memory
            sop_class_uid=message.command.affected_sop_class_uid,
            sop_instance_uid=uid,
            transfer_syntax_uid=message.context.transfer_syntax,
        )
    except OSError as error:
        raise Failed(status.STORE_OUT_OF_RESOURCES, error.strerror or "") from error
    assoc.respond(message, status.SUCCESS)
    print(f"{uid} from {assoc.calling_ae_title}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=11112, help="0: any that is free")
    args = parser.parse_args()
    service = (TRANSFER_SYNTAXES, partial(store, args.folder))
    with ThreadedServer(("", args.port), SimpleAcceptor(dict.fromkeys(STORAGE_SOP_CLASSES, service))) as server:
        print(f"Listening on port {server.port}; Ctrl-C ends", flush=True)
        server.wait()
