"""A PostgreSQL server of the campaign's own, to be stopped and started at will."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.node import free_port

PROGRAMS = ("/usr/local/bin", "/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin")


class PostgreSQL:
    """`with PostgreSQL() as server: server.url`; everything durable is on, as an installation has it. Its folder is
    below nobody's: pytest closes its own to other users again and again."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pacs-postgresql-"))
        self.port = free_port()
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> Self:
        if os.geteuid() == 0:  # it refuses to run as root
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self._run("initdb", "-D", self._cluster, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8")
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    @property
    def _cluster(self) -> str:
        return str(self.folder / "cluster")

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c log_lock_waits=on"
        self._run("pg_ctl", "-D", self._cluster, "-w", "-l", str(self.folder / "log.txt"), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """`immediate` is a crash: connections cut, recovery at the next start."""
        self._run("pg_ctl", "-D", self._cluster, "-w", "-m", mode, "stop")

    def log(self) -> str:
        return (self.folder / "log.txt").read_text(errors="replace")

    def _run(self, program: str, *arguments: str) -> None:
        path = shutil.which(program, path=os.pathsep.join((*PROGRAMS, os.environ["PATH"])))
        assert path, f"{program} is not installed"
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*as_user, path, *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=120,
        )
        assert done.returncode == 0, f"{program}: {done.stderr.decode(errors='replace')}"
