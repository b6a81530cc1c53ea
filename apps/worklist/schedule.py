"""The life of an order: scheduled, changed, cancelled, performed. Each verb is one transaction: the rows, the step's
history, the audit trail and the news for upper rooms stand or fall together."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from apps.accounts.principal import Principal
from apps.audit import trail
from apps.audit.trail import Actor
from apps.jobs import outbox
from apps.worklist import entities
from apps.worklist.attributes import Level, level_of
from apps.worklist.models import TEXT, ScheduledProcedureStep, StepEvent, StepStatus
from apps.worklist.order import InvalidOrder, Order, checked
from dicom.errors import DicomError

STEP_CHANGED: Final = "step_changed"

_ATTEMPTS: Final = 5
_BEFORE: Final = frozenset({StepStatus.SCHEDULED, StepStatus.ARRIVED, StepStatus.READY})
FIRST: Final = _BEFORE  # of a new step
# What people may do with a step; a modality that reports by MPPS goes by `performed`.
TRANSITIONS: Final[Mapping[StepStatus, frozenset[StepStatus]]] = {
    **{
        status: (_BEFORE - {status}) | {StepStatus.STARTED, StepStatus.COMPLETED, StepStatus.CANCELLED}
        for status in _BEFORE
    },
    StepStatus.STARTED: frozenset({StepStatus.COMPLETED, StepStatus.DISCONTINUED, StepStatus.READY}),
    StepStatus.COMPLETED: frozenset(),
    StepStatus.DISCONTINUED: frozenset({StepStatus.SCHEDULED}),
    StepStatus.CANCELLED: frozenset({StepStatus.SCHEDULED}),
}
# A record of why is needed.
WITH_REASON: Final = frozenset({StepStatus.CANCELLED, StepStatus.DISCONTINUED})


class NotAllowed(DicomError):
    http_status = 403


class NoSuchStep(DicomError):
    http_status = 404


class WrongStatus(DicomError):
    """The step is not in a status in which this can be done."""

    http_status = 409


class Stale(DicomError):
    """Somebody changed the step since it was read."""

    http_status = 409


def schedule(
    *,
    principal: Principal,
    order: Order,
    update_patient: bool = False,
    lenient: bool = False,
    reason: str = "",
) -> ScheduledProcedureStep:
    """A new step; the rows above are made, or joined by patient ID, accession number and requested procedure ID.

    What is not given of numbers and UIDs is generated; without a start it is now. `update_patient`: a known patient's
    name, birth date or sex may change; `lenient` as in `order.checked`. Raises InvalidOrder, and
    entities.Disagreement when what is there says otherwise.
    """
    _require(principal)
    order = _complete(checked(order, lenient=lenient))
    for attempt in range(_ATTEMPTS):
        try:
            with transaction.atomic():
                step, changes = entities.create(order, update_patient=update_patient)
                _record(step, "schedule", principal=principal, reason=reason, detail=changes)
                _record_below(step, changes, principal=principal, reason=reason)
            return step
        except IntegrityError:  # somebody made one of the rows at the same moment: join it
            if attempt + 1 == _ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def reschedule(
    *,
    principal: Principal,
    step_id: int,
    changes: Order,
    version: str | None = None,
    update_patient: bool = False,
    lenient: bool = False,
    reason: str = "",
) -> ScheduledProcedureStep:
    """Changes what `changes` says, at whatever level. `version`: of the step as the caller knows it.

    Once the step has begun, what identifies it, and whom it is for, stays. Raises InvalidOrder, Stale, WrongStatus.
    """
    _require(principal)
    changes = checked(changes, lenient=lenient)
    with transaction.atomic():
        step = locked(step_id, version=version)
        done = entities.change(step, changes, update_patient=update_patient)
        if done:
            _record(step, "reschedule", principal=principal, reason=reason, detail=done)
            _record_below(step, done, principal=principal, reason=reason)
    return step


def cancel(*, principal: Principal, step_id: int, reason: str, version: str | None = None) -> ScheduledProcedureStep:
    return advance(principal=principal, step_id=step_id, to=StepStatus.CANCELLED, reason=reason, version=version)


def advance(
    *, principal: Principal, step_id: int, to: StepStatus, reason: str = "", version: str | None = None
) -> ScheduledProcedureStep:
    """A person says that a step has come to `to`. Raises WrongStatus where no way leads there, InvalidOrder without
    the reason that the record needs, Stale."""
    _require(principal)
    if to in WITH_REASON and not reason.strip():
        raise InvalidOrder({"reason": "is needed"})
    with transaction.atomic():
        step = locked(step_id, version=version)
        if to == step.status:
            return step
        if to not in TRANSITIONS[StepStatus(step.status)]:
            raise WrongStatus(f"A step that is {step.status} does not become {to}")
        _move(step, to)
        _record(step, "status", principal=principal, reason=reason)
    return step


def performed(
    *, principal: Principal, step: ScheduledProcedureStep, to: StepStatus, reason: str = "", detail: Mapping[str, Any]
) -> bool:
    """What the performed steps of a scheduled one say of it, whatever it was; call it in their transaction, with the
    step from `locked`. Whether it moved."""
    if to == step.status:
        return False
    _move(step, to)
    _record(step, "performed", principal=principal, reason=reason, detail=detail)
    return True


def locked(step_id: int, *, version: str | None = None) -> ScheduledProcedureStep:
    """The step with the rows above, held until the transaction ends. Raises NoSuchStep, and Stale when it is no longer
    as the caller knows it."""
    # From the top, as orders are made: two who change steps of one patient wait for each other in one direction.
    above = "requested_procedure__imaging_service_request"
    held = (f"{above}__patient", above, "requested_procedure", "self")
    steps = ScheduledProcedureStep.objects.with_order().select_for_update(of=held, no_key=True)
    # Of an order that was moved to others while we waited PostgreSQL finds nothing at first.
    found = (steps.filter(pk=step_id).first() for _ in range(_ATTEMPTS))
    step = next((each for each in found if each is not None), None)
    if step is None:
        raise NoSuchStep("There is no such step")
    if version is not None and version != step.version:
        raise Stale("The step was changed meanwhile")
    return step


def _require(principal: Principal) -> None:
    """Reading the worklist is a right of its own: who may also store or report (technologists) changes it."""
    if not principal.may_schedule:
        raise NotAllowed("Not allowed to change the worklist")


def _complete(order: Order) -> Order:
    """With what is generated that needs no row: numbers come from the rows' keys."""
    missing = {name: "is needed" for name in ("patient_id", "patient_name") if not getattr(order, name)}
    if missing:
        raise InvalidOrder(missing)
    now = timezone.localtime().replace(tzinfo=None)
    return replace(
        order,
        modality=order.modality or "OT",
        scheduled_procedure_step_start_date=order.scheduled_procedure_step_start_date or f"{now:%Y%m%d}",
        scheduled_procedure_step_start_time=order.scheduled_procedure_step_start_time or _start_time(order, now),
    )


