"""A mode of deployment run natively: the services of its compose files, by the scripts that the image runs."""

import functools
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.docker import compose
from tests.docker.compose import Service
from tests.node import ROOT, Node, wait_for

ONE_SHOT = ("prepare", "rows")


class Mode:
    """`changed`: what differs from the compose files by service, since all is one machine here: its command."""

    def __init__(self, name: str, folder: Path, node: Node, broker: str, **environment: str) -> None:
        self.node = node  # whose database, ports and processes these are
        self.services = {each.name: each for each in compose.services(name).values() if each.is_ours}
        self.folder = folder / "volumes"
        self.given = {"CELERY_BROKER_URL": broker, "PACS_PROCESSES": "1", "PACS_LOG_FILE": "off", **environment}

    def environment(self, service: Service) -> dict[str, str]:
        """Names and roles as in the compose file; database, broker, ports and passwords are the test's."""
        said = service.environment
        kept = {name: said[name] for name in said.keys() & {"PACS_NODE", "PACS_READY_ROLES"}}
        places = {
            variable: str(self.folder / service.volumes[target])
            for variable, target in (
                ("PACS_DATA", "/data"),
                ("PACS_SPOOL", "/data/spool"),
                ("PACS_ARCHIVE", "/data/archive"),
            )
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**self.node.environment, **self.given, **kept, **places, "PATH": path}

    def run(self, *changed: tuple[str, list[str]]) -> None:
        """What is done once, then everything else; until all is ready."""
        commands = {**{name: each.command for name, each in self.services.items()}, **dict(changed)}
        for name in ONE_SHOT:
            if name in self.services:
                done = subprocess.run(
                    commands[name],
                    cwd=ROOT,
                    env=self.environment(self.services[name]),
                    capture_output=True,
                    text=True,
                    timeout=300,
                )
                assert done.returncode == 0, done.stdout + done.stderr
        for name in self.services:
            if name not in ONE_SHOT:
                self._start(name, commands[name])
        wait_for(self._answers, timeout=300, every=0.5, what="/health/ready and signs of life")
        roles = {self.services[name].environment["PACS_READY_ROLES"]: name for name in self.node.processes}
        for name in roles.values():
            wait_for(functools.partial(self.is_ready, name), timeout=300, every=0.5, what=f"{name} is ready")

    def _answers(self) -> bool:
        wanted = {
            (each.environment["PACS_NODE"], role)
            for each in self.services.values()
            for role in each.environment.get("PACS_READY_ROLES", "web").split(",")
            if role != "web"
        }
        alive = {(str(node), str(role)) for node, role in self.node.sql("SELECT node, role FROM network_node")}
        return wanted <= alive and self.node.get("/health/ready")[0] == 200

    def _start(self, name: str, command: list[str]) -> None:
        with (self.node.directory / f"{name}.out").open("ab") as output:
            self.node.processes[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment(self.services[name]),
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    def is_ready(self, name: str) -> bool:
        """As the health check of its container asks."""
        process = self.node.processes[name]
        assert process.poll() is None, f"{name} ended:\n{self.node.log_text()[-4000:]}"
        environment = self.environment(self.services[name])
        return subprocess.run(["docker/run/ready"], cwd=ROOT, env=environment, capture_output=True).returncode == 0

    def stop(self) -> Mapping[str, int]:
        """SIGTERM to each, as Docker does; the exit statuses."""
        return self.node.stop()
