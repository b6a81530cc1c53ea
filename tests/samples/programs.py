"""The samples and their peers as programs, ended with their test."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.node import ROOT, free_port, wait_for
from tests.peers import peer

SAMPLES = ROOT / "samples"
HOST = "127.0.0.1"


def sample(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs an SCU to its end."""
    return _finished([sys.executable, "-m", f"samples.{name}", *map(str, arguments)])


def program(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs somebody else's to its end."""
    return _finished([peer(name), *map(str, arguments)])


def _finished(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TCP_NODELAY": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def serving(name: str, *arguments: object) -> Iterator[int]:
    """The port of an SCP among the samples."""
    command = [sys.executable, "-m", f"samples.{name}", *map(str, arguments), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().removeprefix("Listening on port ").partition(";")[0])
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0, "Ctrl-C is no orderly end"


@contextmanager
def running(name: str, *arguments: object, port: int | None = None) -> Iterator[int]:
    """The port of somebody else's SCP; `PORT` among the arguments stands for it."""
    port = port or free_port()
    command = [peer(name), *(str(port) if argument == "PORT" else str(argument) for argument in arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: _listens(port), what=f"{name} listens")
            yield port
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def files(folder: Path) -> list[Dataset]:
    return [dcmread(path) for path in sorted(folder.iterdir())]
