"""An order as somebody gives it: flat, all levels at once; checked against the table of attributes."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Self, TypeAlias

from apps.worklist.attributes import BY_NAME, Attribute, Level, level_of
from apps.worklist.models import NAME, TEXT
from dicom import values
from dicom.dicomjson import Json
from dicom.errors import InvalidFields

Items: TypeAlias = tuple[Json, ...]  # of a sequence, in the DICOM JSON model

# PS3.5 Table 6.2-1: characters of one value.
LENGTHS: Final = {"AE": 16, "CS": 16, "DS": 16, "LO": 64, "SH": 16, "ST": 1024, "LT": 10240, "UI": 64, "PN": 64}
_DELIMITERS: Final = str.maketrans("", "", "^=")  # of names
_LONG: Final = frozenset({"ST", "LT"})
LONGEST_DURATION: Final = 24 * 60


class InvalidOrder(InvalidFields):
    http_status = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """None: not said. An empty text or sequence, or no minutes, says that there is none."""

    patient_id: str | None = None
    issuer_of_patient_id: str | None = None
    patient_name: str | None = None
    patient_birth_date: str | None = None
    patient_sex: str | None = None
    other_patient_ids: str | None = None
    patient_size: str | None = None
    patient_weight: str | None = None
    ethnic_group: str | None = None
    patient_comments: str | None = None
    patient_state: str | None = None
    pregnancy_status: str | None = None
    medical_alerts: str | None = None
    allergies: str | None = None
    special_needs: str | None = None
    confidentiality_constraint_on_patient_data_description: str | None = None
    admission_id: str | None = None
    current_patient_location: str | None = None
    accession_number: str | None = None
    issuer_of_accession_number: str | None = None
    requesting_physician: str | None = None
    referring_physician_name: str | None = None
    requesting_service: str | None = None
    placer_order_number_imaging_service_request: str | None = None
    filler_order_number_imaging_service_request: str | None = None
    imaging_service_request_comments: str | None = None
    requested_procedure_id: str | None = None
    study_instance_uid: str | None = None
    requested_procedure_description: str | None = None
    requested_procedure_code_sequence: Items | None = None
    requested_procedure_priority: str | None = None
    requested_procedure_location: str | None = None
    requested_procedure_comments: str | None = None
    reason_for_the_requested_procedure: str | None = None
    patient_transport_arrangements: str | None = None
    confidentiality_code: str | None = None
    scheduled_procedure_step_id: str | None = None
    modality: str | None = None
    scheduled_station_ae_title: str | None = None
    scheduled_station_name: str | None = None
    scheduled_procedure_step_start_date: str | None = None
    scheduled_procedure_step_start_time: str | None = None
    duration_minutes: int | None = None
    scheduled_performing_physician_name: str | None = None
    scheduled_procedure_step_description: str | None = None
    scheduled_protocol_code_sequence: Items | None = None
    scheduled_procedure_step_location: str | None = None
    pre_medication: str | None = None
    requested_contrast_agent: str | None = None
    comments_on_the_scheduled_procedure_step: str | None = None
    # What has no column, as DICOM JSON by tag.
    other_attributes: Mapping[Level, Json] = field(default_factory=dict)

    def said(self) -> dict[str, Any]:
        """The attributes that were given a value or emptied, by name."""
        return {name: value for name in NAMES if (value := getattr(self, name)) is not None}

    def without_empty(self) -> Self:
        empty: dict[str, Any] = {name: None for name, value in self.said().items() if not value}
        return replace(self, **empty)

    def of(self, level: Level) -> dict[str, Any]:
        """Those that a level keeps."""
        return {name: value for name, value in self.said().items() if level_of(name) is level}


NAMES: Final = tuple(each.name for each in fields(Order) if each.name != "other_attributes")


def checked(order: Order, *, lenient: bool = False) -> Order:
    """With dates and times as DICOM writes them. Raises InvalidOrder, naming every attribute that is wrong.

    `lenient`, for what another system made: of wrong values only those that identify are refused, others are kept as
    far as they fit.
    """
    errors: dict[str, str] = {}
    clean: dict[str, Any] = {}
    for name, value in order.said().items():
        attribute = BY_NAME.get(name)
        try:
            clean[name] = _duration(value) if attribute is None else checked_value(attribute, value)
        except ValueError as error:
            if lenient and attribute is not None and _may_be_kept(attribute, value):
                clean[name] = _kept(attribute, value)
            else:
                errors[name] = str(error)
    if errors:
        raise InvalidOrder(errors)
    return replace(order, **clean)


def columns(attribute: Attribute, value: Any) -> dict[str, Any]:
    """The columns of one attribute's value."""
    if attribute.vr == "SQ" and not isinstance(value, str):
        return {attribute.name: list(value)}
    if attribute.vr == "DA":
        return {attribute.name: value, f"{attribute.name}_value": values.parse_date(value)}
    if attribute.vr == "TM":
        return {attribute.name: value, f"{attribute.name}_value": values.parse_time(value)}
    if attribute.vr == "PN":
        return {attribute.name: value, **_name_keys(attribute, value)}
    return {attribute.name: value}


