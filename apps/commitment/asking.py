"""Whether a peer keeps what it was sent: asked, awaited for a while on the same association, then by our listener."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest, fields, text
from apps.commitment import answers, pages, scu
from apps.commitment.models import PAGE, CommitmentRequest, Direction, State
from apps.commitment.pages import Entry
from apps.failpoints import failpoint
from apps.jobs.kind import Planned
from apps.jobs.models import ItemState, Job
from apps.jobs.run import JobError, JobRun, TryAgain
from apps.network.calling import NoSuchPeer, peer_named, peer_of, secured
from apps.network.models import Peer
from apps.storage.models import Instance, Study
from dicom import status
from dicom.commitment import Reference
from dicom.dimse import (
    Association,
    CommandField,
    DimseError,
    Failed,
    Message,
    NotAccepted,
    Timeouts,
    associate,
)
from dicom.sop_classes import Service
from dicom.values import is_uid, new_uid

KIND: Final = "commit"
ATTEMPTS: Final = 60
PATIENCE: Final = Timeouts(connect=10, acse=15, dimse=120, release=5)
# So long after each request its report is overdue, and it is asked for again.
OVERDUE: Final = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
SHOWN: Final = 100  # of what is not committed, in the result
MOST: Final = 10_000  # UIDs in one request
CHOICES: Final = ("job", "study_instance_uids", "series_instance_uids", "sop_instance_uids")
_NEVER: Final = frozenset(
    (
        status.NO_SUCH_INSTANCE,
        status.NO_SUCH_SOP_CLASS,
        status.NO_SUCH_ACTION,
        status.SOP_CLASS_NOT_SUPPORTED,
        status.NOT_AUTHORIZED,
        status.UNRECOGNIZED_OPERATION,
    )
)


def may_ask(principal: Principal) -> bool:
    """Who may have instances sent may ask whether they arrived."""
    return principal.may(Service.COMMITMENT) or principal.may(Service.MOVE) or principal.administers


def check(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    """`{"peer": NAME, "job": 17}`: what that job has sent; or UIDs of what we have. Raises InvalidRequest."""
    said = fields(dict(arguments), "peer", *CHOICES)
    peer = text(said, "peer")
    try:
        peer_named(peer)
    except NoSuchPeer as error:
        raise InvalidRequest({"peer": str(error) if peer else "is needed"}) from error
    chosen = [name for name in CHOICES if said.get(name)]
    if len(chosen) != 1:
        raise InvalidRequest({"job": f"one of {', '.join(CHOICES)} is needed"})
    value = said[chosen[0]]
    if chosen[0] == "job":
        if type(value) is not int or not 0 < value < 1 << 63 or not _jobs(principal, value).exists():
            raise InvalidRequest({"job": "no such job"})
    elif not _are_uids(value):
        raise InvalidRequest({chosen[0]: f"a list of at most {MOST} UIDs"})
    return Planned({"peer": peer, chosen[0]: value}, peer=peer)


def _are_uids(value: object) -> bool:
    return isinstance(value, list) and len(value) <= MOST and all(isinstance(uid, str) and is_uid(uid) for uid in value)


def _jobs(principal: Principal, key: int) -> QuerySet[Job]:
    """Whose images he may name: what others have sent is told to those who may see their jobs."""
    return Job.objects.visible_to(principal).filter(pk=key)


def commit(run: JobRun) -> None:
    """A kind of job; waits in the queue until the peer has reported, asks again where it does not."""
    request = _current(run)
    if request is not None and request.state == State.REPORTED:
        _conclude(run, request)
        return
    peer = peer_of(run)
    request = request or _prepared(run, peer)
    if request is None:
        if "job" not in run.arguments and not CommitmentRequest.objects.filter(job=run.job).exists():
            raise JobError("Nothing of what was asked for is here")
        run.log("There is nothing to ask for")
        return
    failpoint("commitment.prepared")
    if request.state == State.ASKED and request.asked_at is None:
        _ask(run, peer, request)
    request.refresh_from_db()
    if request.state == State.REPORTED:
        _conclude(run, request)
        return
    run.result(state=str(request.state), transaction_uid=request.transaction_uid)
    raise TryAgain(f"{peer.name} has not reported yet", delay=_overdue_at(run, request) - timezone.now())


def _current(run: JobRun) -> CommitmentRequest | None:
    """The request that is to be asked, awaited or told of; None: a new one is due."""
    requests = CommitmentRequest.objects.filter(job=run.job, direction=Direction.SENT)
    if reported := requests.filter(state=State.REPORTED, concluded=False).first():
        return reported
    request = requests.first()
    if request is None or request.concluded or request.state != State.ASKED:
        return None
    if request.asked_at is not None and _overdue_at(run, request) <= timezone.now():
        requests.filter(pk=request.pk).update(state=State.OVERDUE, error="No report came in time")
        run.log(f"No report on {request.transaction_uid} came in time")
        if requests.filter(state=State.OVERDUE).count() > len(OVERDUE):
            raise JobError(f"{request.peer} was asked {len(OVERDUE) + 1} times, and has never reported")
        return None
    return request


def _overdue_at(run: JobRun, request: CommitmentRequest) -> datetime:
    asked = CommitmentRequest.objects.filter(job=run.job, state=State.OVERDUE).count()
    return (request.asked_at or request.created_at) + OVERDUE[min(asked, len(OVERDUE) - 1)]


def _prepared(run: JobRun, peer: Peer) -> CommitmentRequest | None:
    """What was not committed the last time, else all of it; the row comes before the N-ACTION: reports may be quick."""
    last = CommitmentRequest.objects.filter(job=run.job, direction=Direction.SENT).first()
    if last is None:
        entries: Iterable[Entry] = _chosen(run)
    else:
        entries = (each._replace(reason=None, detail="") for each in pages.entries(last) if each.reason != 0)
    request = CommitmentRequest.objects.create(
        direction=Direction.SENT,
        transaction_uid=new_uid(),
        peer=peer.name,
        calling_ae_title=settings.AE_TITLE,
        called_ae_title=peer.ae_title,
        references=0,
        job=run.job,
        created_at=timezone.now(),
    )
    request.references = pages.write(request, entries)
    if not request.references:
        request.delete()
        return None
    request.digest = pages.digest_of(pages.references(request))
    request.save(update_fields=["references", "digest"])
    return request


def _chosen(run: JobRun) -> Iterator[Entry]:
    arguments = run.arguments
    ours = Instance.objects.filter(series__study__in=Study.objects.visible_to(run.principal))
    if "job" in arguments:
        return _sent(_jobs(run.principal, arguments["job"]).first(), ours)
    for name, column in (
        ("study_instance_uids", "series__study__study_instance_uid"),
        ("series_instance_uids", "series__series_instance_uid"),
        ("sop_instance_uids", "sop_instance_uid"),
    ):
        if name in arguments:
            ours = ours.filter(**{f"{column}__in": arguments[name]})
            _say_missing(run, set(arguments[name]) - set(ours.values_list(column, flat=True).distinct()))
    return _entries(ours)


def _say_missing(run: JobRun, uids: set[str]) -> None:
    for uid in sorted(uids)[:SHOWN]:
        run.log(f"Nothing of {uid} is here: it is not asked for")
    if len(uids) > SHOWN:
        run.log(f"and of {len(uids) - SHOWN} more")


def _sent(job: Job | None, ours: QuerySet[Instance]) -> Iterator[Entry]:
    """What that job has sent: its items are instances."""
    if job is None:
        raise JobError("The job that has sent it is gone")
    last = -1
    while page := list(job.items.filter(state=ItemState.SUCCEEDED, position__gt=last)[:PAGE]):
        yield from _entries(ours.filter(sop_instance_uid__in=[item.key for item in page]))
        last = page[-1].position


def _entries(rows: QuerySet[Instance]) -> Iterator[Entry]:
    last = 0
    while page := list(
        rows.filter(pk__gt=last).order_by("pk").values_list("pk", "sop_class_uid", "sop_instance_uid")[:1000]
    ):
        for key, sop_class_uid, sop_instance_uid in page:
            yield Entry(sop_class_uid, sop_instance_uid)
            last = key


def _ask(run: JobRun, peer: Peer, request: CommitmentRequest) -> None:
    """N-ACTION, and the report if it comes soon. Raises JobError, TryAgain."""

    def take(assoc: Association, message: Message) -> None:
        if message.command.command_field != CommandField.N_EVENT_REPORT:
            raise Failed(status.UNRECOGNIZED_OPERATION)
        answers.take(scu.read_report(message), peer=peer.name, ae_title=peer.ae_title)
        assoc.respond(message, status.SUCCESS)

    references = [Reference(each.sop_class_uid, each.sop_instance_uid) for each in pages.entries(request)]
    try:
        with associate(
            peer.host,
            peer.port or 0,
            calling_ae_title=request.calling_ae_title,
            called_ae_title=peer.ae_title,
            contexts=scu.CONTEXTS,
            timeouts=PATIENCE,
            tls=secured(peer),
            on_request=take,
        ) as assoc:
            scu.ask(assoc, request.transaction_uid, references)
            failpoint("commitment.asked")
            CommitmentRequest.objects.filter(pk=request.pk).update(asked_at=timezone.now())
            failpoint("commitment.awaited")
            run.log(f"{peer.name} was asked for {len(references)} instances")
            _await(run, assoc, request)
    except NotAccepted as error:
        raise _refused(request, f"{peer.name} does not offer storage commitment") from error
    except Failed as error:
        why = f"{peer.name} refused: {error}"
        if error.status in _NEVER:
            raise _refused(request, why) from error
        raise TryAgain(why) from error
    except DimseError as error:
        if CommitmentRequest.objects.filter(pk=request.pk, asked_at=None, state=State.ASKED).exists():
            raise TryAgain(f"{peer.name}: {error}") from error


def _await(run: JobRun, assoc: Association, request: CommitmentRequest) -> None:
    """As long as the association lives and our patience lasts."""
    until = timezone.now() + timedelta(seconds=settings.COMMITMENT_PATIENCE)

    def reported() -> bool:
        return not CommitmentRequest.objects.filter(pk=request.pk, state=State.ASKED).exists()

    while timezone.now() < until and assoc.ended is None and not reported():
        run.check()
        assoc.serve(0.5, until=lambda: assoc.ended is not None)


def _refused(request: CommitmentRequest, why: str) -> JobError:
    CommitmentRequest.objects.filter(pk=request.pk).update(state=State.REFUSED, error=why[:400])
    return JobError(why)


def _conclude(run: JobRun, request: CommitmentRequest) -> None:
    left: Sequence[Entry] = pages.failed(request, SHOWN)
    run.result(
        state=str(request.state),
        transaction_uid=request.transaction_uid,
        committed=request.committed,
        failed=request.failed,
        not_committed=[
            {"sop_class_uid": each.sop_class_uid, "sop_instance_uid": each.sop_instance_uid, "reason": each.text}
            for each in left
        ],
    )
    run.progress(request.committed, request.references)
    failpoint("commitment.told")
    CommitmentRequest.objects.filter(pk=request.pk).update(concluded=True)
    failpoint("commitment.concluded")
    if request.failed:
        raise JobError(
            f"{request.peer} does not keep {request.failed} of {request.references} instances; "
            f"the first: {left[0].text}"
        )
    run.log(f"{request.peer} keeps all {request.references} instances")
