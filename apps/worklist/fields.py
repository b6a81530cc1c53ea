"""The fields of the form: what they are called, and how an attribute's value is written there and read back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.utils.translation import gettext_lazy as _

from apps.worklist.choices import MODALITIES
from dicom.values import name_groups, parse_date, parse_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """`name` as in `Order`. `kind` chooses the template of its control, and how its value is written."""

    name: str
    label: Any
    kind: str = "text"
    help: Any = ""
    required: bool = False
    wide: bool = False
    choices: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Of its controls."""
        return tuple(f"{self.name}-{part}" for part in CODE_PARTS) if self.kind == "code" else (self.name,)


@dataclass(frozen=True, slots=True)
class Group:
    """`more`: behind a click, as they are seldom said."""

    title: Any
    fields: tuple[Field, ...]
    more: tuple[Field, ...] = ()


# PS3.3 Table 8.8-1
CODE_PARTS: Final[Mapping[str, Any]] = {"value": _("Code"), "scheme": _("Scheme"), "meaning": _("Meaning")}

_PATIENT: Final = Group(
    _("Patient"),
    (
        Field(name="patient_id", label=_("Patient ID"), required=True),
        Field(name="patient_name", label=_("Name"), kind="name", required=True, help=_("Family name, given name")),
        Field(name="patient_birth_date", label=_("Born"), kind="date"),
        Field(
            name="patient_sex",
            label=_("Sex"),
            kind="select",
            choices={"F": _("Female"), "M": _("Male"), "O": _("Other")},
        ),
    ),
    (
        Field(name="issuer_of_patient_id", label=_("Issuer of patient ID")),
        Field(name="other_patient_ids", label=_("Other patient IDs"), kind="several"),
        Field(name="patient_weight", label=_("Weight"), help=_("In kilograms")),
        Field(name="patient_size", label=_("Size"), help=_("In metres")),
        Field(
            name="pregnancy_status",
            label=_("Pregnancy"),
            kind="select",
            choices={"1": _("Not pregnant"), "2": _("Possibly"), "3": _("Definitely"), "4": _("Unknown")},
        ),
        Field(name="medical_alerts", label=_("Medical alerts"), kind="several", help=_("Several: with ; between")),
        Field(name="allergies", label=_("Allergies"), kind="several", help=_("Several: with ; between")),
        Field(name="special_needs", label=_("Special needs")),
        Field(name="patient_state", label=_("State of the patient")),
        Field(name="ethnic_group", label=_("Ethnic group")),
        Field(
            name="confidentiality_constraint_on_patient_data_description", label=_("Confidentiality of patient data")
        ),
        Field(name="patient_comments", label=_("Comments on the patient"), kind="lines", wide=True),
    ),
)
_PROCEDURE: Final = Group(
    _("Procedure"),
    (
        Field(name="requested_procedure_description", label=_("Description"), wide=True),
        Field(name="requested_procedure_code_sequence", label=_("Procedure code"), kind="code", wide=True),
        Field(name="reason_for_the_requested_procedure", label=_("Reason"), wide=True),
    ),
    (
        Field(
            name="requested_procedure_priority",
            label=_("Priority"),
            kind="select",
            choices={
                "STAT": _("Stat"),
                "HIGH": _("High"),
                "ROUTINE": _("Routine"),
                "MEDIUM": _("Medium"),
                "LOW": _("Low"),
            },
        ),
        Field(name="requested_procedure_id", label=_("Procedure ID"), help=_("Empty: a new one")),
        Field(name="study_instance_uid", label=_("Study UID"), help=_("Empty: a new one"), wide=True),
        Field(name="requested_procedure_location", label=_("Location of the procedure")),
        Field(name="patient_transport_arrangements", label=_("Transport")),
        Field(name="confidentiality_code", label=_("Confidentiality")),
        Field(name="requested_procedure_comments", label=_("Comments on the procedure"), kind="lines", wide=True),
    ),
)
_STEP: Final = Group(
    _("When, where and how"),
    (
        Field(name="modality", label=_("Modality"), kind="select", required=True, choices=MODALITIES),
        Field(name="scheduled_station_ae_title", label=_("Station"), kind="station", help=_("AE title of the device")),
        Field(name="scheduled_procedure_step_start_date", label=_("Date"), kind="date", required=True),
        Field(name="scheduled_procedure_step_start_time", label=_("Time"), kind="time", required=True),
        Field(name="duration_minutes", label=_("Minutes"), kind="number"),
        Field(name="scheduled_performing_physician_name", label=_("Performing physician"), kind="name"),
        Field(name="scheduled_procedure_step_description", label=_("Step description"), wide=True),
        Field(name="scheduled_protocol_code_sequence", label=_("Protocol code"), kind="code", wide=True),
    ),
    (
        Field(name="scheduled_procedure_step_id", label=_("Step ID"), help=_("Empty: a new one")),
        Field(name="scheduled_station_name", label=_("Station name"), kind="several"),
        Field(name="scheduled_procedure_step_location", label=_("Location of the step")),
        Field(name="requested_contrast_agent", label=_("Contrast agent")),
        Field(name="pre_medication", label=_("Premedication")),
        Field(
            name="comments_on_the_scheduled_procedure_step", label=_("Comments on the step"), kind="lines", wide=True
        ),
    ),
)
_REQUEST: Final = Group(
    _("Order"),
    (
        Field(name="accession_number", label=_("Accession number"), help=_("Empty: a new one")),
        Field(name="referring_physician_name", label=_("Referring physician"), kind="name"),
        Field(name="requesting_physician", label=_("Requesting physician"), kind="name"),
        Field(name="requesting_service", label=_("Requesting service")),
    ),
    (
        Field(name="admission_id", label=_("Admission ID")),
        Field(name="current_patient_location", label=_("Where the patient is")),
        Field(name="issuer_of_accession_number", label=_("Issuer of accession number")),
        Field(name="placer_order_number_imaging_service_request", label=_("Placer's order number")),
        Field(name="filler_order_number_imaging_service_request", label=_("Filler's order number")),
        Field(name="imaging_service_request_comments", label=_("Comments on the order"), kind="lines", wide=True),
    ),
)
GROUPS: Final = (_PATIENT, _PROCEDURE, _STEP, _REQUEST)
FIELDS: Final[Mapping[str, Field]] = {each.name: each for group in GROUPS for each in (*group.fields, *group.more)}


