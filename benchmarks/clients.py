"""Clients under measurement: commands started together, timed from the first start to the last end."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import PeerMissing

DEADLINE = 900.0  # seconds after which a client is killed


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Wall clock, and the processor time of the clients and their children."""

    seconds: float
    cpu_seconds: float


def _kill(running: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in running:
        process.kill()


def run_together(commands: Sequence[Sequence[str]], *, environment: Mapping[str, str], folder: Path) -> Elapsed:
    """Start all commands at once and wait for the last; one that fails is an error."""
    folder.mkdir(parents=True, exist_ok=True)
    outputs = [folder / f"client-{number}.txt" for number in range(len(commands))]
    merged = {**os.environ, **environment}
    files = [output.open("wb") for output in outputs]
    begin = time.perf_counter()
    running = [
        subprocess.Popen(argv, cwd=folder, env=merged, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
        for argv, file in zip(commands, files, strict=True)
    ]
    cpu, failed = 0.0, []
    alarm = threading.Timer(DEADLINE, _kill, [running])
    alarm.start()
    try:
        for process, argv, output in zip(running, commands, outputs, strict=True):
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            cpu += used.ru_utime + used.ru_stime
            if process.returncode:
                failed.append(
                    f"{argv[0]} ended with {process.returncode}: {output.read_text(errors='replace')[-2000:]}"
                )
        elapsed = time.perf_counter() - begin
    finally:
        alarm.cancel()
        for process, file in zip(running, files, strict=True):
            if process.returncode is None:
                process.kill()
            file.close()
    if failed:
        raise PeerMissing("\n".join(failed))
    return Elapsed(seconds=elapsed, cpu_seconds=cpu)
