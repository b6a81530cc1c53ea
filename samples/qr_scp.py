"""Query and retrieve over a folder: python -m samples.qr_scp FOLDER --port 11112 --destination STORE=127.0.0.1:11113"""

import argparse
from functools import partial
from pathlib import Path

from dicom import status
from dicom.answering import Entry, Question, read_entry
from dicom.datasets import SYNTAXES
from dicom.dimse import Association, Failed, Message, SimpleAcceptor, ThreadedServer, associate
from dicom.encoding import encode_elements, read_identifier
from dicom.sop_classes import STORAGE_SOP_CLASSES, STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE, TRANSFER_SYNTAXES
from dicom.tally import Tally
from samples.store_scp import store
from samples.store_scu import contexts_for, send


def matching(folder: Path, message: Message) -> tuple[Question, list[Entry]]:
    question = Question(read_identifier(message.read(), message.context.transfer_syntax))
    entries = map(read_entry, sorted(folder.rglob("*.dcm")))
    return question, [entry for entry in entries if question.fits(entry.identifier)]


def find(folder: Path, assoc: Association, message: Message) -> None:
    question, found = matching(folder, message)
    for entry in {entry.identifier.text(question.unique_key): entry for entry in found}.values():
        answer = encode_elements(question.answer(entry.identifier), message.context.transfer_syntax)
        assoc.respond(message, status.PENDING, data_set=answer)
    assoc.respond(message, status.SUCCESS)


def retrieve(folder: Path, destinations: dict[str, str], assoc: Association, message: Message) -> None:
    (_, found), title = matching(folder, message), message.command.move_destination
    if not title:  # C-GET: on this association
        Tally(found).run(assoc, message, lambda entry: send(assoc, entry.path, entry.meta))
    elif title not in destinations:
        raise Failed(status.RETRIEVE_DESTINATION_UNKNOWN)
    else:
        (host, port), contexts = destinations[title].split(":"), contexts_for(entry.meta for entry in found)
        us, move_originator = assoc.called_ae_title, (assoc.calling_ae_title, message.command.message_id)
        with associate(host, int(port), calling_ae_title=us, called_ae_title=title, contexts=contexts) as other:
            Tally(found).run(assoc, message, lambda entry: send(other, entry.path, entry.meta, move_originator))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=11112, help="0: any that is free")
    parser.add_argument("--destination", action="append", default=[], metavar="AET=HOST:PORT", help="of C-MOVE")
    args = parser.parse_args()
    at = partial(retrieve, args.folder, dict(text.split("=", 1) for text in args.destination))
    services = dict.fromkeys(STORAGE_SOP_CLASSES, (TRANSFER_SYNTAXES, partial(store, args.folder)))
    services |= {STUDY_ROOT_GET: (SYNTAXES, at), STUDY_ROOT_MOVE: (SYNTAXES, at)}
    services[STUDY_ROOT_FIND] = (SYNTAXES, partial(find, args.folder))
    with ThreadedServer(("", args.port), SimpleAcceptor(services)) as server:
        print(f"Listening on port {server.port}; Ctrl-C ends", flush=True)
        server.wait()
