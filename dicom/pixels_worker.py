"""The process that runs pixel codecs: one job at a time from `dicom.pixels`, under limits that the kernel keeps.

A codec that crashes, hangs or wants all memory ends this process and nothing else. Never imported by the others: numpy
and the codecs stay out of their memory.
"""

import argparse
import fcntl
import json
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

from dicom.decoding import decompress, frames
from dicom.drawing import render
from dicom.errors import DicomError

# Called with the open source and output and the arguments of the request; what it returns, in JSON, is the answer.
Job = Callable[..., dict[str, Any] | None]

JOBS: Final[dict[str, Job]] = {
    "decompress": decompress,
    "frames": frames,
    "render": render,
}
_LONGEST_REQUEST: Final = 16 << 20


def perform(request: dict[str, Any], source: int, output: int) -> dict[str, Any]:
    """Does a job: its answer, and a comment, which says why it cannot be done or is empty."""
    try:
        return {"comment": "", "answer": JOBS[request["job"]](source, output, **request["arguments"]) or {}}
    except DicomError as error:
        comment = str(error)
    except MemoryError:
        comment = "the image needs more memory than the decoder may use"
    except OSError as error:
        comment = f"the decoded image cannot be written: {error.strerror}"
    except Exception as error:  # noqa: BLE001 - codecs raise anything; this is where it is answered
        reason = " ".join(str(error).split())[:300]
        comment = f"the codec failed: {type(error).__name__}: {reason}"
    return {"comment": comment, "answer": {}}


def limit_process(memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold an image


def limit_job(client: socket.socket, seconds: float) -> None:
    """Kernel's alarms with their default action, so that not even a codec that never returns outlives them."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime + seconds) + 1, hard))
    # The client says nothing while we work: any event on the socket is its end, and SIGIO ours.
    fcntl.fcntl(client, fcntl.F_SETOWN, os.getpid())
    _notify(client, True)
    if _has_gone(client):
        sys.exit(0)


def unlimit_job(client: socket.socket) -> None:
    _notify(client, False)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _notify(client: socket.socket, wanted: bool) -> None:
    flags = fcntl.fcntl(client, fcntl.F_GETFL)
    fcntl.fcntl(client, fcntl.F_SETFL, flags | os.O_ASYNC if wanted else flags & ~os.O_ASYNC)


def _has_gone(client: socket.socket) -> bool:
    try:
        return not client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False


def serve(client: socket.socket) -> None:
    """Jobs until the client closes its end: a line of JSON with two open files in, a line of JSON out."""
    while True:
        data, files, _, _ = socket.recv_fds(client, 1 << 16, 2)
        while data and not data.endswith(b"\n") and len(data) < _LONGEST_REQUEST and (more := client.recv(1 << 20)):
            data += more
        if not data.endswith(b"\n"):
            return
        request = json.loads(data)
        try:
            limit_job(client, request["seconds"])
            done = perform(request, *files)
            unlimit_job(client)
        finally:
            for file in files:
                os.close(file)
        client.sendall(json.dumps(done).encode() + b"\n")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="dicom.pixels_worker", description=__doc__)
    parser.add_argument("--socket", type=int, required=True, help="an inherited Unix socket")
    parser.add_argument("--memory", type=int, required=True, help="bytes of address space")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # pydicom logs what it then raises
    limit_process(options.memory)
    serve(socket.socket(fileno=options.socket))


if __name__ == "__main__":
    main(sys.argv[1:])
