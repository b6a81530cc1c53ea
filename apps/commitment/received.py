"""Requests that peers make of us: kept with the job that decides them, before they are told that we know."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.principal import Principal
from apps.commitment import pages, reporting
from apps.commitment.models import CommitmentRequest, Direction, State
from apps.commitment.pages import Entry
from apps.failpoints import failpoint
from apps.jobs import queue
from dicom import status
from dicom.commitment import Commitment

DECIDE = "commitment_decide"
HOLD = timedelta(seconds=6)  # that an association keeps a report to itself without a sign of life


def receive(
    *,
    principal: Principal,
    commitment: Commitment,
    calling_ae_title: str,
    called_ae_title: str,
    association_id: str = "",
) -> CommitmentRequest:
    """Row, references and job in one transaction. The same request again is answered again; other instances under the
    same UID are a request of their own, none of which is committed (PS3.3 C.14.1.1: 0131)."""
    digest = pages.digest_of(commitment.references)
    now = timezone.now()
    held = {"held_by": association_id, "held_until": now + HOLD if association_id else None}
    while True:
        try:
            with transaction.atomic():
                known = (
                    CommitmentRequest.objects.select_for_update()
                    .filter(
                        direction=Direction.RECEIVED,
                        calling_ae_title=calling_ae_title,
                        transaction_uid=commitment.transaction_uid,
                        repeats=False,
                    )
                    .first()
                )
                if known is not None and known.digest == digest:
                    _again(known, commitment, principal, now, held)
                    return known
                request = CommitmentRequest.objects.create(
                    direction=Direction.RECEIVED,
                    transaction_uid=commitment.transaction_uid,
                    repeats=known is not None,
                    peer=principal.name,
                    calling_ae_title=calling_ae_title,
                    called_ae_title=called_ae_title,
                    digest=digest,
                    references=len(commitment.references),
                    created_at=now,
                    asked_at=now,
                    **held,
                )
                _write(request, commitment)
                _submit(request, principal)
                failpoint("commitment.received")
                return request
        except IntegrityError:
            continue  # the same request on another association at the same moment


def _again(
    request: CommitmentRequest,
    commitment: Commitment,
    principal: Principal,
    now: datetime,
    held: Mapping[str, object],
) -> None:
    """Whoever asks once more has not heard of it: decided anew if it was over, and told on his new association."""
    for name, value in held.items():
        setattr(request, name, value)
    if request.state != State.DECIDED:
        if request.state != State.ASKED:
            request.pages.all().delete()
            _write(request, commitment)
        request.state, request.asked_at, request.error = State.ASKED, now, ""
        request.committed = request.failed = 0
        request.decided_at = request.reported_at = None
    request.save()
    _submit(request, principal)


def _write(request: CommitmentRequest, commitment: Commitment) -> None:
    if not request.repeats:
        pages.write(request, (Entry(each.sop_class_uid, each.sop_instance_uid) for each in commitment.references))
        return
    reason, detail = status.DUPLICATE_TRANSACTION_UID, "Asked before for other instances"
    refused = (Entry(each.sop_class_uid, each.sop_instance_uid, reason, detail) for each in commitment.references)
    request.failed = pages.write(request, refused, decided=True)
    request.state, request.decided_at = State.DECIDED, timezone.now()
    request.save()


def _submit(request: CommitmentRequest, principal: Principal) -> None:
    if request.state == State.DECIDED:
        reporting.submit(request)
        return
    request.job = queue.submit(
        kind=DECIDE,
        principal=principal,
        arguments={"request": request.pk},
        key=str(request.pk),
        priority=1,  # somebody waits
        maximum_attempts=100,  # one for each look at what has not arrived yet
    )
    request.save(update_fields=["job"])
