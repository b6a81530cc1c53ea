"""Orders as documents -> steps: one, or many, each with an outcome of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

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


Reading: TypeAlias = tuple[Order, StepStatus] | Outcome  # of a document, or why it cannot be read


class _Undone(Exception):
    """One has failed, so none is made."""


def create(document: Any, *, read: Read, principal: Principal, update_patient: bool) -> ScheduledProcedureStep:
    return _scheduled(*read(document), principal=principal, update_patient=update_patient)


def create_all(
    documents: Sequence[Any], *, read: Read, principal: Principal, update_patient: bool, atomic: bool
) -> list[Outcome]:
    """What became of each; `atomic`: all or none."""
    if not 0 < len(documents) <= MOST:
        raise InvalidRequest({"body": f"1 to {MOST} orders at once"})
    readings = [_reading(document, read) for document in documents]

    def one(reading: Reading) -> Outcome:
        if isinstance(reading, Outcome):
            return reading
        try:
            step = _scheduled(*reading, principal=principal, update_patient=update_patient)
        except DicomError as error:
            return _failed(error)
        return Outcome(CREATED, {"status": CREATED, "row": plain.row(step)})

    return _all_or_none(readings, one) if atomic else _each(readings, one)


def _scheduled(
    order: Order, status: StepStatus, *, principal: Principal, update_patient: bool
) -> ScheduledProcedureStep:
    with transaction.atomic():
        step = schedule.schedule(principal=principal, order=order, update_patient=update_patient)
        return schedule.advance(principal=principal, step_id=step.pk, to=status) if status != step.status else step


def _reading(document: Any, read: Read) -> Reading:
    try:
        return read(document)
    except DicomError as error:
        return _failed(error)


def _failed(error: DicomError) -> Outcome:
    problem = described(error)
    return Outcome(problem["status"], problem)


def _each(readings: Sequence[Reading], one: Callable[[Reading], Outcome]) -> list[Outcome]:
    """Sorted by what rows are found by: of two requests that share rows, each one transaction (an Idempotency-Key makes
    it that, too), one waits for the other, and never both."""
    outcomes = {
        index: one(readings[index]) for index in sorted(range(len(readings)), key=lambda at: _key(readings[at]))
    }
    return [outcomes[index] for index in range(len(readings))]


def _all_or_none(readings: Sequence[Reading], one: Callable[[Reading], Outcome]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    try:
        with transaction.atomic():
            outcomes = _each(readings, one)
            if any(outcome.status != CREATED for outcome in outcomes):
                raise _Undone
    except _Undone:
        undone = Outcome(FAILED_DEPENDENCY, {"title": "Another one has failed", "status": FAILED_DEPENDENCY})
        outcomes = [undone if outcome.status == CREATED else outcome for outcome in outcomes]
    return outcomes


def _key(reading: Reading) -> tuple[str, ...]:
    if isinstance(reading, Outcome):
        return ()
    order = reading[0]
    names = (order.patient_id, order.issuer_of_patient_id, order.accession_number, order.requested_procedure_id)
    return tuple((name or "").strip() for name in names)


def status_of(outcomes: Sequence[Outcome], *, atomic: bool) -> int:
    """Of the whole: what all have, else 207; where none was made because of some, that of the first of these."""
    statuses = [outcome.status for outcome in outcomes]
    if atomic and set(statuses) != {CREATED}:
        return next(status for status in statuses if status != FAILED_DEPENDENCY)
    return statuses[0] if len(set(statuses)) == 1 else MULTI_STATUS