def _name_keys(attribute: Attribute, value: str) -> dict[str, str]:
    keys = [values.name_key(group)[:NAME] for group in values.name_groups(value)]
    if attribute.name == "patient_name":
        suffixes = ("_key", "_ideographic_key", "_phonetic_key")
        return {attribute.name + suffix: key for suffix, key in zip(suffixes, keys, strict=True)}
    return {f"{attribute.name}_key": keys[0]}


def _duration(value: int) -> int:
    if not 0 <= value <= LONGEST_DURATION:
        raise ValueError(f"1 to {LONGEST_DURATION} minutes")
    return value


def checked_value(attribute: Attribute, value: Any) -> Any:
    """Raises ValueError with the reason."""
    if not isinstance(value, str):
        return _items(attribute, value)
    text = value.strip() if attribute.vr not in _LONG else value.rstrip().replace("\r\n", "\n")
    if not text:
        return ""
    if any(not _may_stand(character, attribute.vr) for character in text):
        raise ValueError("holds a control character")
    said = text.translate(_DELIMITERS) if attribute.vr == "PN" else text
    if said and not any(map(_can_be_seen, said)):
        raise ValueError("holds nothing that can be seen")
    parts = text.split("\\") if attribute.several else [text]
    if "\\" in text and not attribute.several and attribute.vr not in _LONG:
        raise ValueError("a backslash cannot be part of it")
    text = "\\".join(_single(attribute, part.strip() if attribute.several else part) for part in parts)
    if len(text) > (NAME if attribute.vr == "PN" else TEXT) and attribute.vr not in _LONG:
        raise ValueError("too long")
    return text


def _may_stand(character: str, vr: str) -> bool:
    """PS3.5 6.1.3: no control character but in text of several lines."""
    return character >= " " and not "\x7f" <= character <= "\x9f" if character not in "\n\t" else vr in _LONG


def _can_be_seen(character: str) -> bool:
    """Not what only spaces, joins, or directs others."""
    return unicodedata.category(character)[0] not in "CZM"


def _single(attribute: Attribute, text: str) -> str:
    most = LENGTHS.get(attribute.vr, TEXT)
    groups = text.split("=") if attribute.vr == "PN" else [text]
    if len(groups) > 3:
        raise ValueError("more than three component groups")
    if any(len(group) > most for group in groups):
        raise ValueError(f"longer than {most} characters")
    if attribute.vr == "PN" and any(group.count("^") > 4 for group in groups):
        raise ValueError("more than five components")
    if attribute.vr == "PN" and not values.name_groups(text)[0].strip("^ ") and not any(groups[1:]):
        raise ValueError("a name without letters")
    if attribute.among and text.upper() not in attribute.among:
        raise ValueError(f"one of {', '.join(attribute.among)}")
    reader = _READERS.get(attribute.vr)
    return reader(text) if reader else text


def _date(text: str) -> str:
    day = values.parse_date(text)
    if day is None:
        raise ValueError("no date: YYYYMMDD or YYYY-MM-DD")
    return f"{day.year:04}{day:%m%d}"


def _time(text: str) -> str:
    moment = values.parse_time(text)
    if moment is None:
        raise ValueError("no time: HHMM, HHMMSS or HH:MM")
    return f"{moment:%H%M%S}" + (f".{moment.microsecond:06}" if moment.microsecond else "")


def _uid(text: str) -> str:
    if not values.is_uid(text) or "" in text.split("."):
        raise ValueError("no UID")
    return text


def _code(text: str) -> str:
    code = text.upper()
    if not all(character in "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ " for character in code):
        raise ValueError("only letters, digits, spaces and underscores")
    return code


def _ae_title(text: str) -> str:
    if not text.isascii():
        raise ValueError("only ASCII characters")
    return text


def _decimal(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        raise ValueError("no number") from None
    if not 0 < number < 1000:
        raise ValueError("out of range")
    return text


_READERS: Final = {"AE": _ae_title, "CS": _code, "DA": _date, "DS": _decimal, "TM": _time, "UI": _uid}


def _items(attribute: Attribute, value: Any) -> Items:
    """Code sequences: each item with its code, scheme and meaning (PS3.3 Table 8.8-1)."""
    if attribute.vr != "SQ" or not isinstance(value, list | tuple):
        raise ValueError("no text")
    for item in value:
        if not isinstance(item, dict) or not all(_has_value(item.get(tag)) for tag in ("00080100", "00080104")):
            raise ValueError("each code needs a value and a meaning")
    return tuple(value)


def _has_value(element: Any) -> bool:
    return isinstance(element, dict) and bool(element.get("Value"))


def _may_be_kept(attribute: Attribute, value: Any) -> bool:
    """WIRE 10: a UID with empty components, too, where another system has made it."""
    if attribute.vr == "UI":
        return isinstance(value, str) and values.is_uid(value.strip())
    return not attribute.identifies


def _kept(attribute: Attribute, value: Any) -> Any:
    if not isinstance(value, str):
        return value if isinstance(value, list | tuple) else ()
    text = "".join(character for character in value if _may_stand(character, attribute.vr)).strip()
    return text if attribute.vr in _LONG else text[: NAME if attribute.vr == "PN" else TEXT]
