"""The keys of PS3.4 C.6.1 and C.6.2 that the index holds: one table drives matching, answers and retrieval."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from apps.lookups import Kind
from dicom.dictionary import dictionary_vr, tag_of

SPECIFIC_CHARACTER_SET = 0x00080005
QUERY_RETRIEVE_LEVEL = 0x00080052
QUERY_RETRIEVE_VIEW = 0x00080053
RETRIEVE_AE_TITLE = 0x00080054
INSTANCE_AVAILABILITY = 0x00080056
TIMEZONE_OFFSET_FROM_UTC = 0x00080201


class Level(IntEnum):
    """Lower in the hierarchy is larger."""

    PATIENT = 0
    STUDY = 1
    SERIES = 2
    IMAGE = 3


class InformationModel(StrEnum):
    PATIENT_ROOT = "Patient Root"
    STUDY_ROOT = "Study Root"
    PATIENT_STUDY_ONLY = "Patient/Study Only"

    @property
    def levels(self) -> tuple[Level, ...]:
        return _LEVELS[self]

    @property
    def top(self) -> Level:
        return _LEVELS[self][0]


_LEVELS = {
    InformationModel.PATIENT_ROOT: tuple(Level),
    InformationModel.STUDY_ROOT: (Level.STUDY, Level.SERIES, Level.IMAGE),
    InformationModel.PATIENT_STUDY_ONLY: (Level.PATIENT, Level.STUDY),
}

# PS3.4 C.6.1.3, C.6.2.3, C.6.3.3 (retired): FIND, MOVE and GET of each information model.
MODELS = {
    f"1.2.840.10008.5.1.4.1.2.{number}.{verb}": model
    for number, model in enumerate(InformationModel, start=1)
    for verb in (1, 2, 3)
}
FIND = {model: f"1.2.840.10008.5.1.4.1.2.{number}.1" for number, model in enumerate(InformationModel, start=1)}
MOVE = {model: f"1.2.840.10008.5.1.4.1.2.{number}.2" for number, model in enumerate(InformationModel, start=1)}
GET = {model: f"1.2.840.10008.5.1.4.1.2.{number}.3" for number, model in enumerate(InformationModel, start=1)}


class Usage(StrEnum):
    """PS3.4 C.2.2.1"""

    UNIQUE = "U"
    REQUIRED = "R"
    OPTIONAL = "O"


class Source(StrEnum):
    """Where the value of an answer comes from."""

    COLUMN = "column"
    COUNT = "count"  # computed over what the principal may see
    SEQUENCE = "sequence"  # a column that holds DICOM JSON
    ISSUER = "issuer"  # a column that holds a local namespace, answered as HL7 hierarchic designator (PS3.3 10.14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """`column` is of the level's model; `partner` names the time that goes with a date."""

    keyword: str
    tag: int
    vr: str
    level: Level
    column: str
    kind: Kind | None = None  # how it is matched; None: returned only
    usage: Usage = Usage.OPTIONAL
    source: Source = Source.COLUMN
    partner: str = ""


def _attribute(
    level: Level,
    keyword: str,
    column: str,
    kind: Kind | None = None,
    usage: str = "O",
    source: Source = Source.COLUMN,
    partner: str = "",
) -> Attribute:
    tag = tag_of(keyword)
    if tag is None:
        raise LookupError(keyword)
    return Attribute(
        keyword=keyword,
        tag=tag,
        vr=dictionary_vr(tag),
        level=level,
        column=column,
        kind=kind,
        usage=Usage(usage),
        source=source,
        partner=partner,
    )


_P, _ST, _SE, _I = Level.PATIENT, Level.STUDY, Level.SERIES, Level.IMAGE

