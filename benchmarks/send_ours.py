"""Our engine alone sends a folder over one association: `python -m benchmarks.send_ours PORT AE_TITLE FOLDER`."""

import os
import sys
from pathlib import Path

from dicom.dimse import Association, FileSlice, associate
from dicom.part10 import read_meta


def store(assoc: Association, path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        meta = read_meta(descriptor)
        context = assoc.context_for(meta.sop_class_uid, meta.transfer_syntax_uid)
        if context is None:
            raise SystemExit(f"{path}: no context for {meta.sop_class_uid}")
        size = os.fstat(descriptor).st_size - meta.dataset_offset
        response = assoc.c_store(
            context=context,
            sop_class_uid=meta.sop_class_uid,
            sop_instance_uid=meta.sop_instance_uid,
            data=FileSlice(descriptor, meta.dataset_offset, size),
        )
    finally:
        os.close(descriptor)
    if response.status != 0:
        raise SystemExit(f"{path}: {response.status:04X}")


def main(port: int, ae_title: str, folder: Path) -> None:
    paths = sorted(folder.glob("*.dcm"))
    with paths[0].open("rb") as file:
        first = read_meta(file.fileno())
    contexts = [(first.sop_class_uid, [first.transfer_syntax_uid])]
    with associate("127.0.0.1", port, calling_ae_title="BENCH", called_ae_title=ae_title, contexts=contexts) as assoc:
        for path in paths:
            store(assoc, path)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
