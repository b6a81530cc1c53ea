"""The copy of the rules beside the spool, which serves when the database is away; keys in it are sealed."""

import ipaddress
import json
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from cryptography.fernet import InvalidToken
from django.conf import settings

from apps.fields import sealed, unsealed
from apps.network.rules import ListenerRules, PeerRules, Rules, services_of

logger = logging.getLogger(__name__)

_SECRET = "private_key"


def snapshot_path() -> Path:
    return Path(settings.SPOOL) / "rules.json"


def write_snapshot(rules: Rules, path: Path | None = None) -> None:
    """Whole or not at all, readable by its owner only."""
    path = path or snapshot_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(to_json(rules))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_snapshot(path: Path | None = None) -> Rules | None:
    """None when there is none that can be read."""
    path = path or snapshot_path()
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.error("The rules kept in %s cannot be used: %s", path, error)
        return None


def to_json(rules: Rules) -> str:
    return json.dumps(
        {
            "version": rules.version,
            "listeners": [_plain(row) for row in rules.listeners],
            "peers": [_plain(row) for row in rules.peers],
            "disabled_ae_titles": list(rules.disabled_ae_titles),
        },
        indent=1,
    )


def from_json(text: str) -> Rules:
    """Fields of another version of the program are left out or take their defaults. Raises ValueError."""
    try:
        plain = json.loads(text)
        return Rules(
            version=plain["version"],
            listeners=tuple(ListenerRules(**_revived(ListenerRules, row)) for row in plain["listeners"]),
            peers=tuple(PeerRules(**_revived(PeerRules, row)) for row in plain["peers"]),
            disabled_ae_titles=tuple(plain.get("disabled_ae_titles", ())),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"Not a snapshot of rules: {error}") from error


def _plain(row: ListenerRules | PeerRules) -> dict[str, Any]:
    values = {entry.name: getattr(row, entry.name) for entry in fields(row)}
    return {
        name: sealed(value)
        if name == _SECRET
        else sorted(str(item) for item in value)
        if isinstance(value, frozenset)
        else [str(item) for item in value]
        if isinstance(value, tuple)
        else value
        for name, value in values.items()
    }


def _revived(cls: type[ListenerRules] | type[PeerRules], plain: Mapping[str, Any]) -> dict[str, Any]:
    known = {entry.name for entry in fields(cls)}
    values = {
        name: tuple(value) if isinstance(value, list) else value for name, value in plain.items() if name in known
    }
    values["services"] = services_of(values.get("services", ()))
    try:
        if _SECRET in values:
            values[_SECRET] = unsealed(str(values[_SECRET]))
    except InvalidToken as error:
        raise ValueError("Its keys are sealed with another secret key") from error
    for name in ("networks", "balancers"):
        if name in values:
            values[name] = tuple(ipaddress.ip_network(text) for text in values[name])
    return values
