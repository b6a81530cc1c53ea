"""Send DICOM files as they are, straight from disk: python -m samples.store_scu 127.0.0.1 11112 FILE..."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from dicom import status
from dicom.dimse import Association, FileSlice, associate
from dicom.part10 import Meta, read_meta


def meta_of(path: Path) -> Meta:
    with open(path, "rb") as file:
        return read_meta(file.fileno())


def contexts_for(metas: Iterable[Meta]) -> list[tuple[str, list[str]]]:
    """One for each kind of file, so that the peer cannot choose a transfer syntax that we do not have; at most 128."""
    kinds = {(meta.sop_class_uid, meta.transfer_syntax_uid) for meta in metas}
    return [(sop_class_uid, [transfer_syntax_uid]) for sop_class_uid, transfer_syntax_uid in sorted(kinds)]


def send(assoc: Association, path: Path, meta: Meta, originator: tuple[str, int] | None = None) -> tuple[int, str]:
    """Status and comment; `originator` is who asked for it by C-MOVE, and his message."""
    context = assoc.context_for(meta.sop_class_uid, meta.transfer_syntax_uid)
    if context is None:  # `dicom.reencode` could help
        return status.SOP_CLASS_NOT_SUPPORTED, "Not taken as it is stored"
    with open(path, "rb") as file:
        response = assoc.c_store(
            context=context,
            sop_class_uid=meta.sop_class_uid,
            sop_instance_uid=meta.sop_instance_uid,
            data=FileSlice.rest(file.fileno(), meta.dataset_offset),
            move_originator=originator,
        )
    return response.status, response.command.error_comment


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--calling", default="SAMPLE", help="our AE title")
    parser.add_argument("--called", default="PACS", help="theirs")
    args = parser.parse_args()
    metas, failures = {path: meta_of(path) for path in args.files}, 0
    contexts = contexts_for(metas.values())
    with associate(
        args.host, args.port, calling_ae_title=args.calling, called_ae_title=args.called, contexts=contexts
    ) as assoc:
        for path, meta in metas.items():
            answer, comment = send(assoc, path, meta)
            failures += not (status.is_success(answer) or status.is_warning(answer))
            print(f"{answer:04X} {path} {comment}")
    raise SystemExit(1 if failures else 0)
