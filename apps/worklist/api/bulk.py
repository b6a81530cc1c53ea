"""Orders as documents -> steps: one, or many, each with an outcome of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction

from apps.accounts.http import described
from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest
from apps.worklist import plain, schedule
from apps.worklist.models import ScheduledProcedureStep, StepStatus
from apps.worklist.order import Order
from dicom.errors import DicomError

MOST: Final = 1000
CREATED: Final = 201
MULTI_STATUS: Final = 207
FAILED_DEPENDENCY: Final = 424  # RFC 4918 11.4: good in itself


Read = Callable[[Any], tuple[Order, StepStatus]]  # of a document


@dataclass(frozen=True, slots=True)
class Outcome:
    status: int
    document: dict[str, Any]


class _Undone(Exception):
    """One has failed, so none is made."""


def create(document: Any, *, read: Read, principal: Principal, update_patient: bool) -> ScheduledProcedureStep:
    order, status = read(document)
    with transaction.atomic():
        step = schedule.schedule(principal=principal, order=order, update_patient=update_patient)
        return schedule.advance(principal=principal, step_id=step.pk, to=status) if status != step.status else step


def create_all(
    documents: Sequence[Any], *, read: Read, principal: Principal, update_patient: bool, atomic: bool
) -> list[Outcome]:
    """In the order given; `atomic`: all or none."""
    if not 0 < len(documents) <= MOST:
        raise InvalidRequest({"body": f"1 to {MOST} orders at once"})

    def one(document: Any) -> Outcome:
        try:
            step = create(document, read=read, principal=principal, update_patient=update_patient)
        except DicomError as error:
            problem = described(error)
            return Outcome(problem["status"], problem)
        return Outcome(CREATED, {"status": CREATED, "row": plain.row(step)})

    return _all_or_none(documents, one) if atomic else [one(document) for document in documents]


def _all_or_none(documents: Sequence[Any], one: Callable[[Any], Outcome]) -> list[Outcome]:
    outcomes: dict[int, Outcome] = {}
    try:
        with transaction.atomic():
            # Sorted by what rows are found by: two of these that share rows wait for each other in turn.
            for index in sorted(range(len(documents)), key=lambda index: _key(documents[index])):
                outcomes[index] = one(documents[index])
            if any(outcome.status != CREATED for outcome in outcomes.values()):
                raise _Undone
    except _Undone:
        undone = Outcome(FAILED_DEPENDENCY, {"title": "Another one has failed", "status": FAILED_DEPENDENCY})
        outcomes = {index: undone if outcome.status == CREATED else outcome for index, outcome in outcomes.items()}
    return [outcomes[index] for index in range(len(documents))]


def _key(document: Any) -> tuple[str, ...]:
    if not isinstance(document, dict):
        return ()
    return tuple(str(document.get(name, "")) for name in ("patient_id", "accession_number", "requested_procedure_id"))


def status_of(outcomes: Sequence[Outcome], *, atomic: bool) -> int:
    """Of the whole: what all have, else 207; where none was made because of some, that of the first of these."""
    statuses = [outcome.status for outcome in outcomes]
    if atomic and set(statuses) != {CREATED}:
        return next(status for status in statuses if status != FAILED_DEPENDENCY)
    return statuses[0] if len(set(statuses)) == 1 else MULTI_STATUS
