"""The kind of job `wado`: studies, series or instances of a DICOMweb server into our archive (PS3.18 10.4)."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest, fields, text
from apps.failpoints import failpoint
from apps.jobs.beside import beside
from apps.jobs.kind import Planned
from apps.jobs.models import JobItem
from apps.jobs.run import JobError, JobRun, TryAgain
from apps.network import dicomweb
from apps.network.dicomweb import Answer, DicomwebClient, DicomwebFailed, NoSuchServer, Refused, server_named
from apps.network.models import DicomwebServer
from apps.qr import listing, retrieving
from apps.qr.arrivals import Arrivals
from apps.qr.listing import Unit
from apps.storage.stow import files
from apps.storage.stow.outcome import Outcome, Sending
from dicom import status
from dicom.media import DICOM, MULTIPART
from dicom.multipart import BUFFER, InvalidMultipart, Multipart, Part, content_type
from dicom.part10 import Provenance
from dicom.values import is_uid

UIDS: Final = ("study_instance_uids", "series_instance_uids", "sop_instance_uids")
ABOVE: Final = ("study_instance_uid", "series_instance_uid")
_PAGE: Final = 1000
_SERIES_INSTANCE_UID: Final = "0020000E"
_SOP_INSTANCE_UID: Final = "00080018"
# As they are stored; for servers that do not know the asterisk, as they like.
_ACCEPT: Final = (
    'multipart/related; type="application/dicom"; transfer-syntax=*',
    'multipart/related; type="application/dicom"',
)
_NOT_IN_THIS_FORM: Final = (400, 406)


def check(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    """Raises InvalidRequest."""
    said = fields(arguments, "server", *UIDS, *ABOVE)
    name = text(said, "server")
    try:
        server_named(name)
    except NoSuchServer as error:
        raise InvalidRequest({"server": str(error) if name else "is needed"}) from error
    return Planned({"server": name, "units": [str(unit) for unit in retrieving.asked(said)]}, peer=name)


def wado(run: JobRun) -> None:
    """Items are instances, as the server lists them; those that are here are not asked for."""
    server = called(run)
    sending = Sending(_provenance(server, run), None)
    done = run.job.done
    try:
        with DicomwebClient(server) as client:
            if not run.job.total:
                run.plan(str(unit) for unit in _listed(run, client))
                failpoint("wado.planned")
            for series, group in retrieving.by_series(run):
                _retrieve(run, client, sending, series, group)
    except DicomwebFailed as error:
        raise TryAgain(f"{server.name}: {error}") from error
    retrieving.go_on_later(run, done)


def called(run: JobRun) -> DicomwebServer:
    """Raises JobError, TryAgain."""
    name = str(run.arguments["server"])
    try:
        return server_named(name)
    except NoSuchServer as error:
        if DicomwebServer.objects.filter(name=name).exists():
            raise TryAgain(f"The server {name} is disabled", delay=retrieving.LONGEST_DELAY) from error
        raise JobError(f"There is no server {name} any more") from error


def _listed(run: JobRun, client: DicomwebClient) -> Iterator[Unit]:
    for unit in map(Unit.parse, run.arguments["units"]):
        if unit.sop_instance_uid:
            yield unit
            continue
        found = False
        for instance in _instances(run, client, unit):
            found = True
            yield instance
        if not found:
            yield unit


def _instances(run: JobRun, client: DicomwebClient, unit: Unit) -> Iterator[Unit]:
    """By QIDO-RS, a page at a time; a server that knows no pages says the same again."""
    seen: set[Unit] = set()
    new = True
    while new:
        params = {"limit": _PAGE, "offset": len(seen)}
        work = partial(client.search, f"{_path(unit)}/instances", params)
        try:
            answers = beside(run, work, abort=client.abort)
        except Refused as error:
            if error.status != 404:
                raise
            return
        if len(seen) > listing.MOST:
            raise JobError(f"The server lists more than {listing.MOST} instances of {unit}")
        units = [_unit(unit, answer) for answer in answers]
        new = False
        for instance in units:
            if instance is not None and instance not in seen:
                new = True
                seen.add(instance)
                yield instance
        new = new and len(answers) >= _PAGE


def _unit(within: Unit, answer: Mapping[str, Any]) -> Unit | None:
    series = within.series_instance_uid or dicomweb.text(answer, _SERIES_INSTANCE_UID)
    instance = dicomweb.text(answer, _SOP_INSTANCE_UID)
    known = is_uid(series) and is_uid(instance)
    return Unit(within.study_instance_uid, series, instance) if known else None


def _path(unit: Unit) -> str:
    named = zip(("studies", "series", "instances"), unit, strict=True)
    return "".join(f"/{name}/{uid}" for name, uid in named if uid)


def _retrieve(
    run: JobRun, client: DicomwebClient, sending: Sending, series: Unit, group: Mapping[Unit, JobItem]
) -> None:
    """A series as a whole where all of it is missing, else its instances one by one."""
    if series in group:
        run.failed(group[series], "The server has nothing of this UID")
        return
    coming = Arrivals(run, {unit.sop_instance_uid: item for unit, item in group.items()})
    coming.look(now=True)
    if not coming.missing:
        return
    if retrieving.is_whole(run, series, len(coming.missing)):
        _get(run, client, sending, series, coming)
        return
    for uid in list(coming.missing):
        run.check()
        _get(run, client, sending, series._replace(sop_instance_uid=uid), coming)


def _get(run: JobRun, client: DicomwebClient, sending: Sending, unit: Unit, coming: Arrivals) -> None:
    wanted = [unit.sop_instance_uid] if unit.sop_instance_uid else list(coming.missing)
    problem = "The server did not send it"
    outcomes: list[Outcome] = []
    try:
        beside(run, partial(_taken, client, unit, sending, outcomes), abort=client.abort, meanwhile=coming.look)
    except Refused as error:
        if error.passes:
            raise
        problem = str(error)
    coming.settle(sum(outcome.is_stored for outcome in outcomes))
    failpoint("wado.transferred")
    refused = {outcome.sop_instance_uid: outcome for outcome in outcomes if not outcome.is_stored}
    for uid in wanted:
        if (item := coming.missing.get(uid)) is None:
            continue
        if outcome := refused.get(uid):
            run.failed(item, f"Not taken: {status.of_storage(outcome.status, outcome.comment)}")
        else:
            run.postponed(item, problem)


def _taken(client: DicomwebClient, unit: Unit, sending: Sending, outcomes: list[Outcome]) -> None:
    """Each part through the one way in, as it arrives. Raises Refused, DicomwebFailed."""
    later: list[Outcome | Future[Outcome]] = []
    try:
        for part in _parts(_asked(client, unit)):
            later.append(files.stored(part, sending))
    except InvalidMultipart as error:
        raise DicomwebFailed(str(error)) from error
    finally:
        outcomes += [one.result() if isinstance(one, Future) else one for one in later]


def _asked(client: DicomwebClient, unit: Unit) -> Answer:
    first, second = _ACCEPT
    try:
        return client.get(_path(unit), accept=first)
    except Refused as error:
        if error.status not in _NOT_IN_THIS_FORM:
            raise
    return client.get(_path(unit), accept=second)


def _parts(answer: Answer) -> Iterator[Part]:
    """Of some servers a single instance comes without parts."""
    media = content_type(answer.content_type)
    if media.type == DICOM:
        buffer = memoryview(bytearray(BUFFER))
        yield Part({"content-type": DICOM}, "", lambda: buffer[: answer.readinto(buffer)] or None)
    elif media.type != MULTIPART:
        raise DicomwebFailed(f"The answer is of type {media.type[:60]}")
    elif answer.status != 204:
        yield from Multipart(answer.readinto, media.boundary)


def _provenance(server: DicomwebServer, run: JobRun) -> Provenance:
    host = urlsplit(server.url).hostname or ""
    return Provenance(received_ns=0, address=host, peer=server.name, user=run.principal.name)
