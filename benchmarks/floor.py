"""What the disk alone allows: the durable write of one instance, and nothing else."""

import os
import threading
import time
from pathlib import Path


def durable_writes(folder: Path, *, size: int, count: int, threads: int) -> float:
    """Seconds for `count` files by `threads` at once: write, fdatasync, rename to another directory, fsync of that."""
    temporary, ready = folder / "tmp", folder / "ready"
    for path in (temporary, ready):
        path.mkdir(parents=True, exist_ok=True)
    content = os.urandom(size)
    first = time.time_ns()  # names are never used again, and nothing is deleted: see `data.Supply`
    workers = [
        threading.Thread(target=_write, args=(temporary, ready, content, range(first + number, first + count, threads)))
        for number in range(threads)
    ]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - begin


def _write(temporary: Path, ready: Path, content: bytes, numbers: range) -> None:
    directory = os.open(ready, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number in numbers:
            descriptor = os.open(temporary / str(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fdatasync(descriptor)
            os.close(descriptor)
            os.rename(temporary / str(number), ready / str(number))
            os.fsync(directory)
    finally:
        os.close(directory)
