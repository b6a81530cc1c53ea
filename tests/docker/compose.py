"""What the compose files say, as Docker would read them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DOCKER = Path(__file__).resolve().parents[2] / "docker"
MODES = ("standalone", "distributed", "microservice", "hybrid")
_VARIABLE = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")


def text(name: str) -> str:
    """With variables at their defaults."""
    return _VARIABLE.sub(r"\1", (DOCKER / name).read_text())


def files() -> list[str]:
    return sorted(path.name for path in DOCKER.glob("compose*.yml"))


@dataclass(frozen=True)
class Service:
    name: str
    values: dict[str, Any]

    @property
    def image(self) -> str:
        return str(self.values["image"])

    @property
    def is_ours(self) -> bool:
        return self.image.startswith("pacs:")

    @property
    def command(self) -> list[str]:
        return [str(word) for word in self.values.get("command", [])]

    @property
    def environment(self) -> dict[str, str]:
        return {name: str(value) for name, value in self.values.get("environment", {}).items()}

    @property
    def volumes(self) -> dict[str, str]:
        """By the place where they are mounted."""
        return {target: source for source, target, *_ in (each.split(":") for each in self.values.get("volumes", []))}

    @property
    def node(self) -> tuple[str, str]:
        """Where it receives: the volume of its spool, and its node."""
        return self.volumes["/data/spool"], self.environment["PACS_NODE"]


def project(mode: str | None) -> dict[str, Any]:
    """compose.yml with the overlay of a mode on it."""
    merged: dict[str, Any] = yaml.safe_load(text("compose.yml"))
    return _over(merged, yaml.safe_load(text(f"compose.{mode}.yml"))) if mode else merged


def services(mode: str | None) -> dict[str, Service]:
    """Those that are started."""
    found = project(mode)["services"]
    return {name: Service(name, values) for name, values in found.items() if not values.get("profiles")}


def _over(below: Any, above: Any) -> Any:
    """Mappings are merged, lists of ports added, of volumes replaced where they have one place, all else replaced."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    merged = dict(below)
    for name, value in above.items():
        if name == "ports":
            merged[name] = [*below.get(name, []), *value]
        else:
            merged[name] = _over(below[name], value) if name in below else value
    return merged
