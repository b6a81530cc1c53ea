"""DCMTK's storescp, which keeps what it is sent as it came."""

import subprocess
from pathlib import Path

from apps.storage.attempts import Outcome
from apps.storage.scu import Kind, Sender
from apps.storage.sources import Source
from tests.node import free_port, listens, wait_for
from tests.peers import peer


class StoreScp:
    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        folder.mkdir()
        self.port = free_port()
        command = [peer("storescp"), "--bit-preserving", *options, "-od", str(folder), str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: listens(self.port), what="storescp listens")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())

    def sender(self, kinds: set[Kind]) -> Sender:
        return Sender(
            host="127.0.0.1", port=self.port, called_ae_title="STORESCP", calling_ae_title="PACS", kinds=kinds
        )

    def take(self, *sources: Source) -> list[Outcome]:
        kinds = {(source.sop_class_uid, source.transfer_syntax_uid) for source in sources}
        with self.sender(kinds) as sender:
            return [sender.send(source) for source in sources]
