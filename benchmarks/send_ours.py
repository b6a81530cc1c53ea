"""Our engine alone sends a folder over one association: `python -m benchmarks.send_ours PORT AE_TITLE FOLDER`.

The next file is opened and read while the response to the one before is awaited.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from dicom.dimse import Association, FileSlice, Scratch, associate
from dicom.part10 import Meta, read_meta


@dataclass(frozen=True, slots=True)
class Ready:
    path: Path
    meta: Meta
    data: memoryview


def ready(paths: list[Path]) -> Iterator[Ready]:
    memory = Scratch(1)
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            content = memory.read(FileSlice(descriptor, 0, os.fstat(descriptor).st_size))
        finally:
            os.close(descriptor)
        meta = read_meta(content)
        yield Ready(path, meta, content[meta.dataset_offset :])


def store(assoc: Association, paths: list[Path]) -> None:
    files = ready(paths)
    following = [next(files)]
    while following:
        file = following.pop()
        context = assoc.context_for(file.meta.sop_class_uid, file.meta.transfer_syntax_uid)
        if context is None:
            raise SystemExit(f"{file.path}: no context for {file.meta.sop_class_uid}")
        response = assoc.c_store(
            context=context,
            sop_class_uid=file.meta.sop_class_uid,
            sop_instance_uid=file.meta.sop_instance_uid,
            data=file.data,
            meanwhile=lambda: following.extend(islice(files, 1)),
        )
        if response.status != 0:
            raise SystemExit(f"{file.path}: {response.status:04X}")


def main(port: int, ae_title: str, folder: Path) -> None:
    paths = sorted(folder.glob("*.dcm"))
    with paths[0].open("rb") as file:
        first = read_meta(file.fileno())
    contexts = [(first.sop_class_uid, [first.transfer_syntax_uid])]
    with associate("127.0.0.1", port, calling_ae_title="BENCH", called_ae_title=ae_title, contexts=contexts) as assoc:
        store(assoc, paths)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
