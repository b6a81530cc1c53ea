"""Whether we commit to instances: by their files, one after another, as far as they have arrived (PS3.3 C.14.1.1)."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.commitment import pages, reporting
from apps.commitment.models import PAGE, CommitmentPage, CommitmentRequest, State
from apps.commitment.pages import Entry
from apps.failpoints import failpoint
from apps.jobs.run import JobRun, TryAgain
from apps.network.models import Peer
from apps.network.rules import ANYONE
from apps.storage import examining
from apps.storage.models import DeletedInstance, Instance, QuarantinedInstance, StoredFile
from apps.storage.store import Away
from dicom import status
from dicom.commitment import COMMITTED
from dicom.sop_classes import is_storage

_SAVE_EVERY = 5.0  # seconds of reading that a worker that dies has lost


def decide(run: JobRun) -> None:
    """A kind of job: `{"request": 17}`."""
    request = CommitmentRequest.objects.filter(pk=run.arguments.get("request", 0), state=State.ASKED).first()
    if request is None:
        run.log("The request is decided already, or gone")
        return
    sender = _Sender.of(request)
    missing = 0
    done = PAGE * request.pages.filter(decided=True).count()
    for key in list(request.pages.filter(decided=False).values_list("pk", flat=True)):
        page = _Page(run, request, request.pages.get(pk=key), sender)
        absent = page.decide()
        missing += absent
        done += len(page.entries) - absent
        run.progress(min(done, request.references), request.references)
    if missing:
        raise TryAgain(f"{missing} instances have not arrived yet", delay=_pause(request))
    _decided(run, request)


def _patience(request: CommitmentRequest) -> timedelta:
    """How much longer what has not arrived is waited for."""
    since = request.asked_at or request.created_at
    return since + timedelta(seconds=settings.COMMITMENT_WAIT) - timezone.now()


def _pause(request: CommitmentRequest) -> timedelta:
    """Soon at first, then seldom, and at the end of the patience."""
    waited = timezone.now() - (request.asked_at or request.created_at)
    return max(timedelta(), min(max(timedelta(seconds=1), waited / 2), _patience(request)))


def _decided(run: JobRun, request: CommitmentRequest) -> None:
    reasons = pages.tally(request)
    committed = reasons.pop(COMMITTED, 0)
    failed = sum(reasons.values())
    with transaction.atomic():
        run.result(committed=committed, failed=failed)
        changed = CommitmentRequest.objects.filter(pk=request.pk, state=State.ASKED).update(
            state=State.DECIDED, decided_at=timezone.now(), committed=committed, failed=failed
        )
        if changed:
            reporting.submit(request)
        failpoint("commitment.decided")
    run.log(f"{committed} of {request.references} committed")


class _Page:
    """Some references in the middle of being decided."""

    def __init__(self, run: JobRun, request: CommitmentRequest, page: CommitmentPage, sender: "_Sender") -> None:
        self.run, self.request, self.page, self.sender = run, request, page, sender
        self.entries = pages.of(page)
        uids = [each.sop_instance_uid for each in self.entries if each.reason is None]
        self.instances: Mapping[str, Instance] = {
            row.sop_instance_uid: row
            for row in Instance.objects.filter(sop_instance_uid__in=uids).select_related("series__study")
        }
        self.quarantined = sender.quarantined(uids)
        self.deleted = set(
            DeletedInstance.objects.filter(sop_instance_uid__in=uids).values_list("sop_instance_uid", flat=True)
        )
        self.patient = _patience(request) > timedelta()

    def decide(self) -> int:
        """How many have not arrived."""
        saved = time.monotonic()
        missing = 0
        for number, entry in enumerate(self.entries):
            if entry.reason is not None:
                continue
            self.run.check()
            reason, detail = self._reason(entry)
            if reason is None:
                missing += 1
                continue
            self.entries[number] = entry._replace(reason=reason, detail=detail[:200])
            if time.monotonic() - saved > _SAVE_EVERY:
                self._save(decided=False)
                saved = time.monotonic()
        self._save(decided=not missing)
        return missing

    def _save(self, *, decided: bool) -> None:
        CommitmentPage.objects.filter(pk=self.page.pk).update(references=self.entries, decided=decided)
        failpoint("commitment.page")

    def _reason(self, entry: Entry) -> tuple[int | None, str]:
        """None: it may still arrive."""
        uid = entry.sop_instance_uid
        if not is_storage(entry.sop_class_uid):
            return status.SOP_CLASS_NOT_SUPPORTED, ""
        row = self.instances.get(uid)
        if row is None:
            if uid in self.deleted:
                return status.NO_SUCH_INSTANCE, "It was deleted here"
            return (None, "") if self.patient else (status.NO_SUCH_INSTANCE, "")
        if row.sop_class_uid != entry.sop_class_uid:
            return status.CLASS_INSTANCE_CONFLICT, f"It is of the class {row.sop_class_uid}"
        if self.sender.last_sent_another(self.quarantined.get(uid, ()), row):
            # WIRE 16: he would delete the only good copy of what he sent.
            return status.PROCESSING_FAILURE, "The version of this sender is in quarantine"
        try:
            fault = examining.examine(row, found_by=f"storage commitment {self.request.pk}", watch=self.run.check)
        except Away as error:  # that is no reason to say no
            raise TryAgain(str(error)) from error
        return (status.PROCESSING_FAILURE, fault) if fault else (COMMITTED, "")


@dataclass(frozen=True, slots=True)
class _Sender:
    """Who asks. `peer` is empty where one row stands for all callers: only the AE title says who it was."""

    ae_title: str
    peer: str

    @classmethod
    def of(cls, request: CommitmentRequest) -> Self:
        one = Peer.objects.filter(name=request.peer).exclude(ae_title=ANYONE).exists()
        return cls(request.calling_ae_title, request.peer if one else "")

    def sent(self, file: StoredFile) -> bool:
        return file.calling_ae_title == self.ae_title or bool(self.peer and file.peer == self.peer)

    def quarantined(self, uids: Sequence[str]) -> Mapping[str, Sequence[QuarantinedInstance]]:
        """Versions of his that are not what we serve."""
        found: dict[str, list[QuarantinedInstance]] = {}
        for row in QuarantinedInstance.objects.filter(sop_instance_uid__in=uids):
            if self.sent(row):
                found.setdefault(row.sop_instance_uid, []).append(row)
        return found

    def last_sent_another(self, versions: Sequence[QuarantinedInstance], current: Instance) -> bool:
        """What he sent after it may have become current: then that is what he asks for."""
        return any(not self.sent(current) or version.name > current.name for version in versions)
