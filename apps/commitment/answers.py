"""Reports of peers on what we asked of them, whichever association they come on."""

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.commitment import pages
from apps.commitment.models import CommitmentRequest, Direction, State
from apps.jobs import queue
from dicom import status
from dicom.commitment import COMMITTED, TRANSACTION_UID, Commitment
from dicom.dimse import Failed

NOT_NAMED = "The report does not name it"


class UnknownTransaction(Failed):
    """We have asked nothing of the kind of this peer."""

    def __init__(self) -> None:
        comment = "We have asked you for no such transaction"
        super().__init__(status.INVALID_ARGUMENT_VALUE, comment, offending_elements=(TRANSACTION_UID,))


def take(report: Commitment, *, peer: str, ae_title: str) -> None:
    """From the peer of this name or AE title. The same report again changes nothing. Raises UnknownTransaction."""
    with transaction.atomic():
        request = (
            CommitmentRequest.objects.select_for_update()
            .filter(Q(peer=peer) | Q(called_ae_title=ae_title), direction=Direction.SENT)
            .filter(transaction_uid=report.transaction_uid)
            .first()
        )
        if request is None:
            raise UnknownTransaction
        if request.state == State.REPORTED:
            return
        _write(request, report)
    if request.job_id is not None:
        queue.hurry(Q(pk=request.job_id))


def _write(request: CommitmentRequest, report: Commitment) -> None:
    reasons: dict[str, int | None] = {}
    for each in report.references:  # of one that is named as kept and as not kept, the sender must not delete his copy
        reasons[each.sop_instance_uid] = reasons.get(each.sop_instance_uid) or each.reason
    request.committed = request.failed = 0
    for key in list(request.pages.values_list("pk", flat=True)):
        page = request.pages.get(pk=key)
        entries = []
        for entry in pages.of(page):
            reason = reasons.get(entry.sop_instance_uid)
            detail = NOT_NAMED if reason is None else ""
            entries.append(
                entry._replace(reason=status.PROCESSING_FAILURE if reason is None else reason, detail=detail)
            )
        committed = sum(1 for each in entries if each.reason == COMMITTED)
        request.committed += committed
        request.failed += len(entries) - committed
        page.references, page.decided = entries, True
        page.save()
    request.state, request.reported_at, request.error = State.REPORTED, timezone.now(), ""
    request.save()
