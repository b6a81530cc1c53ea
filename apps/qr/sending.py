"""The kind of job "send": instances of ours to a peer by C-STORE, each until the peer has it or has said why not.

Whoever goes on after a break, a kill or a pause leaves out what was accepted. That is written down a few instances at a
time: after a kill at most UNRECORDED of them, and those on their way, are sent again, which the receiver keeps once.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest, fields, text
from apps.failpoints import failpoint
from apps.jobs import queue
from apps.jobs.kind import Planned, kinds
from apps.jobs.models import ItemState, JobItem
from apps.jobs.run import JobError, JobRun, Result, TryAgain, batched
from apps.network.calling import NoSuchPeer, peer_named, peer_of, secured
from apps.network.models import Peer
from apps.network.pacing import pace_of
from apps.network.tls import InvalidTls
from apps.qr import retrieve
from apps.qr.asked import LEVELS, uids_by_level
from apps.qr.retrieve import Retrieval
from apps.storage.attempts import Outcome
from apps.storage.lanes import Lanes
from apps.storage.models import Instance
from apps.storage.scu import Kind, Sender
from apps.storage.sources import Archived, Source
from dicom import status
from dicom.dimse import Timeouts
from dicom.sop_classes import Service

EXAMPLE: Final = {"peer": "workstation", "study_instance_uids": ["1.2.840.113619.2.1.1"]}

# A destination that is down for a weekend, or nearly a week, gets everything afterwards, within ten minutes.
ATTEMPTS: Final = 1000
LONGEST_DELAY: Final = timedelta(minutes=10)
SOON: Final = timedelta(seconds=10)  # where the attempt before got something done

UNRECORDED: Final = 64
_BATCH: Final = 32
_RECORD: Final = 0.25  # seconds after which fewer are written down
_LOOK: Final = 0.1
_BEAT: Final = 0.5
_PEER: Final = 2.0  # seconds between looks whether the peer's row has changed, or what is to be sent was deleted
_PAGE: Final = 500
_FULL: Final = 5  # refusals out of resources, or files out of reach, in a row, after which all have time to recover
_MOST_REASONS: Final = 20  # that stand in the job's log
_PATIENCE: Final = Timeouts(dimse=120)


def may_send(principal: Principal) -> bool:
    """Who may have instances sent by C-MOVE, and who administers."""
    return principal.may(Service.MOVE) or principal.administers


def check(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    """Raises InvalidRequest."""
    document = fields(arguments, "peer", *LEVELS)
    name = text(document, "peer")
    try:
        peer_named(name)
    except NoSuchPeer as error:
        raise InvalidRequest({"peer": str(error) if name else "is needed"}) from error
    asked = uids_by_level(principal, document, done="sent")
    return Planned({"peer": name, **asked}, peer=name)


def send(run: JobRun) -> None:
    peer = peer_of(run)
    asked = asked_for(run)
    if not run.job.total:
        run.plan(planned(run, asked))
    if not run.job.total:
        raise JobError("Nothing of what was asked for is here any more")
    failpoint("send.planned")
    sending = None
    if waiting := run.waiting():
        kinds = frozenset[Kind]().union(*(retrieve.kinds(run.principal, retrieval) for retrieval in asked.values()))
        sending = _Sending(run, peer, _lanes(peer, kinds, min(peer.associations_per_job, waiting)))
        sending.carry_out()
        waiting = run.waiting()
    if not waiting or run.job.attempts >= run.job.maximum_attempts:
        _ask_commitment(run, peer)
    if waiting and sending:
        reason = f"{waiting} of {run.job.total} still to be sent: {sending.reason}"
        raise TryAgain(reason, delay=SOON if sending.sent else None)


def asked_for(run: JobRun) -> dict[str, Retrieval]:
    return {field: retrieve.by_any(LEVELS[field], uids) for field in LEVELS if (uids := run.arguments.get(field))}


def planned(run: JobRun, asked: Mapping[str, Retrieval]) -> Iterator[str]:
    """UIDs, each once: of studies as people look through them, of series, of single instances; at last of those that
    were asked for by name and are not here, for the job to say so."""
    studies, series, instances = (set(run.arguments.get(field) or ()) for field in LEVELS)
    missing_studies, missing_series = set(studies), set(series)
    for field, retrieval in asked.items():
        for row in retrieve.instances(run.principal, retrieval):
            missing_studies.discard(row.study_instance_uid)
            missing_series.discard(row.series_instance_uid)
            if field == "sop_instance_uids":
                instances.discard(row.sop_instance_uid)
            in_study = field != "study_instance_uids" and row.study_instance_uid in studies
            if not in_study and not (field == "sop_instance_uids" and row.series_instance_uid in series):
                yield row.sop_instance_uid
    say_missing(run, study=missing_studies, series=missing_series)
    yield from sorted(instances)


def say_missing(run: JobRun, **uids_of_level: set[str]) -> None:
    for level, uids in uids_of_level.items():
        for uid in sorted(uids)[:_MOST_REASONS]:
            run.log(f"Nothing of the {level} {uid} is here")
        if len(uids) > _MOST_REASONS:
            run.log(f"and of {len(uids) - _MOST_REASONS} more")


def _lanes(peer: Peer, kinds: frozenset[Kind], number: int) -> Lanes:
    pace = pace_of(peer.name, peer.rate_limit)
    try:
        tls = secured(peer)
    except InvalidTls as error:
        raise TryAgain(f"{peer.name}: {error}", delay=LONGEST_DELAY) from error

    def sender() -> Sender:
        return Sender(
            host=peer.host,
            port=peer.port or 0,
            called_ae_title=peer.ae_title,
            calling_ae_title=settings.AE_TITLE,
            kinds=kinds,
            timeouts=_PATIENCE,
            pace=pace,
            tls=tls,
        )

    return Lanes(sender, number, unrecorded=UNRECORDED)


class _Sending:
    """One attempt: feeds the lanes, writes down what comes of it, sees who wants it to end."""

    def __init__(self, run: JobRun, peer: Peer, lanes: Lanes) -> None:
        self._run, self._peer, self._lanes = run, peer, lanes
        self._items: dict[str, JobItem] = {}
        self._results: list[Result] = []
        self._reasons = Counter[str]()
        self._full = 0
        self._last_reason = ""
        self._unrecorded = 0  # of the lanes' outcomes
        self._recorded = self._beaten = self._looked = time.monotonic()
        self.sent = self._failed = 0

    @property
    def reason(self) -> str:
        """Why something is left."""
        return self._lanes.reason or self._last_reason or "The attempt ended"

    def carry_out(self) -> None:
        began = time.monotonic()
        pages = batched(self._run.items(), _PAGE)
        try:
            with self._lanes:
                more = True
                while not self._lanes.over and self._full < _FULL:
                    if more and self._lanes.waiting < _PAGE // 2:
                        more = self._feed(next(pages, None))
                    self._take(self._lanes.outcomes(_LOOK, enough=_BATCH))
                    self._look()
        finally:
            self._take(self._lanes.outcomes(0))
            self._record()
        seconds, associations = time.monotonic() - began, self._lanes.associations
        for reason, number in self._reasons.most_common(_MOST_REASONS):
            self._run.log(f"{number} x {reason}")
        said = f"{self.sent} sent, {self._failed} failed in {seconds:.1f} s, associations: {associations}"
        self._run.log(f"{said}. {self._lanes.reason}" if self._lanes.reason else said)

    def _feed(self, items: Sequence[JobItem] | None) -> bool:
        if items is None:
            self._lanes.finish()
            return False
        asked = retrieve.by_any("SOPInstanceUID", [item.key for item in items])
        rows = {row.sop_instance_uid: row for row in retrieve.instances(self._run.principal, asked)}
        sources: list[Source] = []
        for item in items:
            if (row := rows.get(item.key)) is not None:
                self._items[item.key] = item
                sources.append(Archived(row))
            else:
                self._note(item, ItemState.FAILED, str(retrieve.missing({"SOPInstanceUID": item.key})))
        self._lanes.give(sources)
        return True

    def _take(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self._note(self._items.pop(outcome.sop_instance_uid), *self._judge(outcome))
        if outcomes:
            self._unrecorded += len(outcomes)
            failpoint("send.answered")
        if len(self._results) >= _BATCH or time.monotonic() - self._recorded > _RECORD:
            self._record()

    def _judge(self, outcome: Outcome) -> tuple[ItemState, str]:
        said = status.of_storage(outcome.status, outcome.comment)
        if outcome.lost:
            return ItemState.QUEUED, outcome.comment
        if outcome.away:  # says nothing about the instance, and waiting helps
            self._full += 1
            return ItemState.QUEUED, outcome.comment
        if status.is_out_of_resources(outcome.status):
            self._full += 1
            return ItemState.QUEUED, said
        self._full = 0
        if status.is_success(outcome.status):
            return ItemState.SUCCEEDED, ""
        if status.is_warning(outcome.status) or outcome.status == status.DUPLICATE_INSTANCE:
            return ItemState.SUCCEEDED, said
        return ItemState.FAILED, said

    def _note(self, item: JobItem, state: ItemState, said: str) -> None:
        self._results.append(Result(item, state, said))
        if said and (said in self._reasons or len(self._reasons) < _MOST_REASONS):
            self._reasons[said] += 1
        self.sent += state == ItemState.SUCCEEDED
        self._failed += state == ItemState.FAILED
        if state == ItemState.QUEUED:
            self._last_reason = said

    def _record(self) -> None:
        self._recorded = time.monotonic()
        if self._results:
            results, self._results = self._results, []
            self._run.note(results)
            self._lanes.recorded(self._unrecorded)
            self._unrecorded = 0
            failpoint("send.recorded")

    def _look(self) -> None:
        """Raises Cancelled, Stopping, LeaseLost; TryAgain where the peer is not to be called any more."""
        now = time.monotonic()
        if now - self._beaten > _BEAT:
            self._beaten = now
            self._run.beat()
        self._run.check()
        if now - self._looked > _PEER:
            self._looked = now
            peer = peer_of(self._run)
            pace_of(peer.name, peer.rate_limit)
            self._leave_out_deleted()

    def _leave_out_deleted(self) -> None:
        """What was deleted since it was given to the lanes, perhaps since it was not to be sent."""
        here = Instance.objects.filter(sop_instance_uid__any_of=list(self._items))
        gone = self._items.keys() - set(here.values_list("sop_instance_uid", flat=True))
        for uid in self._lanes.leave_out(gone) if gone else ():
            self._note(self._items.pop(uid), ItemState.FAILED, str(retrieve.missing({"SOPInstanceUID": uid})))


def _ask_commitment(run: JobRun, peer: Peer) -> None:
    """Once for what this job has sent, again where an administrator had the rest tried again."""
    sent = run.job.items.filter(state=ItemState.SUCCEEDED).count()
    failpoint("send.finished")
    if not peer.commits_storage or "commit" not in kinds() or not sent or run.job.result.get("committed") == sent:
        return
    with transaction.atomic():
        job = queue.submit(
            kind="commit",
            principal=run.principal,
            peer=peer.name,
            arguments={"peer": peer.name, "job": run.job.pk},
            key=f"send {run.job.pk}",
            maximum_attempts=kinds()["commit"].maximum_attempts,
        )
        run.result(commit_job=job.pk, committed=sent)
    failpoint("send.commit")
