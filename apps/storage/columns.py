"""Which elements the index shows, in which columns: one table a level drives reading, merging and writing."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apps.storage.models import NAME, TEXT
from dicom import values
from dicom.header import Header

Value = tuple[Any, ...]  # of an attribute's columns; the first is the text it was read from

_INT64 = 1 << 63
_INT32 = 1 << 31


def _text(header: Header, tag: int) -> Value:
    return (header.text(tag)[:TEXT],)


def _long_text(header: Header, tag: int) -> Value:
    return (header.text(tag),)


def _short(header: Header, tag: int) -> Value:
    return (header.text(tag)[:64],)


def _long_name(header: Header, tag: int) -> Value:
    return (header.text(tag)[:NAME],)


def _name(header: Header, tag: int) -> Value:
    text = header.text(tag)[:NAME]
    return text, *(values.name_key(group)[:NAME] for group in values.name_groups(text))


def _names(header: Header, tag: int) -> Value:
    """Several; their keys of each group separated by backslashes."""
    text = header.text(tag)[:NAME]
    return text, *keys_of_names(text)


def keys_of_names(text: str) -> tuple[str, ...]:
    groups = zip(*(map(values.name_key, values.name_groups(name)) for name in text.split("\\")), strict=True)
    return tuple("\\".join(keys)[:NAME] if any(keys) else "" for keys in groups)


def name_key(text: str) -> str:
    """Of the alphabetic group, as far as the column holds it."""
    return values.name_key(values.name_groups(text)[0])[:NAME]


def _date(header: Header, tag: int) -> Value:
    text = header.text(tag)[:TEXT]
    return text, values.parse_date(text)


def _time(header: Header, tag: int) -> Value:
    text = header.text(tag)[:TEXT]
    return text, values.parse_time(text)


def _number(header: Header, tag: int) -> Value:
    text = header.text(tag)[:64]
    number = values.parse_number(text)
    return text, number if number is not None and -_INT64 <= number < _INT64 else None


def _integer(header: Header, tag: int) -> Value:
    number = header.integer(tag)
    return (number if number is not None and 0 <= number < _INT32 else None,)


def _sequence(header: Header, tag: int) -> Value:
    return (canonical_json(header.sequence(tag)),)


def _local_namespace(header: Header, tag: int) -> Value:
    """Local Namespace Entity ID, else Universal Entity ID, of an HL7v2 Hierarchic Designator (PS3.3 Table 10-17)."""
    for item in header.sequence(tag):
        for inner in ("00400031", "00400032"):
            for text in item.get(inner, {}).get("Value", ()):
                return (str(text)[:TEXT],)
    return ("",)


def canonical_json(data: Any) -> str:
    """The same text for the same data, whichever database kept it."""
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Kind:
    read: Callable[[Header, int], Value]
    suffixes: tuple[str, ...] = ("",)
    blank: Value = ("",)
    # What makes two texts the same value.
    comparable: Callable[[str], str] = str


TEXT_KIND = Kind(_text)
LONG_TEXT = Kind(_long_text)  # longer than a line, or many values: whatever the scan has kept
SHORT = Kind(_short)
LONG_NAME = Kind(_long_name, comparable=name_key)
_GROUPS = ("", "_key", "_ideographic_key", "_phonetic_key")
PERSON = Kind(_name, _GROUPS, ("", "", "", ""), name_key)
PERSONS = Kind(_names, _GROUPS, ("", "", "", ""), name_key)
PATIENT_NAME = Kind(_name, _GROUPS, ("", "", "", ""), lambda text: values.name_key(text))
DATE = Kind(_date, ("", "_value"), ("", None))
TIME = Kind(_time, ("", "_value"), ("", None))
NUMBER = Kind(_number, ("", "_value"), ("", None))
INTEGER = Kind(_integer, blank=(None,))
SEQUENCE = Kind(_sequence, blank=("[]",))
ISSUER = Kind(_local_namespace)


@dataclass(frozen=True, slots=True)
class Attribute:
    name: str
    tag: int
    kind: Kind = TEXT_KIND
    compared: bool = True  # disagreement is listed as a conflict

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.name + suffix for suffix in self.kind.suffixes)


PATIENT = (
    Attribute("patient_name", 0x00100010, PATIENT_NAME),
    Attribute("patient_birth_date", 0x00100030, DATE),
    Attribute("patient_birth_time", 0x00100032, compared=False),
    Attribute("patient_sex", 0x00100040),
    Attribute("other_patient_ids", 0x00101000, LONG_TEXT, compared=False),
    Attribute("ethnic_group", 0x00102160, compared=False),
    Attribute("patient_comments", 0x00104000, LONG_TEXT, compared=False),
)
STUDY = (
    Attribute("study_date", 0x00080020, DATE),
    Attribute("study_time", 0x00080030, TIME),
    Attribute("accession_number", 0x00080050),
    Attribute("issuer_of_accession_number", 0x00080051, ISSUER),
    Attribute("study_id", 0x00200010),
    Attribute("study_description", 0x00081030),
    Attribute("referring_physician_name", 0x00080090, PERSON),
    Attribute("name_of_physicians_reading_study", 0x00081060, LONG_NAME, compared=False),
    Attribute("admitting_diagnoses_description", 0x00081080, LONG_TEXT, compared=False),
    Attribute("patient_age", 0x00101010, compared=False),
    Attribute("patient_size", 0x00101020, compared=False),
    Attribute("patient_weight", 0x00101030, compared=False),
    Attribute("timezone_offset_from_utc", 0x00080201, compared=False),
    Attribute("specific_character_set", 0x00080005, compared=False),
)
SERIES = (
    Attribute("modality", 0x00080060),
    Attribute("series_number", 0x00200011, NUMBER),
    Attribute("series_description", 0x0008103E),
    Attribute("series_date", 0x00080021, DATE),
    Attribute("series_time", 0x00080031, TIME, compared=False),  # some modalities give each image its own
    Attribute("body_part_examined", 0x00180015),
    Attribute("laterality", 0x00200060),
    Attribute("protocol_name", 0x00181030),
    Attribute("station_name", 0x00081010),
    Attribute("institution_name", 0x00080080),
    Attribute("manufacturer", 0x00080070),
    Attribute("performing_physician_name", 0x00081050, PERSONS),
    Attribute("operators_name", 0x00081070, LONG_NAME, compared=False),
    Attribute("performed_procedure_step_start_date", 0x00400244, DATE),
    Attribute("performed_procedure_step_start_time", 0x00400245, TIME),
    Attribute("performed_procedure_step_id", 0x00400253),
    Attribute("request_attributes_sequence", 0x00400275, SEQUENCE),
)
INSTANCE = (
    Attribute("instance_number", 0x00200013, NUMBER),
    Attribute("content_date", 0x00080023, SHORT),
    Attribute("content_time", 0x00080033, SHORT),
    Attribute("acquisition_number", 0x00200012, SHORT),
    Attribute("image_type", 0x00080008),
    Attribute("number_of_frames", 0x00280008, SHORT),
    Attribute("rows", 0x00280010, INTEGER),
    Attribute("columns", 0x00280011, INTEGER),
    Attribute("bits_allocated", 0x00280100, INTEGER),
)
