"""The kind of job `retrieve`: studies, series or instances of a remote archive into our own, by C-GET or C-MOVE."""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from itertools import groupby
from typing import Any, Final

from django.conf import settings

from apps.accounts.principal import Kind, Principal
from apps.accounts.rest import InvalidRequest, fields, text
from apps.failpoints import failpoint
from apps.jobs.beside import beside
from apps.jobs.kind import Planned
from apps.jobs.models import JobItem
from apps.jobs.run import JobError, JobRun, TryAgain
from apps.network.calling import NoSuchPeer, peer_named, peer_of
from apps.network.models import Peer
from apps.qr import arrivals
from apps.qr.arrivals import Arrivals
from apps.qr.listing import Endless, Unit
from apps.qr.remote_archive import NotOffered, RemoteArchive
from apps.qr.scu import Progress
from apps.qr.transfer import Transfer
from dicom import status
from dicom.dimse import DimseError, Failed, NotAccepted
from dicom.sop_classes import Service
from dicom.values import is_uid

# An archive that is down for days is asked again within ten minutes after it is back.
ATTEMPTS: Final = 500
LONGEST_DELAY: Final = timedelta(minutes=10)
SOON: Final = timedelta(seconds=10)
MOST: Final = 10_000  # UIDs that one request may name
PATIENCE: Final = 300.0  # seconds in which a C-MOVE must bring something, or the peer say that it goes on
_LOOK: Final = 0.2  # seconds
_LISTED: Final = 200  # SOP Instance UIDs in one request
_HOW: Final = ("get", "move", "")
_UIDS: Final = ("study_instance_uids", "series_instance_uids", "sop_instance_uids")
_ABOVE: Final = ("study_instance_uid", "series_instance_uid")


def may_retrieve(principal: Principal) -> bool:
    """It brings instances into the archive, so who may store may have them brought. No peer: it would use our name."""
    return principal.kind is not Kind.PEER and (principal.may(Service.STORE) or principal.administers)


