"""Listeners, peers and DICOMweb servers as REST shows and takes them: fields by the names of their columns."""

from collections.abc import Mapping
from typing import Any, Final

from django.db import models

from apps.accounts.rest import InvalidRequest
from apps.fields import SecretField
from apps.network.models import DicomwebServer, Listener, Peer

Plain = dict[str, Any]
Configured = Listener | Peer | DicomwebServer

LOCKED: Final = "locked"  # shown, never taken
SECRET: Final = "(secret)"  # instead of one; sent back it leaves the one that is there
_WHOLE: Final = (models.PositiveIntegerField, models.PositiveSmallIntegerField)
_LARGEST: Final = {models.PositiveIntegerField: (1 << 31) - 1, models.PositiveSmallIntegerField: (1 << 15) - 1}


def columns(model: type[Configured]) -> Mapping[str, "models.Field[Any, Any]"]:
    """Those that a request may give, by name."""
    fields = model._meta.concrete_fields
    return {field.name: field for field in fields if not field.primary_key and field.name != LOCKED}


def row(configured: Configured) -> Plain:
    shown = {name: _shown(field, getattr(configured, name)) for name, field in columns(type(configured)).items()}
    locked = {LOCKED: configured.locked} if isinstance(configured, Listener) else {}
    return {"id": configured.pk, **shown, **locked}


def read(model: type[Configured], said: Mapping[str, Any]) -> Plain:
    """Values of columns. Raises InvalidRequest, naming every field whose value is of another type."""
    values: Plain = {}
    errors: dict[str, str] = {}
    known = columns(model)
    for name, value in said.items():
        field = known[name]
        if isinstance(field, SecretField) and value == SECRET:
            continue
        if why := _wrong(field, value):
            errors[name] = why
        else:
            lines = isinstance(field, models.TextField) and isinstance(value, list)
            values[name] = "\n".join(value) if lines else value
    if errors:
        raise InvalidRequest(errors)
    return values


def defaults(model: type[Configured]) -> Plain:
    """Of what a request that replaces a row does not give."""
    return {name: field.get_default() for name, field in columns(model).items()}


def _shown(field: "models.Field[Any, Any]", value: Any) -> Any:
    if isinstance(field, SecretField):  # only whether there is one
        return SECRET if value else ""
    return value.split() if isinstance(field, models.TextField) else value


def _wrong(field: "models.Field[Any, Any]", value: Any) -> str:
    """Why not, in words; empty: it is of the right type."""
    if value is None:
        return "" if field.null else "is needed"
    if isinstance(field, models.BooleanField):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(field, _WHOLE):
        largest = _LARGEST[models.PositiveIntegerField if type(field) is models.PositiveIntegerField else _WHOLE[1]]
        return "" if type(value) is int and 0 <= value <= largest else f"a whole number up to {largest}"
    texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
    if isinstance(field, models.JSONField):
        return "" if texts else "a list of texts"
    if isinstance(field, models.TextField) and not isinstance(field, SecretField) and texts:
        return ""
    return "" if isinstance(value, str) else "a text"
