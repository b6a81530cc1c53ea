"""Serve a folder of DICOM worklist files (*.wl): python -m samples.worklist_scp FOLDER --port 11112"""

import argparse
from functools import partial
from pathlib import Path

from dicom import status
from dicom.answering import Question, read_entry
from dicom.dimse import Association, Failed, Message, SimpleAcceptor, ThreadedServer
from dicom.encoding import Identifier, encode_elements, read_identifier
from dicom.errors import InvalidDataSet
from dicom.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, MODALITY_WORKLIST_FIND

STEPS, START_DATE, START_TIME = 0x00400100, 0x00400002, 0x00400003


def start(entry: Identifier) -> tuple[str, str]:
    return min(((step.text(START_DATE), step.text(START_TIME)) for step in entry.items(STEPS)), default=("", ""))


def find(folder: Path, assoc: Association, message: Message) -> None:
    syntax = message.context.transfer_syntax
    try:
        question = Question(read_identifier(message.read(), syntax))
    except InvalidDataSet as error:
        raise Failed(status.IDENTIFIER_MISMATCH, str(error)) from error
    for entry in sorted((read_entry(path).identifier for path in folder.glob("*.wl")), key=start):
        if assoc.is_cancelled(message):
            raise Failed(status.CANCEL)
        if question.fits(entry):
            assoc.respond(message, status.PENDING, data_set=encode_elements(question.answer(entry), syntax))
    assoc.respond(message, status.SUCCESS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=11112, help="0: any that is free")
    args = parser.parse_args()
    syntaxes = [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN]
    services = {MODALITY_WORKLIST_FIND: (syntaxes, partial(find, args.folder))}
    with ThreadedServer(("", args.port), SimpleAcceptor(services)) as server:
        print(f"Listening on port {server.port}; Ctrl-C ends", flush=True)
        server.wait()


if __name__ == "__main__":
    main()
