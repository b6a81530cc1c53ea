"""What a form is asked back before it is saved: is it a duplicate, is it the same person."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Q

from apps.accounts.pages import digest
from apps.accounts.principal import Principal
from apps.worklist.entities import Disagreement
from apps.worklist.fields import FIELDS
from apps.worklist.forms import texts_of_patient
from apps.worklist.models import ScheduledProcedureStep, StepStatus, WorklistPatient
from dicom.errors import DicomError
from dicom.values import parse_date

_MOST: Final = 5
_PERSON: Final = ("patient_name", "patient_birth_date", "patient_sex")


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Steps of the same patient on the same day with the same modality or procedure."""

    steps: list[ScheduledProcedureStep]

    @property
    def token(self) -> str:
        """What somebody has seen who says "nevertheless"."""
        return digest([step.pk for step in self.steps])


@dataclass(frozen=True, slots=True)
class AnotherPerson:
    """Under a patient ID that is known: each attribute that differs as it is known and as it was typed."""

    patient: WorklistPatient
    differences: list[Mapping[str, Any]]

    @property
    def fill(self) -> str:
        """The known data, for the form."""
        return json.dumps(texts_of_patient(self.patient))

    @property
    def token(self) -> str:
        seen = [(each["name"], each["known"], each["typed"]) for each in self.differences]
        return digest((self.patient.pk, seen))


class Asked(DicomError):
    """Saving has to wait for an answer."""

    http_status = 409

    def __init__(self, question: AnotherPerson) -> None:
        super().__init__("Another person has this patient ID")
        self.question = question


def duplicates(
    texts: Mapping[str, str], *, principal: Principal, but: ScheduledProcedureStep | None = None
) -> Duplicates | None:
    day = parse_date(texts.get("scheduled_procedure_step_start_date", ""))
    patient_id = texts.get("patient_id", "").strip()
    if day is None or not patient_id:
        return None
    description = texts.get("requested_procedure_description", "").strip()
    same = Q(modality=texts.get("modality", "").strip())
    if description:
        same |= Q(requested_procedure__requested_procedure_description__iexact=description)
    patient = "requested_procedure__imaging_service_request__patient"
    found = (
        ScheduledProcedureStep.objects.visible_to(principal)
        .with_order()
        .filter(same, scheduled_procedure_step_start_date_value=day)
        .filter(**{f"{patient}__patient_id": patient_id})
        .filter(**{f"{patient}__issuer_of_patient_id": texts.get("issuer_of_patient_id", "").strip()})
        .exclude(status__in=(StepStatus.CANCELLED, StepStatus.DISCONTINUED))
        .exclude(pk=but.pk if but else 0)
        .order_by("scheduled_procedure_step_start_time_value", "pk")[:_MOST]
    )
    return Duplicates(list(found)) if found else None


def another_person(texts: Mapping[str, str], disagreement: Disagreement) -> AnotherPerson | None:
    """If that, and nothing else, is what is disagreed about."""
    if not disagreement.errors.keys() <= set(_PERSON):
        return None
    patient = known_patient(texts)
    if patient is None:
        return None
    known = texts_of_patient(patient)
    return AnotherPerson(
        patient,
        [
            {"name": name, "label": FIELDS[name].label, "known": known[name], "typed": texts[name].strip()}
            for name in _PERSON
            if name in disagreement.errors
        ],
    )


def saved(
    texts: Mapping[str, str], confirmed: Collection[str], save: Callable[[bool], ScheduledProcedureStep]
) -> ScheduledProcedureStep:
    """What `save(update_patient)` saves; a known patient is changed only when that was confirmed. Raises Asked."""
    try:
        return save(False)
    except Disagreement as disagreement:
        question = another_person(texts, disagreement)
        if question is None:
            raise
        if not answered(question, confirmed):
            raise Asked(question) from None
    return save(True)


def known_patient(texts: Mapping[str, str]) -> WorklistPatient | None:
    return WorklistPatient.objects.filter(
        patient_id=texts.get("patient_id", "").strip(),
        issuer_of_patient_id=texts.get("issuer_of_patient_id", "").strip(),
    ).first()


def answered(question: Duplicates | AnotherPerson, confirmed: Collection[str]) -> bool:
    """Only what was shown can be confirmed."""
    return question.token in confirmed
