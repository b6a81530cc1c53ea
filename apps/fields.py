"""Column types that behave alike on SQLite and PostgreSQL."""

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    from django.db.models.expressions import Combinable

    TextColumn = models.CharField[str | Combinable, str]
else:
    TextColumn = models.CharField


_ABBREVIATIONS = {word.lower(): word for word in ("AE", "ID", "SOP", "UID")}


class KeyField(TextColumn):
    """Text compared byte by byte: equality, order and prefix ranges are the same, and indexed, on every database."""

    def set_attributes_from_name(self, name: str) -> None:
        given = self.verbose_name
        super().set_attributes_from_name(name)
        if given is None:
            self.verbose_name = " ".join(_ABBREVIATIONS.get(word, word) for word in name.split("_"))

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        parameters = super().db_parameters(connection)
        if connection.vendor == "postgresql":
            parameters["collation"] = "C"
        return parameters

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        # By its long name, for which Django makes no second index for LIKE: in collation C the first one serves that.
        kind = super().db_type(connection)
        return kind.replace("varchar", "character varying") if kind and connection.vendor == "postgresql" else kind