def check(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    """Raises InvalidRequest."""
    said = fields(arguments, "peer", "by", *_UIDS, *_ABOVE)
    name, by = text(said, "peer"), text(said, "by")
    if by not in _HOW:
        raise InvalidRequest({"by": "get, move, or nothing: get where it is offered"})
    try:
        peer_named(name)
    except NoSuchPeer as error:
        raise InvalidRequest({"peer": str(error)}) from error
    units = asked(said)
    return Planned({"peer": name, "by": by, "units": [str(unit) for unit in units]}, peer=name)


def asked(said: Mapping[str, Any]) -> list[Unit]:
    """What a request names, of one level. Raises InvalidRequest."""
    given = [name for name in _UIDS if said.get(name)]
    if len(given) != 1:
        raise InvalidRequest({_UIDS[0]: f"one of {', '.join(_UIDS)} is needed"})
    above = _ABOVE[: _UIDS.index(given[0])]
    for name in _ABOVE:
        if name in above and not is_uid(text(said, name)):
            raise InvalidRequest({name: f"the UID is needed for {given[0]}"})
        if name not in above and said.get(name):
            raise InvalidRequest({name: f"does not go with {given[0]}"})
    uids = said[given[0]]
    if not isinstance(uids, list) or len(uids) > MOST or not all(isinstance(uid, str) and is_uid(uid) for uid in uids):
        raise InvalidRequest({given[0]: f"a list of at most {MOST} UIDs"})
    return [Unit.parse("/".join([*(said[name] for name in above), uid])) for uid in dict.fromkeys(uids)]


def retrieve(run: JobRun) -> None:
    """Items are instances where the peer can list them, else what was asked for; what is here is not asked for."""
    peer = peer_of(run)
    done = run.job.done
    with _told(peer), RemoteArchive(peer, by=run.arguments["by"]) as archive:
        _plan(run, archive)
        for series, group in by_series(run):
            if series in group:
                _whole(run, archive, series, group[series])
            else:
                _instances(run, archive, series, {unit.sop_instance_uid: item for unit, item in group.items()})
    go_on_later(run, done)


def by_series(run: JobRun) -> Iterator[tuple[Unit, Mapping[Unit, JobItem]]]:
    """Items still to do, those of a series together; what could not be listed is by itself."""
    for series, items in groupby(run.items(), lambda item: Unit.parse(item.key).series):
        yield series, {Unit.parse(item.key): item for item in items}


def go_on_later(run: JobRun, done: int) -> None:
    """Raises TryAgain while something is left: soon, where this attempt has brought something."""
    if waiting := run.waiting():
        run.job.refresh_from_db(fields=["done"])
        reason = f"{waiting} of {run.job.total} still to be retrieved"
        raise TryAgain(reason, delay=SOON if run.job.done > done else None)


@contextmanager
def _told(peer: Peer) -> Iterator[None]:
    try:
        yield
    except (NotOffered, Endless) as error:
        raise JobError(f"{peer.name}: {error}") from error
    except DimseError as error:
        raise TryAgain(f"{peer.name}: {error}") from error


def _plan(run: JobRun, archive: RemoteArchive) -> None:
    if not run.job.total:
        units = map(Unit.parse, run.arguments["units"])
        run.plan(str(instance) for unit in units for instance in _listed(run, archive, unit))
        failpoint("retrieve.planned")


def _listed(run: JobRun, archive: RemoteArchive, unit: Unit) -> Collection[Unit]:
    if unit.sop_instance_uid:
        return [unit]
    try:
        found = beside(run, partial(archive.instances, unit), abort=archive.abort)
    except (NotAccepted, Failed) as error:
        run.log(f"{archive.peer.name} does not list its instances ({error}): {unit} is asked for as a whole")
        return [unit]
    return found or [unit]


def _instances(run: JobRun, archive: RemoteArchive, series: Unit, items: Mapping[str, JobItem]) -> None:
    """Those of a series that are not here yet."""
    coming = Arrivals(run, items)
    coming.look(now=True)
    if not coming.missing:
        return
    if is_whole(run, series, len(coming.missing)):
        requests = [series.keys]
    else:
        requests = [{**series.keys, "SOPInstanceUID": "\\".join(some)} for some in _batches(list(coming.missing))]
    for keys in requests:
        before = len(coming.missing)
        final = _transferred(run, archive, series, keys, coming)
        coming.settle(_expected(final, before))
        failpoint("retrieve.transferred")
        here = f"{before - len(coming.missing)} of {before} here"
        run.log(f"{series}: {here}, {_counts(final)}{_problem(archive, final, before=' - ')}")
        _say_missing(run, archive, final, coming.missing, keys)


def _whole(run: JobRun, archive: RemoteArchive, unit: Unit, item: JobItem) -> None:
    """What the peer could not list: here is what it says it sent."""
    before = arrivals.count(unit)
    final = _transferred(run, archive, unit, unit.keys, None)
    expected = final.completed + final.warning
    quiet = time.monotonic()
    last = before
    while (here := arrivals.count(unit)) < before + expected and time.monotonic() - quiet < arrivals.QUIET:
        if here != last:
            quiet, last = time.monotonic(), here
        run.rest(0.1)
    run.log(f"{unit}: {here} instances here, {_counts(final)}{_problem(archive, final, before=' - ')}")
    if final.failed or not status.is_success(final.status):
        run.postponed(item, _problem(archive, final) or _counts(final))
    elif not here:
        run.failed(item, f"{archive.peer.name} has nothing of this UID")
    elif here < expected:
        run.postponed(item, f"{archive.peer.name} says it sent {expected}, {here} are here")
    else:
        run.succeeded(item)


def _transferred(
    run: JobRun, archive: RemoteArchive, unit: Unit, keys: Mapping[str, str], coming: Arrivals | None
) -> Progress:
    """Raises JobError for what no further attempt can change, and what `run.check` raises."""
    with Transfer(*beside(run, partial(archive.asking, unit, keys), abort=archive.abort)) as transfer:
        while not transfer.wait(_LOOK):
            run.check()
            if coming is not None:
                coming.look()
            moved = max(transfer.moved, coming.moved if coming else 0, archive.moved)
            if time.monotonic() - moved > PATIENCE:
                raise TryAgain(f"{archive.peer.name} has brought nothing for {PATIENCE:.0f} s")
        final = transfer.result()
    if final.status == status.RETRIEVE_DESTINATION_UNKNOWN:
        raise JobError(f"{archive.peer.name}: {_problem(archive, final)}")
    return final


def _expected(final: Progress, missing: int) -> int:
    """How many are to come; all, where the peer is content and has not counted."""
    counted = final.completed + final.warning
    return missing if status.is_success(final.status) and not counted + final.failed else counted


def _say_missing(
    run: JobRun, archive: RemoteArchive, final: Progress, missing: Mapping[str, JobItem], keys: Mapping[str, str]
) -> None:
    named = set(keys.get("SOPInstanceUID", "").split("\\")) - {""}
    failed = set(final.failed_uids)
    problem = _problem(archive, final)
    for uid, item in missing.items():
        if named and uid not in named:
            continue
        if uid in failed:
            said = f"{archive.peer.name} could not send it"
        else:
            said = f"It is not here, and {archive.peer.name} says nothing of it"
        run.postponed(item, f"{said}: {problem}" if problem else said)


def _problem(archive: RemoteArchive, final: Progress, *, before: str = "") -> str:
    """A status that is no success, in words."""
    if status.is_success(final.status):
        return ""
    words = _WORDS.get(final.status, "the peer could not do it")
    comment = f" ({final.comment})" if final.comment else ""
    known = words.format(us=settings.AE_TITLE, peer=archive.peer.name)
    return f"{before}status {final.status:04X}, {known}{comment}"


# PS3.4 Tables C.4-2 and C.4-3
_WORDS: Final[Mapping[int, str]] = {
    status.RETRIEVE_CANNOT_COUNT_MATCHES: "out of resources: it could not count what matches",
    status.RETRIEVE_SUBOPERATIONS_FAILED: "it could not send: does it reach us, and may it store here?",
    status.RETRIEVE_DESTINATION_UNKNOWN: "it does not know {us} as a destination: tell it our AE title, host and port",
    status.IDENTIFIER_MISMATCH: "it does not understand what was asked",
    status.RETRIEVE_WARNING: "some were not sent",
    status.CANCEL: "it has cancelled the retrieve itself",
    status.NOT_AUTHORIZED: "it does not let {us} retrieve",
    status.SOP_CLASS_NOT_SUPPORTED: "it does not support this retrieve",
}


def _counts(final: Progress) -> str:
    return f"{final.completed} sent, {final.warning} with a warning, {final.failed} failed"


def is_whole(run: JobRun, series: Unit, missing: int) -> bool:
    """Whether so many are all of a series, and it was not single instances of it that were asked for."""
    by_name = {unit.series for unit in map(Unit.parse, run.arguments["units"]) if unit.sop_instance_uid}
    return missing == run.job.items.filter(key__startswith=f"{series}/").count() and series not in by_name


def _batches(uids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(uids), _LISTED):
        yield uids[start : start + _LISTED]