ATTRIBUTES: dict[int, Attribute] = {
    attribute.tag: attribute
    for attribute in (
        # PS3.4 Table C.6-1
        _attribute(_P, "PatientID", "patient_id", Kind.KEY, "U"),
        _attribute(_P, "PatientName", "patient_name", Kind.NAME, "R"),
        _attribute(_P, "IssuerOfPatientID", "issuer_of_patient_id", Kind.KEY),
        _attribute(_P, "PatientBirthDate", "patient_birth_date", Kind.DATE),
        _attribute(_P, "PatientBirthTime", "patient_birth_time"),
        _attribute(_P, "PatientSex", "patient_sex", Kind.KEY),
        _attribute(_P, "OtherPatientIDs", "other_patient_ids", Kind.VALUES),
        _attribute(_P, "EthnicGroup", "ethnic_group", Kind.TEXT),
        _attribute(_P, "PatientComments", "patient_comments", Kind.TEXT),
        _attribute(_P, "NumberOfPatientRelatedStudies", "studies", source=Source.COUNT),
        _attribute(_P, "NumberOfPatientRelatedSeries", "series", source=Source.COUNT),
        _attribute(_P, "NumberOfPatientRelatedInstances", "instances", source=Source.COUNT),
        # PS3.4 Table C.6-2
        _attribute(_ST, "StudyInstanceUID", "study_instance_uid", Kind.UID, "U"),
        _attribute(_ST, "StudyDate", "study_date", Kind.DATE, "R", partner="StudyTime"),
        _attribute(_ST, "StudyTime", "study_time", Kind.TIME, "R"),
        _attribute(_ST, "AccessionNumber", "accession_number", Kind.KEY, "R"),
        _attribute(_ST, "StudyID", "study_id", Kind.KEY, "R"),
        _attribute(_ST, "IssuerOfAccessionNumberSequence", "issuer_of_accession_number", source=Source.ISSUER),
        _attribute(_ST, "ModalitiesInStudy", "modalities_in_study", Kind.VALUES),
        _attribute(_ST, "SOPClassesInStudy", "sop_classes_in_study", Kind.VALUES),
        _attribute(_ST, "ReferringPhysicianName", "referring_physician_name", Kind.NAME),
        _attribute(_ST, "StudyDescription", "study_description", Kind.KEY),
        _attribute(_ST, "NameOfPhysiciansReadingStudy", "name_of_physicians_reading_study"),
        _attribute(_ST, "AdmittingDiagnosesDescription", "admitting_diagnoses_description", Kind.VALUES),
        _attribute(_ST, "PatientAge", "patient_age"),
        _attribute(_ST, "PatientSize", "patient_size"),
        _attribute(_ST, "PatientWeight", "patient_weight"),
        _attribute(_ST, "TimezoneOffsetFromUTC", "timezone_offset_from_utc"),
        _attribute(_ST, "NumberOfStudyRelatedSeries", "number_of_study_related_series", Kind.COUNT),
        _attribute(_ST, "NumberOfStudyRelatedInstances", "number_of_study_related_instances", Kind.COUNT),
        # PS3.4 Table C.6-3
        _attribute(_SE, "SeriesInstanceUID", "series_instance_uid", Kind.UID, "U"),
        _attribute(_SE, "Modality", "modality", Kind.KEY, "R"),
        _attribute(_SE, "SeriesNumber", "series_number", Kind.NUMBER, "R"),
        _attribute(_SE, "SeriesDescription", "series_description", Kind.KEY),
        _attribute(_SE, "SeriesDate", "series_date", Kind.DATE, partner="SeriesTime"),
        _attribute(_SE, "SeriesTime", "series_time", Kind.TIME),
        _attribute(_SE, "BodyPartExamined", "body_part_examined", Kind.KEY),
        _attribute(_SE, "Laterality", "laterality", Kind.KEY),
        _attribute(_SE, "ProtocolName", "protocol_name", Kind.KEY),
        _attribute(_SE, "StationName", "station_name", Kind.KEY),
        _attribute(_SE, "InstitutionName", "institution_name", Kind.KEY),
        _attribute(_SE, "Manufacturer", "manufacturer", Kind.KEY),
        _attribute(_SE, "PerformingPhysicianName", "performing_physician_name", Kind.NAMES),
        _attribute(_SE, "OperatorsName", "operators_name"),
        _attribute(
            _SE,
            "PerformedProcedureStepStartDate",
            "performed_procedure_step_start_date",
            Kind.DATE,
            partner="PerformedProcedureStepStartTime",
        ),
        _attribute(_SE, "PerformedProcedureStepStartTime", "performed_procedure_step_start_time", Kind.TIME),
        _attribute(_SE, "PerformedProcedureStepID", "performed_procedure_step_id", Kind.KEY),
        _attribute(_SE, "RequestAttributesSequence", "request_attributes_sequence", source=Source.SEQUENCE),
        _attribute(_SE, "NumberOfSeriesRelatedInstances", "number_of_series_related_instances", Kind.COUNT),
        # PS3.4 Table C.6-4
        _attribute(_I, "SOPInstanceUID", "sop_instance_uid", Kind.UID, "U"),
        _attribute(_I, "SOPClassUID", "sop_class_uid", Kind.UID),
        _attribute(_I, "InstanceNumber", "instance_number", Kind.NUMBER, "R"),
        _attribute(_I, "ContentDate", "content_date"),
        _attribute(_I, "ContentTime", "content_time"),
        _attribute(_I, "AcquisitionNumber", "acquisition_number"),
        _attribute(_I, "ImageType", "image_type", Kind.VALUES),
        _attribute(_I, "NumberOfFrames", "number_of_frames"),
        _attribute(_I, "Rows", "rows"),
        _attribute(_I, "Columns", "columns"),
        _attribute(_I, "BitsAllocated", "bits_allocated"),
        # Not a key of the tables, yet asked for: how the object lies in the archive (PS3.4 C.6.1.1.5.2).
        _attribute(_I, "AvailableTransferSyntaxUID", "transfer_syntax_uid", Kind.UID),
    )
}
BY_KEYWORD = {attribute.keyword: attribute for attribute in ATTRIBUTES.values()}
UNIQUE_KEYS = {attribute.level: attribute for attribute in ATTRIBUTES.values() if attribute.usage is Usage.UNIQUE}

# Columns of `SeriesRequest`: the keys of one item of Request Attributes Sequence that can be matched.
REQUEST_KEYS: dict[int, Attribute] = {
    attribute.tag: attribute
    for attribute in (
        _attribute(_SE, "RequestedProcedureID", "requested_procedure_id", Kind.KEY),
        _attribute(_SE, "ScheduledProcedureStepID", "scheduled_procedure_step_id", Kind.KEY),
        _attribute(_SE, "AccessionNumber", "accession_number", Kind.KEY),
        _attribute(_SE, "StudyInstanceUID", "study_instance_uid", Kind.UID),
    )
}

# Answered whether asked for or not, or said about the query itself; never matched.
NOT_KEYS = frozenset(
    {SPECIFIC_CHARACTER_SET, QUERY_RETRIEVE_LEVEL, QUERY_RETRIEVE_VIEW, RETRIEVE_AE_TITLE, INSTANCE_AVAILABILITY}
)

_UPWARD = ("", "patient", "study", "series")  # foreign key of each level's model to the level above


def path(*, start: Level, target: Level) -> str:
    """Lookup prefix from a row of one level to the row of the same or a higher level, with the separator."""
    return "".join(f"{_UPWARD[level]}__" for level in range(start, target, -1))
