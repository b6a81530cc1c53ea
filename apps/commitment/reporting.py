"""What was decided is told to who asked: on his association by who waits there (`live`), else on one of our own.

Whoever reports holds the request, so that it is told once; a hold that nobody renews runs out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.accounts.principal import system
from apps.commitment import pages, scu
from apps.commitment.models import CommitmentRequest, State
from apps.failpoints import failpoint
from apps.jobs import queue
from apps.jobs.run import JobError, JobRun, TryAgain
from apps.network.calling import secured
from apps.network.models import Listener, Peer
from apps.network.rules import listener_rules, retrieve_ae_titles
from dicom.dimse import Association, DimseError, Timeouts, associate

REPORT = "commitment_report"
ATTEMPTS = 30  # with their pauses, about a day
HOLD = timedelta(minutes=3)  # longer than the peer has for its answer
PATIENCE = Timeouts(connect=10, acse=15, dimse=60, release=5)

_NOBODY = "{} has no host and port: it can be told on the association it asks on only, and that has ended"


def submit(request: CommitmentRequest) -> None:
    """In the transaction that decides; whoever holds the request goes first."""
    held_until = CommitmentRequest.objects.values_list("held_until", flat=True).get(pk=request.pk)
    queue.submit(
        kind=REPORT,
        principal=system("commitment"),
        arguments={"request": request.pk},
        key=str(request.pk),
        peer=request.peer,
        due_at=held_until,
        priority=1,
        maximum_attempts=ATTEMPTS,
    )


def due() -> QuerySet[CommitmentRequest]:
    return CommitmentRequest.objects.filter(state__in=[State.DECIDED, State.NOT_REPORTED])


def hold(key: int, holder: str, until: datetime) -> bool:
    """Whether he may report from now on."""
    free = Q(held_until=None) | Q(held_until__lt=timezone.now()) | Q(held_by=holder)
    return bool(CommitmentRequest.objects.filter(free, pk=key).update(held_by=holder, held_until=until))


def leave(key: int, holder: str, *, error: str = "") -> None:
    """It was not told; somebody else may, at once."""
    held = CommitmentRequest.objects.filter(pk=key, held_by=holder)
    changes = {"error": error[:400]} if error else {}
    if held.update(held_by="", held_until=None, **changes):
        queue.hurry(Q(kind=REPORT, key=str(key)))


def taken(key: int) -> None:
    """The peer has it."""
    due().filter(pk=key).update(state=State.REPORTED, reported_at=timezone.now(), error="", held_by="", held_until=None)


def send(assoc: Association, request: CommitmentRequest) -> None:
    """Raises DimseError."""
    references = pages.references(request)
    listeners = map(listener_rules, Listener.objects.filter(enabled=True))
    retrieve = "\\".join(retrieve_ae_titles(request.called_ae_title, listeners))
    scu.report(assoc, request.transaction_uid, references, retrieve_ae_title=retrieve)
    failpoint("commitment.reported")


def report(run: JobRun) -> None:
    """A kind of job: `{"request": 17}`."""
    request = due().filter(pk=run.arguments.get("request", 0)).first()
    if request is None:
        run.log("It is reported already, or gone")
        return
    with _held(run, request):
        peer = _asked_by(run, request)
        if peer is None or peer.port is None:
            why = _NOBODY.format(run.job.peer)
            due().filter(pk=request.pk).update(state=State.NOT_REPORTED, error=why)
            raise JobError(why)
        if not peer.enabled:
            raise _again(run, request, f"The peer {peer.name} is disabled")
        try:
            with associate(
                peer.host,
                peer.port,
                calling_ae_title=request.called_ae_title,
                called_ae_title=peer.ae_title,
                contexts=scu.CONTEXTS,
                roles=scu.AS_SCP,
                timeouts=PATIENCE,
                tls=secured(peer),
            ) as assoc:
                send(assoc, request)
        except DimseError as error:
            raise _again(run, request, f"{peer.name} has not taken the report: {error}") from error
        taken(request.pk)
        failpoint("commitment.taken")
    run.log(f"{peer.name} has taken the report: {request.committed} committed, {request.failed} not")


@contextmanager
def _held(run: JobRun, request: CommitmentRequest) -> Iterator[None]:
    holder = f"job {run.job.pk}"
    if not hold(request.pk, holder, timezone.now() + HOLD):
        left = (request.held_until or timezone.now()) - timezone.now()
        raise TryAgain("The association that asked is about to be told", delay=max(left, timedelta(seconds=1)))
    try:
        yield
    finally:
        CommitmentRequest.objects.filter(pk=request.pk, held_by=holder).update(held_by="", held_until=None)


def _again(run: JobRun, request: CommitmentRequest, why: str) -> TryAgain:
    last = run.job.attempts >= run.job.maximum_attempts
    state = State.NOT_REPORTED if last else request.state
    due().filter(pk=request.pk).update(state=state, error=why[:400])
    return TryAgain(why)


def _asked_by(run: JobRun, request: CommitmentRequest) -> Peer | None:
    """Who asked, where we can call him: his row, whatever name and AE title it has by now; where that cannot be called,
    or is gone, one of the AE title that asked."""
    known = Peer.objects.exclude(host="").exclude(port=None)
    of_title = known.filter(ae_title=request.calling_ae_title)
    return known.filter(name=run.job.peer).first() or of_title.order_by("-enabled", "name").first()