def written(kind: str, value: Any) -> str:
    """As the form shows it; what cannot be read stays as it is."""
    writer = _WRITERS.get(kind)
    return writer(value) if writer else str(value or "")


def read(kind: str, text: str) -> Any:
    """What `written` wrote, as `plain.order` takes it. Raises ValueError."""
    reader = _READERS.get(kind)
    return reader(text) if reader else text


def _written_name(value: str) -> str:
    """`Doe, Jane`; a name of other groups or more components stays as DICOM writes it."""
    alphabetic, ideographic, phonetic = name_groups(value)
    parts = alphabetic.split("^")
    simple = not (ideographic or phonetic) and len(parts) <= 2 and "," not in value and "\\" not in value
    return ", ".join(part for part in parts if part) if simple and parts[0] else value


def _read_name(text: str) -> str:
    if "^" in text or "=" in text:
        return text
    return "^".join(part.strip() for part in text.split(",", 1))


def _written_date(value: str) -> str:
    day = parse_date(value)
    return day.isoformat() if day else value


def _written_time(value: str) -> str:
    moment = parse_time(value)
    if moment is None:
        return value
    return f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"


def _minutes(text: str) -> int | None:
    if not text.strip():
        return None
    if not (text.strip().isascii() and text.strip().isdigit() and len(text) < 10):
        raise ValueError("a number of minutes")
    return int(text)


def _separated(text: str) -> str:
    return "\\".join(part.strip() for part in text.split(";") if part.strip())


_WRITERS: Final[Mapping[str, Callable[[Any], str]]] = {
    "name": _written_name,
    "date": _written_date,
    "time": _written_time,
    "several": lambda value: value.replace("\\", "; "),
    "station": lambda value: value.replace("\\", "; "),
}
_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "name": _read_name,
    "number": _minutes,
    "several": _separated,
    "station": _separated,
}
