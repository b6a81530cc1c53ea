"""The attributes of the Modality Worklist information model (PS3.4 Table K.6-1) that have a column: one table drives
reading, checking, matching and answers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from apps.lookups import Kind
from dicom.dictionary import dictionary_vr, tag_of

SCHEDULED_PROCEDURE_STEP_SEQUENCE: Final = 0x00400100
SCHEDULED_PROCEDURE_STEP_STATUS: Final = 0x00400020
SPECIFIC_CHARACTER_SET: Final = 0x00080005


class Level(StrEnum):
    PATIENT = "patient"
    VISIT = "visit"
    REQUEST = "imaging service request"
    PROCEDURE = "requested procedure"
    STEP = "scheduled procedure step"


_REQUEST: Final = "requested_procedure__imaging_service_request__"
# From a step's row to the row of a level.
PATHS: Final[Mapping[Level, str]] = {
    Level.PATIENT: f"{_REQUEST}patient__",
    Level.VISIT: f"{_REQUEST}visit__",
    Level.REQUEST: _REQUEST,
    Level.PROCEDURE: "requested_procedure__",
    Level.STEP: "",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attribute:
    """There is one of each: compared as such. `name` is the column, and the field of `Order`; `kind` how it is matched,
    None: returned only."""

    name: str
    keyword: str
    tag: int
    vr: str
    level: Level
    kind: Kind | None = None
    several: bool = False  # values separated by backslashes
    among: tuple[str, ...] = ()  # enumerated values
    required: bool = False  # type 1 in answers: never empty
    identifies: bool = False  # a row by it: cut to length, it would name another

    @property
    def column(self) -> str:
        """Lookup path from a step."""
        return PATHS[self.level] + self.name


# Columns whose names are not the keyword's.
_NAMES: Final = {"IssuerOfAccessionNumberSequence": "issuer_of_accession_number"}
_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(keyword: str) -> str:
    """`PatientID` is `patient_id`."""
    return _WORDS.sub("_", keyword.replace("IDs", "Ids")).lower()


def _attribute(
    level: Level,
    keyword: str,
    kind: Kind | None = None,
    *,
    several: bool = False,
    among: tuple[str, ...] = (),
    required: bool = False,
    identifies: bool = False,
) -> Attribute:
    tag = tag_of(keyword)
    if tag is None:
        raise LookupError(keyword)
    return Attribute(
        name=_NAMES.get(keyword) or snake_case(keyword),
        keyword=keyword,
        tag=tag,
        vr=dictionary_vr(tag),
        level=level,
        kind=kind,
        several=several,
        among=among,
        required=required,
        identifies=identifies,
    )


_P, _V, _R, _RP, _S = Level
ATTRIBUTES: Final[Mapping[int, Attribute]] = {
    attribute.tag: attribute
    for attribute in (
        _attribute(_P, "PatientID", Kind.KEY, required=True, identifies=True),
        _attribute(_P, "IssuerOfPatientID", Kind.KEY, identifies=True),
        _attribute(_P, "PatientName", Kind.NAME, required=True),
        _attribute(_P, "PatientBirthDate", Kind.DATE),
        _attribute(_P, "PatientSex", Kind.KEY, among=("M", "F", "O")),
        _attribute(_P, "OtherPatientIDs", Kind.VALUES, several=True),
        _attribute(_P, "PatientSize"),
        _attribute(_P, "PatientWeight"),
        _attribute(_P, "EthnicGroup"),
        _attribute(_P, "PatientComments"),
        _attribute(_P, "PatientState"),
        # 1 not pregnant, 2 possibly, 3 definitely, 4 unknown (PS3.3 C.2.2.1.5)
        _attribute(_P, "PregnancyStatus", among=("1", "2", "3", "4")),
        _attribute(_P, "MedicalAlerts", several=True),
        _attribute(_P, "Allergies", several=True),
        _attribute(_P, "SpecialNeeds"),
        _attribute(_P, "ConfidentialityConstraintOnPatientDataDescription"),
        _attribute(_V, "AdmissionID", Kind.KEY, identifies=True),
        _attribute(_V, "CurrentPatientLocation"),
        _attribute(_R, "AccessionNumber", Kind.KEY, identifies=True),
        _attribute(_R, "IssuerOfAccessionNumberSequence", identifies=True),
        _attribute(_R, "RequestingPhysician", Kind.ALPHABETIC_NAME),
        _attribute(_R, "ReferringPhysicianName", Kind.ALPHABETIC_NAME),
        _attribute(_R, "RequestingService"),
        _attribute(_R, "PlacerOrderNumberImagingServiceRequest", Kind.KEY),
        _attribute(_R, "FillerOrderNumberImagingServiceRequest", Kind.KEY),
        _attribute(_R, "ImagingServiceRequestComments"),
        _attribute(_RP, "RequestedProcedureID", Kind.KEY, required=True, identifies=True),
        _attribute(_RP, "StudyInstanceUID", Kind.UID, required=True, identifies=True),
        _attribute(_RP, "RequestedProcedureDescription", Kind.TEXT),
        _attribute(_RP, "RequestedProcedureCodeSequence"),
        _attribute(_RP, "RequestedProcedurePriority", Kind.KEY, among=("STAT", "HIGH", "ROUTINE", "MEDIUM", "LOW")),
        _attribute(_RP, "RequestedProcedureLocation"),
        _attribute(_RP, "RequestedProcedureComments"),
        _attribute(_RP, "ReasonForTheRequestedProcedure"),
        _attribute(_RP, "PatientTransportArrangements"),
        _attribute(_RP, "ConfidentialityCode"),
        _attribute(_S, "ScheduledProcedureStepID", Kind.KEY, required=True, identifies=True),
        _attribute(_S, "Modality", Kind.KEY, required=True),
        _attribute(_S, "ScheduledStationAETitle", Kind.VALUES, several=True, required=True),
        _attribute(_S, "ScheduledStationName", Kind.TEXT, several=True),
        _attribute(_S, "ScheduledProcedureStepStartDate", Kind.DATE, required=True),
        _attribute(_S, "ScheduledProcedureStepStartTime", Kind.TIME, required=True),
        _attribute(_S, "ScheduledPerformingPhysicianName", Kind.ALPHABETIC_NAME),
        _attribute(_S, "ScheduledProcedureStepDescription", Kind.TEXT),
        _attribute(_S, "ScheduledProtocolCodeSequence"),
        _attribute(_S, "ScheduledProcedureStepLocation", Kind.TEXT),
        _attribute(_S, "PreMedication"),
        _attribute(_S, "RequestedContrastAgent"),
        _attribute(_S, "CommentsOnTheScheduledProcedureStep", Kind.TEXT),
    )
}
BY_NAME: Final[Mapping[str, Attribute]] = {attribute.name: attribute for attribute in ATTRIBUTES.values()}

# Of the answer's data set that have no column: the level at which they are kept; others by their group.
_OTHERS: Final[Mapping[str, Level]] = {
    "ReferencedPatientSequence": _P,
    "ReferencedStudySequence": _RP,
    "StudyDate": _RP,
    "StudyTime": _RP,
    "InstitutionName": _V,
    "InstitutionAddress": _V,
    "InstitutionCodeSequence": _V,
    "ReferringPhysicianIdentificationSequence": _R,
    "RequestingPhysicianIdentificationSequence": _R,
    "RequestingServiceCodeSequence": _R,
    "ReasonForTheImagingServiceRequest": _R,
    "IssueDateOfImagingServiceRequest": _R,
    "IssueTimeOfImagingServiceRequest": _R,
    "OrderEnteredBy": _R,
    "OrderEntererLocation": _R,
    "OrderCallbackPhoneNumber": _R,
    "OrderPlacerIdentifierSequence": _R,
    "OrderFillerIdentifierSequence": _R,
}
OTHERS: Final = {tag: level for keyword, level in _OTHERS.items() if (tag := tag_of(keyword)) is not None}
_GROUPS: Final = {0x0010: _P, 0x0038: _V}


def level_of(name: str) -> Level:
    """Of a column, or of what has none, by its tag in hexadecimal; what neither table knows is the step's own."""
    attribute = BY_NAME.get(name)
    if attribute is not None:
        return attribute.level
    return level_of_other(int(name, 16)) if re.fullmatch("[0-9A-F]{8}", name) else Level.STEP


def level_of_other(tag: int) -> Level:
    """Where an element outside the Scheduled Procedure Step Sequence is kept that has no column."""
    return OTHERS.get(tag) or _GROUPS.get(tag >> 16, _RP)
