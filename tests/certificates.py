"""Certificates for a test, each its own authority."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.peers import peer


@dataclass(frozen=True, slots=True)
class Certificate:
    """For localhost; files, and what is in them."""

    key: Path
    pem: Path

    @classmethod
    def make(cls, folder: Path, name: str = "localhost") -> Self:
        folder.mkdir(parents=True, exist_ok=True)
        made = cls(folder / f"{name}.key", folder / f"{name}.pem")
        subprocess.run(
            [
                peer("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", made.key, "-out", made.pem,
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
        return made

    @property
    def certificate(self) -> str:
        return self.pem.read_text()

    @property
    def private_key(self) -> str:
        return self.key.read_text()
