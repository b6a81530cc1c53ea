"""What one instance says for the rows of its patient, study, series and itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from apps.storage import columns
from apps.storage.columns import Attribute, Value
from apps.storage.models import TEXT
from apps.storage.received import Received
from dicom.header import Header

PATIENT_ID = 0x00100020
ISSUER_OF_PATIENT_ID = 0x00100021
SPECIFIC_CHARACTER_SET = 0x00080005
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E

_REMEMBERED = 4096


class Identity(NamedTuple):
    """Which patient: an empty Patient ID never merges people, such a patient is one study's alone."""

    patient_id: str
    issuer_of_patient_id: str
    sole_study_instance_uid: str

    @property
    def text(self) -> str:
        return f"{self.patient_id}^^^{self.issuer_of_patient_id}" if self.issuer_of_patient_id else self.patient_id


@dataclass(frozen=True, slots=True)
class Reading:
    received: Received
    name: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    identity: Identity
    patient: tuple[Value, ...]
    study: tuple[Value, ...]
    series: tuple[Value, ...]


class _Level:
    """Reads one level's attributes; remembers, since all images of a series say the same."""

    def __init__(self, attributes: Sequence[Attribute]) -> None:
        self._attributes = attributes
        self._tags = (*(attribute.tag for attribute in attributes), SPECIFIC_CHARACTER_SET)
        self._known: dict[tuple[object, ...], tuple[Value, ...]] = {}

    def read(self, header: Header, default_character_set: str) -> tuple[Value, ...]:
        raw = map(header.elements.get, self._tags)
        key = (*raw, header.implicit, header.little_endian, default_character_set)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[key] = read_attributes(self._attributes, header)
        return known


_PATIENT = _Level(columns.PATIENT)
_STUDY = _Level(columns.STUDY)
_SERIES = _Level(columns.SERIES)


def read_attributes(attributes: Sequence[Attribute], header: Header) -> tuple[Value, ...]:
    return tuple(attribute.kind.read(header, attribute.tag) for attribute in attributes)


def reading(received: Received) -> Reading:
    header = received.header
    character_set = received.provenance.character_set
    study_instance_uid = header.uid(STUDY_INSTANCE_UID)
    return Reading(
        received=received,
        name=received.name,
        sop_instance_uid=received.sop_instance_uid,
        series_instance_uid=header.uid(SERIES_INSTANCE_UID),
        study_instance_uid=study_instance_uid,
        identity=_identity(header, received.provenance.issuer, study_instance_uid),
        patient=_PATIENT.read(header, character_set),
        study=_STUDY.read(header, character_set),
        series=_SERIES.read(header, character_set),
    )


def _identity(header: Header, default_issuer: str, study_instance_uid: str) -> Identity:
    patient_id = header.text(PATIENT_ID)[:TEXT]
    if not patient_id:
        return Identity("", "", study_instance_uid)
    return Identity(patient_id, (header.text(ISSUER_OF_PATIENT_ID) or default_issuer)[:TEXT], "")
