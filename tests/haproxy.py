"""A TCP balancer before nodes: haproxy, which says by the PROXY protocol who called it."""

import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.node import free_port, listens, wait_for
from tests.peers import peer

SETTINGS = """
global
    stats socket {folder}/admin.sock
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m
listen dicom
    bind 127.0.0.1:{port}
    balance roundrobin
{servers}
"""


class Balancer:
    """Before DIMSE ports of this machine, each looked at every 200 ms."""

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        self.program = peer("haproxy")
        self.port = free_port()
        self.folder = folder
        options = "send-proxy-v2 check inter 200"
        servers = "\n".join(f"    server node{n} 127.0.0.1:{port} {options}" for n, port in enumerate(ports))
        self.settings = folder / "haproxy.cfg"
        self.settings.write_text(SETTINGS.format(folder=folder, port=self.port, servers=servers))

    def like(self, given: str, places: Mapping[str, str]) -> Self:
        """With settings made for elsewhere; `places` says what stands here for an address there."""
        text = f"global\n    stats socket {self.folder}/admin.sock\n{given}"
        for there, here in {**places, ":11112": f"127.0.0.1:{self.port}"}.items():
            text = text.replace(there, here)
        self.settings.write_text(text)
        return self

    def __enter__(self) -> Self:
        with (self.folder / "haproxy.out").open("wb") as output:
            self.process = subprocess.Popen(
                [self.program, "-db", "-f", self.settings], stdout=output, stderr=subprocess.STDOUT
            )
        wait_for(lambda: self._runs() and listens(self.port), what="haproxy listens")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)

    def _runs(self) -> bool:
        assert self.process.poll() is None, (self.folder / "haproxy.out").read_text()
        return True

    def servers(self) -> list[str]:
        """What it knows of its servers: UP, DOWN, ..."""
        rows = [line.split(",") for line in self._ask("show stat").splitlines() if line.startswith("dicom,")]
        return [row[17] for row in rows if row[1] not in ("FRONTEND", "BACKEND")]

    def _ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(str(self.folder / "admin.sock"))
            asked.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: asked.recv(65536), b"")).decode()
