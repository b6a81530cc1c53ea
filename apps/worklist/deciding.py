"""What a person decides of a study and an order: that they belong together, that they do not."""

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.principal import Principal, system
from apps.storage.models import Study
from apps.worklist import linking, schedule
from apps.worklist.models import TEXT, LinkState, RequestedProcedure, ScheduledProcedureStep, StudyLink
from dicom.errors import DicomError


class NoSuchLink(DicomError):
    http_status = 404


class WrongState(DicomError):
    """What is asked for cannot be done with the link as it is."""

    http_status = 409


def link(*, principal: Principal, link_id: int, reason: str = "", revision: int | None = None) -> StudyLink:
    """They belong together, whatever differs."""
    states = (LinkState.MISMATCH, LinkState.DISMISSED, LinkState.WITHDRAWN)
    return _decide(principal, link_id, states, LinkState.LINKED, action="link", reason=reason, revision=revision)


def unlink(*, principal: Principal, link_id: int, reason: str = "", revision: int | None = None) -> StudyLink:
    """They do not belong together; asked again when what they say has changed."""
    states = (LinkState.LINKED,)
    return _decide(principal, link_id, states, LinkState.DISMISSED, action="unlink", reason=reason, revision=revision)


def dismiss(*, principal: Principal, link_id: int, reason: str = "", revision: int | None = None) -> StudyLink:
    """As `unlink`, of what nobody has linked."""
    states = (LinkState.MISMATCH,)
    return _decide(principal, link_id, states, LinkState.DISMISSED, action="dismiss", reason=reason, revision=revision)


def link_by_hand(*, principal: Principal, study_instance_uid: str, step_id: int, reason: str = "") -> StudyLink:
    """A study with an order that nothing has brought together. Raises NoSuchLink where one of them is not there."""
    _require(principal)
    study = Study.objects.visible_to(principal).filter(study_instance_uid=study_instance_uid).first()
    step = ScheduledProcedureStep.objects.visible_to(principal).with_order().filter(pk=step_id).first()
    if study is None or step is None:
        raise NoSuchLink("There is no such study" if study is None else "There is no such step")
    procedure = step.requested_procedure
    known = StudyLink.objects.filter(study_instance_uid=study_instance_uid, requested_procedure=procedure).first()
    if known is None:
        known = _made(study, procedure)
    if known.state == LinkState.LINKED:
        raise WrongState("They are linked already")
    return link(principal=principal, link_id=known.pk, reason=reason)


@transaction.atomic
def question(*, principal: Principal, procedure: RequestedProcedure, why: str) -> None:
    """The images of this order may be another's, so a person has to look, also at those that are still to come."""
    uids = {procedure.study_instance_uid, *procedure.study_links.values_list("study_instance_uid", flat=True)}
    for uid in sorted(uids):
        row, _ = StudyLink.objects.select_for_update().get_or_create(
            study_instance_uid=uid,
            requested_procedure=procedure,
            defaults={"state": LinkState.WITHDRAWN, "matched_by": linking.BY_UID, "changed_at": timezone.now()},
        )
        if row.state == LinkState.DISMISSED:
            continue
        is_there = Study.objects.filter(study_instance_uid=uid).exists()
        row.question, row.decided_by, row.reason = why[:TEXT], "", ""
        state = LinkState.MISMATCH if is_there else LinkState(row.state)
        linking.move(row, state, action="question", principal=principal, reason=why)


def _require(principal: Principal) -> None:
    if not principal.may_schedule:
        raise schedule.NotAllowed("Not allowed to decide of studies and orders")


def _made(study: Study, procedure: RequestedProcedure) -> StudyLink:
    try:
        with transaction.atomic():
            return StudyLink.objects.create(
                study_instance_uid=study.study_instance_uid,
                requested_procedure=procedure,
                state=LinkState.WITHDRAWN,
                matched_by=linking.BY_HAND,
                compared=linking.compare(study, procedure),
                changed_at=timezone.now(),
            )
    except IntegrityError:
        return StudyLink.objects.get(study_instance_uid=study.study_instance_uid, requested_procedure=procedure)


def _decide(
    principal: Principal,
    link_id: int,
    states: tuple[LinkState, ...],
    to: LinkState,
    *,
    action: str,
    reason: str,
    revision: int | None,
) -> StudyLink:
    _require(principal)
    with transaction.atomic():
        row = StudyLink.objects.visible_to(principal).select_for_update().filter(pk=link_id).first()
        if row is None:
            raise NoSuchLink("There is no such link")
        if revision not in (None, row.revision):
            raise schedule.Stale("The link was changed meanwhile")
        if row.state not in states:
            raise WrongState(f"What is {row.state} cannot be changed by {action}")
        row.decided_by, row.reason, row.question = principal.name[:150], reason[:TEXT], ""
        linking.move(row, to, action=action, principal=principal, reason=reason)
        linking.match_study(
            row.study_instance_uid, principal=system("linking")
        )  # others are proposed no more, or again
    return row
