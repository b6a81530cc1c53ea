"""The kind of job `forward_mpps`: what a modality reported to us is reported on, with the same UID and in its order.

A peer's row says whether it wants that. What it was told last is kept, so that nothing is told twice: not after a kill,
and not round in a circle of archives that tell each other.
"""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import orjson
from django.utils import timezone

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest, fields, text
from apps.failpoints import failpoint
from apps.jobs import queue
from apps.jobs.kind import Planned
from apps.jobs.models import Job, JobState
from apps.jobs.run import JobError, JobRun, TryAgain
from apps.mpps import scu
from apps.mpps.models import ForwardedStep, PerformedProcedureStep
from apps.network.calling import NoSuchPeer, connect, peer_named, peer_of
from apps.network.models import Peer
from dicom import mpps
from dicom import status as statuses
from dicom.dicomjson import Json
from dicom.dictionary import dictionary_vr
from dicom.dimse import Association, DimseError, Failed

KIND: Final = "forward_mpps"
ATTEMPTS: Final = 1000  # nearly a week
LONGEST_DELAY: Final = timedelta(minutes=10)
_NOT_AT_ONCE: Final = timedelta(seconds=5)
_SETTABLE: Final = {f"{rule.tag:08X}" for rule in mpps.RULES if rule.settable}
_CREATED: Final = {f"{rule.tag:08X}" for rule in mpps.RULES} - _SETTABLE
_STATUS: Final = f"{mpps.STATUS:08X}"
_ENDED: Final = (f"{mpps.END_DATE:08X}", f"{mpps.END_TIME:08X}")
# What no further attempt changes: the step itself is not what the peer takes.
_FOR_GOOD: Final = (
    statuses.NO_SUCH_ATTRIBUTE,
    statuses.INVALID_ATTRIBUTE_VALUE,
    statuses.INVALID_INSTANCE,
    statuses.MISSING_ATTRIBUTE,
    statuses.MISSING_ATTRIBUTE_VALUE,
)


def may_forward(principal: Principal) -> bool:
    """Who may report steps over REST."""
    return principal.kind == "system" or principal.may_schedule


def wanted() -> bool:
    """Whether somebody is to be told at all."""
    return Peer.objects.filter(forwards_mpps=True, enabled=True).exclude(host="").exists()


def check(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    """One step to one peer, whatever its row says. Raises InvalidRequest."""
    said = fields(arguments, "peer", "sop_instance_uid")
    name, uid = text(said, "peer"), text(said, "sop_instance_uid")
    try:
        peer_named(name)
    except NoSuchPeer as error:
        raise InvalidRequest({"peer": str(error) if name else "is needed"}) from error
    steps = PerformedProcedureStep.objects.visible_to(principal)
    step = steps.filter(sop_instance_uid=uid).first() if uid else None
    if step is None:
        raise InvalidRequest({"sop_instance_uid": "There is no performed step of this UID"})
    return Planned({"performed": step.pk, "peer": name}, peer=name, key=_key(step.pk, name))


def forward(run: JobRun) -> None:
    """Of an event: a job for each peer that wants it. Of a peer: the step as it is now."""
    step = PerformedProcedureStep.objects.filter(pk=run.arguments["performed"]).first()
    if step is None:
        run.log("The step is not here any more")
    elif run.arguments.get("peer"):
        _forward(run, step)
    else:
        _share(run, step)


def _share(run: JobRun, step: PerformedProcedureStep) -> None:
    """To all but who has told us."""
    peers = Peer.objects.filter(forwards_mpps=True, enabled=True).exclude(name=step.peer)
    names = list(peers.values_list("name", flat=True))
    for name in names:
        queue.submit(
            kind=KIND,
            principal=run.principal,
            arguments={"performed": step.pk, "peer": name},
            peer=name,
            key=_key(step.pk, name),
            maximum_attempts=ATTEMPTS,
        )
        failpoint("forward_mpps.shared")
    run.log(f"{step}: to {', '.join(names) or 'nobody'}")


def _key(performed: int, peer: str) -> str:
    return f"{performed}/{peer}"


def _forward(run: JobRun, step: PerformedProcedureStep) -> None:
    peer = peer_of(run)
    name = peer.name
    before = Job.objects.filter(kind=KIND, key=run.job.key, state=JobState.RUNNING, pk__lt=run.job.pk)
    if run.job.key and before.exists():
        raise TryAgain("The one before it still runs", delay=_NOT_AT_ONCE)
    told = ForwardedStep.objects.filter(performed=step, peer=name).first() or ForwardedStep(performed=step, peer=name)
    if told.digest == _digest(step.attributes):
        run.log(f"{name} knows it already")
        return
    try:
        with connect(peer, scu.CONTEXTS) as assoc:
            _tell(assoc, step, told)
    except Failed as error:
        failure = f"{name}: {error}"
        if error.status in _FOR_GOOD:
            raise JobError(failure) from error
        raise TryAgain(failure) from error
    except DimseError as error:
        raise TryAgain(f"{name}: {error}") from error
    run.log(f"{name} was told that {step} is {step.status}")


def _tell(assoc: Association, step: PerformedProcedureStep, told: ForwardedStep) -> None:
    """Each message is written down after its answer; one that was lost on the way is told again. Raises DimseError."""
    if not told.created:
        _create(assoc, step)
        failpoint("forward_mpps.create")
        told.created = True
        _keep(told)
        failpoint("forward_mpps.created")
    changes = {tag: element for tag, element in step.attributes.items() if tag not in _CREATED}
    try:
        scu.change(assoc, step.sop_instance_uid, changes)
    except Failed as error:
        # It has the final state already: the answer to an earlier attempt was lost, or somebody else was quicker.
        if error.error_id != mpps.MAY_NO_LONGER_BE_UPDATED:
            raise
    failpoint("forward_mpps.set")
    told.digest = _digest(step.attributes)
    _keep(told)
    failpoint("forward_mpps.told")


def _create(assoc: Association, step: PerformedProcedureStep) -> None:
    """As it began, as far as it can be told from what it is now."""
    empty = {tag: {"vr": dictionary_vr(int(tag, 16))} for tag in (*_CREATED, *_SETTABLE)}
    running = {_STATUS: {"vr": "CS", "Value": [mpps.IN_PROGRESS]}, **{tag: empty[tag] for tag in _ENDED}}
    data_set: Json = {**empty, **step.attributes, **running}
    try:
        scu.create(assoc, step.sop_instance_uid, data_set)
    except Failed as error:
        if error.status != statuses.DUPLICATE_INSTANCE:
            raise


def _keep(told: ForwardedStep) -> None:
    told.forwarded_at = timezone.now()
    told.save()


def _digest(attributes: Json) -> str:
    return hashlib.blake2b(orjson.dumps(attributes, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
