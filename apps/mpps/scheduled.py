"""Performed steps and the scheduled ones they are: several for one, one for several, none for some."""

from collections.abc import Sequence
from typing import Final

from django.db import transaction
from django.db.models import Q, QuerySet

from apps.accounts.principal import Principal, system
from apps.audit import trail
from apps.audit.trail import Actor
from apps.failpoints import failpoint
from apps.jobs.run import JobRun
from apps.mpps.models import TEXT, UID, PerformedProcedureStep, PerformedStatus, ScheduledStepAttributes
from apps.worklist import deciding, schedule
from apps.worklist.models import RequestedProcedure, ScheduledProcedureStep, StepStatus
from dicom import mpps
from dicom.dicomjson import Json
from dicom.jsonmodel import items, text
from dicom.values import clean_uid

REPORTER: Final = "modality performed procedure step"
_REPORTED: Final = frozenset({StepStatus.STARTED, StepStatus.COMPLETED, StepStatus.DISCONTINUED})


def write(performed: PerformedProcedureStep) -> None:
    """Rows for the items of its Scheduled Step Attributes Sequence, linked to the steps they mean; these move on."""
    rows = [
        ScheduledStepAttributes(
            performed=performed,
            position=position,
            study_instance_uid=clean_uid(text(item, mpps.STUDY_INSTANCE_UID))[:UID],
            accession_number=text(item, 0x00080050)[:TEXT],
            requested_procedure_id=text(item, 0x00401001)[:TEXT],
            scheduled_procedure_step_id=text(item, 0x00400009)[:TEXT],
        )
        for position, item in enumerate(items(performed.attributes, mpps.SCHEDULED_STEP_ATTRIBUTES))
    ]
    _link(rows)
    for row in rows:
        row.save()
    report(performed)


def link_performed(run: JobRun) -> None:
    """A kind of job: performed steps that were reported before the order they name was here, or was as it is."""
    linked = 0
    for step in ScheduledProcedureStep.objects.filter(pk__in=run.arguments.get("step", [])).order_by("pk"):
        run.check()
        linked += _adopt(step)
    run.log(f"{linked} performed steps linked")


def _adopt(step: ScheduledProcedureStep) -> int:
    """Those that name this step and are linked to none; how many."""
    named = Q(study_instance_uid=step.requested_procedure.study_instance_uid)
    named |= Q(scheduled_procedure_step_id=step.scheduled_procedure_step_id)
    with transaction.atomic():
        rows = ScheduledStepAttributes.objects.select_for_update(of=("self",)).select_related("performed")
        adopted = 0
        for row in rows.filter(named, step=None, by_hand=False).order_by("pk"):
            before = row.of_another_patient
            _link([row])
            if row.step_id is not None or row.of_another_patient != before:
                row.save(update_fields=["step", "of_another_patient"])
            if row.step_id is not None:
                adopted += 1
                settle(row.step_id, detail={"performed": row.performed.sop_instance_uid})
        failpoint("link_performed.adopting")
    failpoint("link_performed.adopted")
    return adopted


def _link(rows: Sequence[ScheduledStepAttributes]) -> None:
    """To the steps they name, unless that is another patient's; held, so that nobody moves them to one meanwhile, and
    in one order, so that two reports never wait for each other in a circle."""
    named = [meant(row) for row in rows]
    held = {key: schedule.locked(key) for key in sorted({step.pk for step in named if step is not None})}
    for row, step in zip(rows, named, strict=True):
        row.step = held[step.pk] if step is not None else None
        row.of_another_patient = row.step is not None and not _same_patient(row.performed, row.step)
        if row.of_another_patient:
            row.step = None


def _same_patient(performed: PerformedProcedureStep, step: ScheduledProcedureStep) -> bool:
    """A report without a patient ID is about whom the step is for."""
    patient = step.requested_procedure.imaging_service_request.patient
    pairs = (
        (performed.patient_id, patient.patient_id),
        (performed.issuer_of_patient_id, patient.issuer_of_patient_id),
    )
    return all(ours == theirs for theirs, ours in pairs if theirs and ours)


