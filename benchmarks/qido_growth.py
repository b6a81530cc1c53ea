"""QIDO-RS of studies on a large archive: HTTP to a web process of its own on the database that `growth` has filled."""

import base64
import random
import secrets
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import User

from benchmarks.processes import PeerMissing, Program
from benchmarks.web import Connection

ROOT = Path(__file__).resolve().parent.parent
ACCEPT = "application/dicom+json"
_START_SECONDS = 60

Parameters = dict[str, Any]


def measure(connection: Connection, questions: Sequence[Parameters]) -> tuple[list[float], list[int]]:
    """Milliseconds of each request, and how many bytes came."""
    milliseconds, sizes = [], []
    for question in questions:
        answer = connection.ask(f"/dicomweb/studies?{urlencode(question)}", accept=ACCEPT)
        if answer.status != 200:
            raise PeerMissing(f"{question} is answered with {answer.status}")
        milliseconds.append(answer.seconds * 1000)
        sizes.append(len(answer.content))
    return milliseconds, sizes


def report(
    kinds: Sequence[tuple[str, Callable[[random.Random], Parameters]]],
    *,
    studies: int,
    runs: int,
    percentile: Callable[[Sequence[float], float], float],
) -> None:
    print(f"| QIDO-RS at {studies:,} studies, ms | bytes | p50 | p95 |\n|---|---:|---:|---:|")
    with _serving() as connection:
        for name, drawn in kinds:
            questions = [drawn(random.Random(f"{name} {run}")) for run in range(-3, runs)]
            milliseconds, sizes = measure(connection, questions)
            figures = " | ".join(f"{percentile(milliseconds[3:], part):.1f}" for part in (0.5, 0.95))
            print(f"| {name} | {statistics.median(sizes[3:]):,.0f} | {figures} |", flush=True)


@contextmanager
def _serving() -> Iterator[Connection]:
    """Signed in with Basic credentials."""
    name, password = f"benchmark-{secrets.token_hex(4)}", secrets.token_urlsafe(16)
    user = User.objects.create_superuser(name, password=password)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="pacs-qido-") as folder:
        program = Program(
            argv=[sys.executable, "-m", "gunicorn", "-c", "python:pacs.gunicorn", "--chdir", str(ROOT), "pacs.wsgi"],
            folder=Path(folder),
            environment={"PACS_DATA": folder, "PACS_HTTP": f"127.0.0.1:{port}", "PYTHONPATH": str(ROOT)},
        )
        program.start()
        try:
            _wait(program, port)
            credentials = base64.b64encode(f"{name}:{password}".encode()).decode()
            with Connection(port, {"Authorization": f"Basic {credentials}"}) as connection:
                yield connection
        finally:
            program.stop()
            user.delete()


def _wait(program: Program, port: int) -> None:
    for _ in range(_START_SECONDS * 10):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise PeerMissing(f"The web process does not answer: {program.log()[-2000:]}")
