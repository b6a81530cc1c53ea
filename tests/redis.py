"""A Redis of a test's own."""

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.node import free_port, listens, wait_for
from tests.peers import peer


class Redis:
    def __init__(self, folder: Path) -> None:
        self.program = peer("redis-server")
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        command = [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with (self.folder / "redis.out").open("wb") as output:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=output, stderr=subprocess.STDOUT)
        wait_for(lambda: listens(self.port), what="Redis listens")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
