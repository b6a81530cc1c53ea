"""Listeners, peers and DICOMweb servers in the OpenAPI description: schemas from the columns."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db import models

from apps.accounts.describing import (
    AFTER,
    ASKED,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    LIMIT,
    SENT,
    Schema,
    example,
    operation,
    page_of,
    reference,
)
from apps.accounts.rest import JSON
from apps.fields import SecretField
from apps.network import plain
from apps.network.models import DicomwebServer, Listener, Peer

_TEXT: Final[Schema] = {"type": "string"}
_TEXTS: Final[Schema] = {"type": "array", "items": _TEXT}
_ID: Final[Schema] = {"type": "integer"}


def _property(field: "models.Field[Any, Any]") -> Schema:
    about = {"description": str(field.help_text)} if field.help_text else {}
    perhaps = {"nullable": True} if field.null else {}
    if isinstance(field, models.BooleanField):
        kind: dict[str, Any] = {"type": "boolean"}
    elif isinstance(field, models.PositiveIntegerField | models.PositiveSmallIntegerField):
        kind = {"type": "integer", "minimum": 0}
    elif isinstance(field, SecretField):
        kind = {**_TEXT, "example": plain.SECRET}
    elif isinstance(field, models.JSONField | models.TextField):
        kind = dict(_TEXTS)
    else:
        choices = {"enum": [value for value, _ in field.choices]} if field.choices else {}
        kind = {**_TEXT, "maxLength": field.max_length, **choices}
    return {**kind, **perhaps, **about}


def _schema(model: type[plain.Configured], *required: str) -> dict[str, Any]:
    properties = {name: _property(field) for name, field in plain.columns(model).items()}
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def _row(model: type[plain.Configured], **more: Schema) -> Schema:
    schema = _schema(model)
    return {**schema, "properties": {"id": _ID, **schema["properties"], **more}, "required": ["id", "name"]}


SCHEMAS: Final[Mapping[str, Schema]] = {
    "Peer": _row(Peer),
    "PeerRequest": _schema(Peer, "name", "ae_title"),
    "PeerChanges": _schema(Peer),
    "Echo": {
        "type": "object",
        "properties": {
            "outcome": {"type": "string", "enum": ["success", "failure"]},
            "milliseconds": {"type": "number", "nullable": True, "description": "Of the C-ECHO, without connecting"},
            "error": _TEXT,
        },
    },
    "Listener": _row(Listener, locked={**_TEXTS, "description": "Fields that the environment of the server decides"}),
    "ListenerRequest": _schema(Listener, "name", "ae_title", "port"),
    "ListenerChanges": _schema(Listener),
    "DicomwebServer": _row(DicomwebServer),
    "DicomwebServerRequest": _schema(DicomwebServer, "name", "url"),
    "DicomwebServerChanges": _schema(DicomwebServer),
}
_PEER: Final[Mapping[str, Any]] = {"name": "WS", "ae_title": "WS", "host": "10.0.0.7", "port": 104, "services": []}
_LISTENER: Final[Mapping[str, Any]] = {
    "name": "modalities",
    "ae_title": "STORE",
    "host": "0.0.0.0",
    "port": 11113,
    "services": ["echo", "store"],
}


class Described:
    """The operations of one collection."""

    def __init__(
        self, thing: str, tag: str, given: Mapping[str, Any], change: Mapping[str, Any], name: str = ""
    ) -> None:
        self._tag = tag
        name = name or thing.capitalize()
        row = {JSON: reference(name)}
        self.list = self._of(
            f"List {thing}s",
            name=f"{name}_list",
            gives={JSON: page_of(row[JSON])},
            parameters=[LIMIT, AFTER],
        )
        self.add = self._of(
            f"Add a {thing}",
            status=201,
            gives=row,
            takes={JSON: reference(f"{name}Request")},
            statuses=(*SENT, 422),
            parameters=[IDEMPOTENCY_KEY],
            examples=[example("As usual", given)],
        )
        self.read = self._of(f"Read a {thing}", gives=row, statuses=(*ASKED, 404))
        changed: Sequence[int] = (*SENT, 404, 412)
        self.replace = self._of(
            f"Replace a {thing}: what is not given is as in a new one",
            gives=row,
            takes={JSON: reference(f"{name}Request")},
            statuses=changed,
            parameters=[IF_MATCH],
            examples=[example("As usual", given)],
        )
        self.change = self._of(
            f"Change fields of a {thing}",
            gives=row,
            takes={JSON: reference(f"{name}Changes")},
            statuses=changed,
            parameters=[IF_MATCH],
            examples=[example("As usual", change)],
        )
        self.delete = self._of(
            f"Delete a {thing}", status=204, gives={}, statuses=(*ASKED, 404, 409, 412), parameters=[IF_MATCH]
        )

    def _of(self, summary: str, **options: Any) -> Any:
        return operation(summary, tag=self._tag, **options)


peers: Final = Described("peer", "Peers", _PEER, {"jobs_at_once": 4})
listeners: Final = Described("listener", "Listeners", _LISTENER, {"maximum_associations": 50})
servers: Final = Described(
    "DICOMweb server",
    "DICOMweb servers",
    {"name": "cloud", "url": "https://archive.example/dicom-web", "username": "pacs", "password": "its password"},
    {"token": "a bearer token", "username": "", "password": ""},
    "DicomwebServer",
)

echo = operation(
    "Verify the connection (C-ECHO)",
    tag="Peers",
    gives={JSON: reference("Echo")},
    takes={JSON: {"type": "object"}},
    statuses=(*SENT, 404),
    examples=[example("Nothing to say", {})],
)