def meant(row: ScheduledStepAttributes) -> ScheduledProcedureStep | None:
    """The one scheduled step that an item names; None where there is none, or several might be."""
    of_study = ScheduledProcedureStep.objects.filter(requested_procedure__study_instance_uid=row.study_instance_uid)
    if not row.scheduled_procedure_step_id:
        return _only(of_study)  # some modalities leave the ID out: plain where the study has one step
    named = ScheduledProcedureStep.objects.filter(scheduled_procedure_step_id=row.scheduled_procedure_step_id)
    by_study = of_study.filter(scheduled_procedure_step_id=row.scheduled_procedure_step_id)
    if (found := _only(by_study)) is not None:
        return found
    # The modality made a Study Instance UID of its own.
    numbers = {
        "requested_procedure__requested_procedure_id": row.requested_procedure_id,
        "requested_procedure__imaging_service_request__accession_number": row.accession_number,
    }
    given = {path: number for path, number in numbers.items() if number}
    return _only(named.filter(**given)) if given else None


def _only(steps: QuerySet[ScheduledProcedureStep]) -> ScheduledProcedureStep | None:
    found = list(steps[:2])
    return found[0] if len(found) == 1 else None


def report(performed: PerformedProcedureStep) -> None:
    """Moves each scheduled step to what its performed ones say together; sorted: two reports never wait for each
    other in a circle."""
    linked = performed.scheduled.filter(step__isnull=False).order_by("step_id").values_list("step_id", flat=True)
    for step_id in sorted(set(linked)):
        settle(step_id, detail={"performed": performed.sop_instance_uid}, reason=performed.discontinuation_reason)
    if performed.needs_reconciliation:
        # WIRE 31: its images are somebody else's, so a person has to look at them.
        for procedure in RequestedProcedure.objects.filter(steps__in=linked).distinct().order_by("pk"):
            deciding.question(principal=system(REPORTER), procedure=procedure, why=performed.discontinuation_reason)


def attach(*, principal: Principal, item_id: int, step_id: int | None, reason: str) -> ScheduledStepAttributes:
    """A person says which scheduled step an item of a performed one means, or that it means none. Raises
    schedule.NoSuchStep, schedule.NotAllowed."""
    if not principal.may_schedule:
        raise schedule.NotAllowed("Not allowed to link performed steps")
    with transaction.atomic():
        row = ScheduledStepAttributes.objects.select_for_update().filter(pk=item_id).first()
        if row is None:
            raise schedule.NoSuchStep("There is no such performed step")
        before, after = row.step_id, schedule.locked(step_id).pk if step_id is not None else None
        row.step_id, row.by_hand, row.of_another_patient = after, True, False
        row.save(update_fields=["step", "by_hand", "of_another_patient"])
        detail = {"performed": row.performed.sop_instance_uid}
        for changed in sorted({key for key in (before, after) if key is not None}):
            settle(changed, detail=detail, reason=reason, principal=principal)
        trail.record(
            actor=Actor.of(principal),
            action="link performed step",
            object=f"performed-step {row.performed.sop_instance_uid}",
            detail={"before": before, "after": after, "reason": reason},
        )
    return row


def settle(step_id: int | None, *, detail: Json, reason: str = "", principal: Principal | None = None) -> None:
    """A scheduled step becomes what its performed ones say of it."""
    if step_id is None:
        return
    step = schedule.locked(step_id)
    to = _status(step)
    if to is not None:
        schedule.performed(principal=principal or system(REPORTER), step=step, to=to, reason=reason, detail=detail)


def _status(step: ScheduledProcedureStep) -> StepStatus | None:
    """None: they say nothing."""
    rows = PerformedProcedureStep.objects.filter(scheduled__step=step).values_list("status", "needs_reconciliation")
    all_rows = set(rows)
    meant_it = {status for status, given_back in all_rows if not given_back}
    if PerformedStatus.IN_PROGRESS in meant_it:
        return StepStatus.STARTED
    if PerformedStatus.COMPLETED in meant_it:
        return StepStatus.COMPLETED
    if meant_it:
        return StepStatus.DISCONTINUED
    # All gave it back, or were taken off: it waits again, unless people have decided otherwise meanwhile.
    return _before(step) if step.status in _REPORTED else None


def _before(step: ScheduledProcedureStep) -> StepStatus:
    """What the step was before a modality took it."""
    waiting = (StepStatus.SCHEDULED, StepStatus.ARRIVED, StepStatus.READY)
    last = step.events.filter(status__in=waiting).order_by("-id").values_list("status", flat=True).first()
    return StepStatus(last) if last else StepStatus.SCHEDULED
