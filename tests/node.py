"""An installation of its own for one test: data, database, free ports, real processes, ended by their ids."""

import compileall
import contextlib
import functools
import os
import random
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg

ROOT = Path(__file__).resolve().parent.parent
COMMANDS: dict[str, list[str]] = {
    "standalone": ["manage.py", "standalone"],
    "listeners": ["manage.py", "listeners"],
    "indexer": ["manage.py", "indexer"],
    "worker": ["-m", "celery", "-A", "pacs", "worker"],
    "dimse": ["-m", "celery", "-A", "pacs", "worker", "--dimse"],
    "web": ["-m", "gunicorn", "-c", "python:pacs.gunicorn", "pacs.wsgi"],
}
_ports = random.SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """Below the range the kernel gives to outgoing connections, so that none takes it before we do; never twice."""
    while True:
        port = _ports.randrange(15000, 32000)
        if port in _given:
            continue
        with socket.socket() as candidate:
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given.add(port)
            return port


def wait_for(condition: Callable[[], Any], *, timeout: float = 60, every: float = 0.05, what: str = "") -> Any:
    """The first true value of `condition`; an assertion error after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what or condition}"
        time.sleep(every)
    return value


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def wait_gone(processes: Sequence[psutil.Process]) -> None:
    """Until none of them runs; one whose parent has not asked for its end yet does not."""

    def running() -> list[psutil.Process]:
        return [process for process in processes if _runs(process)]

    wait_for(lambda: not running(), what=f"the end of {processes}")


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _environment(**changes: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PACS_", "CELERY_", "DATABASE_", "DJANGO_"))
    }
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **changes}


class Databases:
    """Migrated once a run; each node gets a copy: a file of SQLite, or a database made from a template."""

    def __init__(self, server_url: str | None) -> None:
        self.server_url = server_url  # of PostgreSQL; None: SQLite
        self._scratch = Path(tempfile.mkdtemp(prefix="pacs-template-"))
        self._template: str | None = None
        self._made: list[str] = []
        # Where Python is told to write no bytecode, every process of every node would compile all of it again.
        for folder in ("apps", "dicom", "pacs"):
            compileall.compile_dir(ROOT / folder, quiet=2)

    def create(self, directory: Path) -> str:
        """The URL of a new database."""
        if self.server_url is None:
            copy = directory / "pacs.sqlite3"
            shutil.copyfile(
                self._migrated(f"sqlite:///{self._scratch / 'template.sqlite3'}").removeprefix("sqlite:///"), copy
            )
            return f"sqlite:///{copy}"
        template = self._template or self._migrated(self._create_on_server("template0"))
        return self._create_on_server(urlsplit(template).path.lstrip("/"))

    def _create_on_server(self, template: str) -> str:
        assert self.server_url is not None
        name = f"pacs_node_{secrets.token_hex(6)}"
        with psycopg.connect(self.server_url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
        self._made.append(name)
        return urlunsplit(urlsplit(self.server_url)._replace(path=f"/{name}"))

    def _migrated(self, url: str) -> str:
        if self._template is None:
            environment = _environment(PACS_DATA=str(self._scratch / "data"), DATABASE_URL=url, PACS_LOG_FILE="off")
            subprocess.run(
                [sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True, timeout=120
            )
            if url.startswith("sqlite:///"):
                with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._template = url
        return self._template

    def drop(self, url: str) -> None:
        if self.server_url is not None:
            name = urlsplit(url).path.lstrip("/")
            with psycopg.connect(self.server_url, autocommit=True) as connection:
                connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
            self._made.remove(name)

    def close(self) -> None:
        for name in list(self._made):
            self.drop(f"x://x/{name}")
        shutil.rmtree(self._scratch, ignore_errors=True)


_shared: list[Databases] = []


def databases() -> Databases:
    """Of this run: on the server named by DATABASE_URL when it is PostgreSQL, else SQLite."""
    if not _shared:
        url = os.environ.get("DATABASE_URL", "")
        _shared.append(Databases(url if url.startswith("postgres") else None))
    return _shared[0]


def drop_databases() -> None:
    while _shared:
        _shared.pop().close()


class Node:
    """`Node(tmp_path, PACS_PROCESSES="1")`; every keyword but `database_url` is an environment variable."""

    def __init__(self, directory: Path, database_url: str | None = None, **environment: str) -> None:
        self.directory = directory / f"node-{secrets.token_hex(3)}"
        self.data = self.directory / "data"
        self.data.mkdir(parents=True)
        self.host = "127.0.0.1"
        self.dimse_port = free_port()
        self.http_port = free_port()
        self.ae_title = environment.get("PACS_AE_TITLE", "PACS")
        self.admin_password = "correct-horse-battery"
        self._owns_database = database_url is None
        self.database_url = database_url or databases().create(self.data)
        self.environment = _environment(
            **{
                "PACS_DATA": str(self.data),
                "PACS_DIMSE": f"{self.host}:{self.dimse_port}",
                "PACS_HTTP": f"{self.host}:{self.http_port}",
                "PACS_ADMIN_PASSWORD": self.admin_password,
                "PACS_PROCESSES": "2",
                "DATABASE_URL": self.database_url,
                **environment,
            }
        )
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Processes

    def start(self, *roles: str, wait: bool = True) -> Self:
        """Of COMMANDS; none named: the whole, `manage.py standalone`."""
        for role in roles or ("standalone",):
            self.run(role, COMMANDS[role])
        if wait:
            self.wait_ready()
        return self

    def run(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with open(self.directory / f"{name}.out", "ab") as output:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        self.processes[name] = process
        return process

    def kill(self, role: str, number: int = signal.SIGKILL) -> None:
        """One process, not its children."""
        self.processes[role].send_signal(number)
        if number == signal.SIGKILL:
            self.processes.pop(role).wait(timeout=60)

    def stop(self, *roles: str, timeout: float = 60) -> dict[str, int]:
        """Politely; the exit codes. Whatever outlives `timeout` is killed and is an error."""
        chosen = {role: self.processes.pop(role) for role in roles or tuple(self.processes)}
        below = self._descendants(chosen.values())
        for process in chosen.values():
            if process.poll() is None:
                process.terminate()
        codes = {}
        late = []
        deadline = time.monotonic() + timeout
        for role, process in chosen.items():
            try:
                codes[role] = process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                late.append(role)
                process.kill()
                process.wait(timeout=60)
        orphans = psutil.wait_procs(below, timeout=max(0.1, deadline - time.monotonic()))[1]
        for orphan in orphans:
            with contextlib.suppress(psutil.NoSuchProcess):
                late.append(" ".join(orphan.cmdline()))
                orphan.kill()
        assert not late, f"did not stop within {timeout} s: {late}\n{self.log_text()[-4000:]}"
        return codes

    @staticmethod
    def _descendants(processes: Any) -> list[psutil.Process]:
        found = []
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                found += psutil.Process(process.pid).children(recursive=True)
        return found

    def descendants(self, role: str = "standalone", *words: str) -> list[psutil.Process]:
        """Processes below a role whose command line holds all of `words`."""

        def holds(process: psutil.Process) -> bool:
            with contextlib.suppress(psutil.NoSuchProcess):
                line = " ".join(process.cmdline())
                return all(word in line for word in words)
            return False

        return [process for process in self._descendants([self.processes[role]]) if holds(process)]

    def close(self) -> None:
        try:
            self.stop()
        finally:
            if self._owns_database:
                databases().drop(self.database_url)

    # Looking at it

    def wait_ready(self, timeout: float = 120) -> None:
        """Until everything started answers."""
        for role in self.processes:
            wait_for(functools.partial(self._is_ready, role), timeout=timeout, what=f"{role} is ready")

    def _is_ready(self, role: str) -> bool:
        assert self.processes[role].poll() is None, f"{role} ended:\n{self.log_text()[-4000:]}"
        if role in ("standalone", "web"):
            return self.get("/health/ready" if role == "standalone" else "/health/live")[0] == 200
        if role in ("listeners", "dimse"):
            return self.answers()
        return bool(self.sql("SELECT 1 FROM network_node WHERE role = %s", [role]))

    def answers(self) -> bool:
        """Whether something takes connections on the DIMSE port."""
        return listens(self.dimse_port, self.host)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; status 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.http_port}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def manage(
        self, *arguments: str, check: bool = True, timeout: float = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**self.environment, **environment},
            text=True,
            capture_output=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        assert not check or done.returncode == 0, (
            f"manage.py {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done

    def shell(self, code: str) -> str:
        """Output of Python code in a process of this node, models imported."""
        return self.manage("shell", "-v0", "-c", code).stdout.strip()

    def sql(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query, on both databases; parameters are written %s."""
        if self.database_url.startswith("sqlite"):
            with contextlib.closing(
                sqlite3.connect(self.database_url.removeprefix("sqlite:///"), timeout=30)
            ) as connection:
                rows = connection.execute(query.replace("%s", "?"), parameters).fetchall()
                connection.commit()
                return rows
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def log_text(self) -> str:
        """What its processes printed and logged."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.directory.glob("*.out")))


@contextlib.contextmanager
def run_node(directory: Path, *roles: str, **environment: str) -> Iterator[Node]:
    with Node(directory, **environment) as node:
        yield node.start(*roles)
