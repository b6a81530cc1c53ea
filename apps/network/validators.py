"""What may stand in a listener's or a peer's fields."""

import ipaddress
import re
import ssl
from typing import Any

from django.core.exceptions import ValidationError

from dicom.sop_classes import TRANSFER_SYNTAXES, Service

# RFC 1123 2.1, and the underscore that some sites have.
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?")

# Of a scheduled procedure step, as the worklist keeps them.
STEP_STATUSES = ("SCHEDULED", "ARRIVED", "READY", "STARTED", "COMPLETED", "DISCONTINUED", "CANCELLED")
# PS3.3 C.12.1.1.2, Tables C.12-2 to C.12-5.
CHARACTER_SETS = frozenset(
    {f"ISO_IR {number}" for number in (6, 13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 192, 203)}
    | {
        f"ISO 2022 IR {number}"
        for number in (6, 13, 58, 87, 100, 101, 109, 110, 126, 127, 138, 144, 148, 149, 159, 166, 203)
    }
    | {"GB18030", "GBK"}
)


def validate_ae_title(value: str) -> None:
    """PS3.5 6.2: 1 to 16 characters of the default repertoire, no backslash or control, not only spaces."""
    if not value.strip() or len(value) > 16 or any(not " " <= c <= "~" or c == "\\" for c in value):
        raise ValidationError("An AE title has 1 to 16 printable ASCII characters, no backslash.")


def validate_host(value: str) -> None:
    """An address or a name, no URL and no port."""
    try:
        ipaddress.ip_address(value.partition("%")[0])
    except ValueError as error:
        if not _HOST_NAME.fullmatch(value):
            raise ValidationError(f"{value} is neither an address nor a host name.") from error


def validate_networks(value: str) -> None:
    for line in value.split():
        try:
            ipaddress.ip_network(line, strict=False)
        except ValueError as error:
            raise ValidationError(f"{line} is neither an address nor a network.") from error


def validate_character_sets(value: str) -> None:
    """Values of Specific Character Set as they stand in the element; the first may be empty."""
    names = value.split("\\")
    for name in names[1:] if not names[0] else names:
        if name not in CHARACTER_SETS:
            raise ValidationError(f"{name!r} is no Specific Character Set; ISO_IR 192 (UTF-8) and ISO_IR 100 are.")


def validate_transfer_syntaxes(value: Any) -> None:
    if not isinstance(value, list):
        raise ValidationError("A list of transfer syntax UIDs.")
    for uid in value:
        if uid not in TRANSFER_SYNTAXES:
            raise ValidationError(f"{uid} is no transfer syntax that this server takes.")


def validate_services(value: Any) -> None:
    known = {str(service) for service in Service}
    if not isinstance(value, list) or any(item not in known for item in value):
        raise ValidationError(f"A list of services: {', '.join(sorted(known))}.")


def validate_step_statuses(value: Any) -> None:
    if not isinstance(value, list) or any(item not in STEP_STATUSES for item in value):
        raise ValidationError(f"A list of statuses: {', '.join(STEP_STATUSES)}.")


def validate_certificates(value: str) -> None:
    try:
        ssl.create_default_context(cadata=value)
    except (ssl.SSLError, ValueError, TypeError) as error:  # TypeError: text that is not ASCII
        raise ValidationError("No certificates in PEM form.") from error
