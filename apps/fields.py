"""Column types that behave alike on SQLite and PostgreSQL."""

import base64
import hashlib
import logging
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.encoding import force_bytes

if TYPE_CHECKING:
    from django.db.models.expressions import Combinable

    TextColumn = models.CharField[str | Combinable, str]
    LongColumn = models.TextField[str | Combinable, str]
else:
    TextColumn = models.CharField
    LongColumn = models.TextField

logger = logging.getLogger(__name__)

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


def sealed(text: str) -> str:
    """As a SecretField is kept; what is empty stays so."""
    return _ciphers().encrypt(text.encode()).decode() if text else ""


def unsealed(kept: str) -> str:
    """Raises InvalidToken for what another secret key has sealed."""
    return _ciphers().decrypt(kept.encode()).decode() if kept else ""


class SecretField(LongColumn):
    """Text that the database holds encrypted (Fernet), with a key made of the server's: a copy of the database alone
    gives it away to nobody. What another key has encrypted is empty."""

    def get_prep_value(self, value: Any) -> Any:
        text = super().get_prep_value(value)
        return sealed(text) if text else text

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        if not value:
            return value
        try:
            return unsealed(value)
        except InvalidToken:
            logger.error("A value of %s was encrypted with another secret key: it has to be given again", self)
            return ""


def _ciphers() -> MultiFernet:
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    digests = (hashlib.blake2b(force_bytes(key), digest_size=32, person=b"pacs secrets").digest() for key in keys)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