def _start_time(order: Order, now: datetime) -> str:
    """Of a day that was named without a time its beginning, else now."""
    return "000000" if order.scheduled_procedure_step_start_date else f"{now:%H%M}00"


def _record_below(
    step: ScheduledProcedureStep, changes: Mapping[str, Any], *, principal: Principal, reason: str
) -> None:
    """A change of what several steps share stands in the history of each: those of the request, and of the patient
    those that are not over."""
    shared = {name: change for name, change in changes.items() if level_of(name) is not Level.STEP}
    if not shared:
        return
    request = step.requested_procedure.imaging_service_request
    scope = Q(requested_procedure__imaging_service_request=request)
    if any(level_of(name) is Level.PATIENT for name in shared):
        of_patient = Q(requested_procedure__imaging_service_request__patient=request.patient_id)
        scope |= of_patient & Q(status__in=[*_BEFORE, StepStatus.STARTED])
    others = ScheduledProcedureStep.objects.filter(scope).exclude(pk=step.pk)
    others.update(changed_at=timezone.now())
    for other in others.order_by("pk"):
        _record(other, "reschedule", principal=principal, reason=reason, detail=shared)


def _move(step: ScheduledProcedureStep, to: StepStatus) -> None:
    moved = ScheduledProcedureStep.objects.filter(pk=step.pk, status=step.status).update(
        status=to, revision=F("revision") + 1, changed_at=timezone.now()
    )
    if not moved:
        raise Stale("The step was changed meanwhile")
    step.refresh_from_db(fields=["status", "revision", "changed_at"])


def _record(
    step: ScheduledProcedureStep,
    action: str,
    *,
    principal: Principal,
    reason: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    StepEvent.objects.create(
        step=step,
        at=timezone.now(),
        action=action,
        status=step.status,
        actor=principal.name[:150],
        reason=reason[:TEXT],
        detail=dict(detail or {}),
    )
    # The trail names what changed, not the values: they are patient data, kept in the history.
    trail.record(
        actor=Actor.of(principal),
        action=f"{action} step",
        object=f"step {step.scheduled_procedure_step_id}",
        detail={"status": step.status, "attributes": sorted(detail or {}), "reason": reason},
    )
    outbox.write(STEP_CHANGED, {"step": step.pk})
