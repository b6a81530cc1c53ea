"""What conditions of rules may name: one table of indexed elements, and how the values of each are compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final

from django.utils.translation import gettext_lazy as _

from dicom.values import fold, name_groups, name_key, parse_date, parse_number

Value = str | int | date


class Form(StrEnum):
    TEXT = "text"  # upper and lower case and accents are the same
    NAME = "name"  # of a person, as names are searched
    CODE = "code"  # AE titles and UIDs: as they are
    DATE = "date"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Attribute:
    """`path`: the column, seen from an instance."""

    name: str
    label: Any
    path: str
    form: Form = Form.TEXT

    def values(self, stored: object) -> list[Value]:
        """Of a column, comparable; none when it is empty or cannot be read."""
        return [] if stored is None or stored == "" else _READERS[self.form](stored)


def comparable(form: Form, text: str) -> Value | None:
    """A value of a condition, as those of columns are; None: it is none of this form. Names also as `Doe, Jane`."""
    if form is Form.NAME and "^" not in text:
        text = "^".join(part.strip() for part in text.split(",", 1))
    found = _READERS[form](text)
    return found[0] if found else None


def _texts(stored: object) -> list[Value]:
    return [fold(part) for part in _parts(stored)]


def _names(stored: object) -> list[Value]:
    return [key for part in _parts(stored) for group in name_groups(part) if (key := name_key(group))]


def _codes(stored: object) -> list[Value]:
    return list(_parts(stored))


def _dates(stored: object) -> list[Value]:
    if isinstance(stored, date):
        return [stored]
    return [found for part in _parts(stored) if (found := parse_date(part)) is not None]


def _numbers(stored: object) -> list[Value]:
    if isinstance(stored, int):
        return [stored]
    return [found for part in _parts(stored) if (found := parse_number(part)) is not None]


def _parts(stored: object) -> list[str]:
    return [part.strip() for part in str(stored).split("\\") if part.strip()]


_READERS: Final[Mapping[Form, Callable[[object], list[Value]]]] = {
    Form.TEXT: _texts,
    Form.NAME: _names,
    Form.CODE: _codes,
    Form.DATE: _dates,
    Form.NUMBER: _numbers,
}

_SERIES: Final = "series__"
_STUDY: Final = "series__study__"
_PATIENT: Final = "series__study__patient__"

ATTRIBUTES: Final[Mapping[str, Attribute]] = {
    attribute.name: attribute
    for attribute in (
        # Where it came from
        Attribute("calling_ae_title", _("Calling AE title"), "calling_ae_title", Form.CODE),
        Attribute("called_ae_title", _("Called AE title (receiving AE)"), "called_ae_title", Form.CODE),
        Attribute("peer", _("Source (name of the peer)"), "peer"),
        # Instance
        Attribute("sop_class_uid", _("SOP class UID"), "sop_class_uid", Form.CODE),
        Attribute("transfer_syntax_uid", _("Transfer syntax UID"), "transfer_syntax_uid", Form.CODE),
        Attribute("image_type", _("Image type"), "image_type"),
        Attribute("instance_number", _("Instance number"), "instance_number_value", Form.NUMBER),
        Attribute("number_of_frames", _("Number of frames"), "number_of_frames", Form.NUMBER),
        Attribute("rows", _("Rows"), "rows", Form.NUMBER),
        Attribute("columns", _("Columns"), "columns", Form.NUMBER),
        Attribute("content_date", _("Content date"), "content_date", Form.DATE),
        # Series
        Attribute("modality", _("Modality"), f"{_SERIES}modality"),
        Attribute("series_description", _("Series description"), f"{_SERIES}series_description"),
        Attribute("series_number", _("Series number"), f"{_SERIES}series_number_value", Form.NUMBER),
        Attribute("series_date", _("Series date"), f"{_SERIES}series_date_value", Form.DATE),
        Attribute("body_part_examined", _("Body part examined"), f"{_SERIES}body_part_examined"),
        Attribute("laterality", _("Laterality"), f"{_SERIES}laterality"),
        Attribute("protocol_name", _("Protocol name"), f"{_SERIES}protocol_name"),
        Attribute("station_name", _("Station name"), f"{_SERIES}station_name"),
        Attribute("institution_name", _("Institution name"), f"{_SERIES}institution_name"),
        Attribute("manufacturer", _("Manufacturer"), f"{_SERIES}manufacturer"),
        Attribute(
            "performing_physician_name", _("Performing physician"), f"{_SERIES}performing_physician_name", Form.NAME
        ),
        Attribute("operators_name", _("Operator"), f"{_SERIES}operators_name", Form.NAME),
        Attribute("series_instance_uid", _("Series instance UID"), f"{_SERIES}series_instance_uid", Form.CODE),
        # Study
        Attribute("study_description", _("Study description"), f"{_STUDY}study_description"),
        Attribute("study_date", _("Study date"), f"{_STUDY}study_date_value", Form.DATE),
        Attribute("study_id", _("Study ID"), f"{_STUDY}study_id"),
        Attribute("accession_number", _("Accession number"), f"{_STUDY}accession_number"),
        Attribute("modalities_in_study", _("Modalities in study"), f"{_STUDY}modalities_in_study"),
        Attribute("referring_physician_name", _("Referring physician"), f"{_STUDY}referring_physician_name", Form.NAME),
        Attribute("study_instance_uid", _("Study instance UID"), f"{_STUDY}study_instance_uid", Form.CODE),
        # Patient
        Attribute("patient_id", _("Patient ID"), f"{_PATIENT}patient_id"),
        Attribute("issuer_of_patient_id", _("Issuer of patient ID"), f"{_PATIENT}issuer_of_patient_id"),
        Attribute("patient_name", _("Patient name"), f"{_PATIENT}patient_name", Form.NAME),
        Attribute("patient_birth_date", _("Birth date"), f"{_PATIENT}patient_birth_date_value", Form.DATE),
        Attribute("patient_sex", _("Sex"), f"{_PATIENT}patient_sex"),
    )
}
