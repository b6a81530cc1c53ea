"""The life of a performed procedure step: created, set, ended; by a modality, over REST, or by hand. Each verb is one
transaction: the step, what it says of scheduled ones, its history, the audit trail and the news stand or fall together.
"""

from typing import Any, Final

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.principal import Kind, Principal
from apps.audit import trail
from apps.audit.trail import Actor
from apps.failpoints import failpoint
from apps.jobs import outbox
from apps.mpps import columns, scheduled
from apps.mpps.models import TEXT, PerformedEvent, PerformedProcedureStep, PerformedStatus
from dicom import mpps
from dicom import status as statuses
from dicom.dicomjson import Json
from dicom.mpps import Refused
from dicom.sop_classes import Service
from dicom.values import is_uid, new_uid

PERFORMED_CHANGED: Final = "performed_step_changed"
BY_HAND: Final = (PerformedStatus.COMPLETED, PerformedStatus.DISCONTINUED)


def create(
    *, principal: Principal, sop_instance_uid: str = "", data_set: Json, strict: bool = False
) -> PerformedProcedureStep:
    """N-CREATE (PS3.4 F.7.2.1). Without a UID one is generated (PS3.7 10.1.5.1.4). Raises Refused."""
    _require(principal)
    uid = sop_instance_uid or new_uid()
    if not is_uid(uid):
        raise Refused(statuses.INVALID_INSTANCE, "Not a UID")
    mpps.check_create(data_set, strict=strict)
    now = timezone.now()
    try:
        with transaction.atomic():
            step = PerformedProcedureStep.objects.create(
                sop_instance_uid=uid,
                attributes=data_set,
                calling_ae_title=principal.ae_title if principal.kind is Kind.PEER else "",
                peer=principal.name if principal.kind is Kind.PEER else "",
                created_at=now,
                changed_at=now,
                **columns.of(data_set),
            )
            columns.write_instances(step)
            scheduled.write(step)
            _record(step, "create", principal=principal)
            failpoint("mpps.create")
    except IntegrityError:
        if PerformedProcedureStep.objects.filter(sop_instance_uid=uid).exists():
            raise Refused(statuses.DUPLICATE_INSTANCE, "There is a step of this UID already") from None
        raise
    return step


def modify(
    *, principal: Principal, sop_instance_uid: str, changes: Json, strict: bool = False
) -> PerformedProcedureStep:
    """N-SET (PS3.4 F.7.2.2). Raises Refused."""
    _require(principal)
    with transaction.atomic():
        step = locked(sop_instance_uid)
        data_set = mpps.merged(step.attributes, changes, strict=strict)
        _become(step, data_set)
        _record(step, "set", principal=principal)
        failpoint("mpps.set")
    return step


def retrieve(*, principal: Principal, sop_instance_uid: str, attributes: tuple[int, ...] = ()) -> Json:
    """N-GET (PS3.4 F.8.2.1): the attributes asked for, or all. Raises Refused."""
    if not is_uid(sop_instance_uid):
        raise Refused(statuses.INVALID_INSTANCE, "Not a UID")
    steps = PerformedProcedureStep.objects.visible_to(principal)
    data_set: Json | None = steps.filter(sop_instance_uid=sop_instance_uid).values_list("attributes", flat=True).first()
    if data_set is None:
        raise Refused(statuses.NO_SUCH_INSTANCE, "There is no such step")
    if not attributes:
        return data_set
    wanted = {f"{tag:08X}" for tag in attributes}
    return {tag: element for tag, element in data_set.items() if tag in wanted}


def close(*, principal: Principal, sop_instance_uid: str, to: PerformedStatus, reason: str) -> PerformedProcedureStep:
    """A person ends a step whose modality will not: what is missing stays missing. Raises Refused."""
    if not principal.may_schedule:
        raise Refused(statuses.NOT_AUTHORIZED, "Not allowed to close a step")
    if to not in BY_HAND or not reason.strip():
        raise Refused(statuses.INVALID_ATTRIBUTE_VALUE, "A final status and a reason are needed")
    now = timezone.localtime()
    with transaction.atomic():
        step = locked(sop_instance_uid)
        if step.status != PerformedStatus.IN_PROGRESS:
            comment = f"The step is {step.status} already"
            raise Refused(statuses.PROCESSING_FAILURE, comment, error_id=mpps.MAY_NO_LONGER_BE_UPDATED)
        ended: Json = {
            "00400250": {"vr": "DA", "Value": [f"{now:%Y%m%d}"]},
            "00400251": {"vr": "TM", "Value": [f"{now:%H%M%S}"]},
        }
        _become(step, {**ended, **_said(step.attributes), "00400252": {"vr": "CS", "Value": [str(to)]}})
        _record(step, "close", principal=principal, reason=reason)
    return step


def locked(sop_instance_uid: str) -> PerformedProcedureStep:
    """Held until the transaction ends. Raises Refused."""
    if not is_uid(sop_instance_uid):
        raise Refused(statuses.INVALID_INSTANCE, "Not a UID")
    step = PerformedProcedureStep.objects.select_for_update().filter(sop_instance_uid=sop_instance_uid).first()
    if step is None:
        raise Refused(statuses.NO_SUCH_INSTANCE, "There is no such step")
    return step


def _require(principal: Principal) -> None:
    if not principal.may(Service.MPPS):
        raise Refused(statuses.NOT_AUTHORIZED, "Not allowed to report performed steps")


def _said(data_set: Json) -> Json:
    return {tag: element for tag, element in data_set.items() if element.get("Value") or element.get("InlineBinary")}


def _become(step: PerformedProcedureStep, data_set: Json) -> None:
    """The rows of what the step is now; only from the revision and the open state it was read in."""
    now = timezone.now()
    values: dict[str, Any] = {**columns.of(data_set), "attributes": data_set, "changed_at": now}
    if values["status"] != PerformedStatus.IN_PROGRESS:
        values["ended_at"] = now
    was = {"pk": step.pk, "revision": step.revision, "status": PerformedStatus.IN_PROGRESS}
    if not PerformedProcedureStep.objects.filter(**was).update(revision=step.revision + 1, **values):
        raise Refused(statuses.PROCESSING_FAILURE, "The step was changed meanwhile")
    for name, value in values.items():
        setattr(step, name, value)
    step.revision += 1
    columns.write_instances(step)
    scheduled.report(step)


def _record(step: PerformedProcedureStep, action: str, *, principal: Principal, reason: str = "") -> None:
    PerformedEvent.objects.create(
        performed=step,
        at=timezone.now(),
        action=action,
        status=step.status,
        actor=principal.name[:150],
        reason=reason[:TEXT],
    )
    trail.record(
        actor=Actor.of(principal),
        action=f"{action} performed step",
        object=f"performed-step {step.sop_instance_uid}",
        detail={"status": step.status, "reason": reason},
    )
    outbox.write(PERFORMED_CHANGED, {"performed": step.pk})
