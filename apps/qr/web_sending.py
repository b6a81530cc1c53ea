"""The kind of job `stow`: instances of ours to a DICOMweb server (PS3.18 10.5), many in a request."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import orjson

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest, fields, text
from apps.failpoints import failpoint
from apps.jobs.beside import beside
from apps.jobs.kind import Planned
from apps.jobs.models import ItemState, JobItem
from apps.jobs.run import JobError, JobRun, Result, TryAgain, batched
from apps.network import dicomweb
from apps.network.database import give_back
from apps.network.dicomweb import Answer, DicomwebClient, DicomwebFailed, NoSuchServer, Refused, server_named
from apps.qr import retrieve, wado
from apps.qr.asked import LEVELS, uids_by_level
from apps.qr.retrieve import Instances, Stored
from apps.qr.sending import SOON, asked_for, planned
from apps.qr.web_retrieving import called
from dicom import status
from dicom.errors import DicomError
from dicom.media import DICOM
from dicom.multipart import content_type

_PAGE: Final = 100  # instances of a request
_BYTES: Final = 64 << 20  # after which no further one goes with them
_ACCEPT: Final = "application/dicom+json"
_XML: Final = "application/dicom+xml"
_FAILED: Final = "00081198"
_REFERENCED: Final = "00081199"
_SOP_INSTANCE_UID: Final = "00081155"
_WARNING_REASON: Final = "00081196"
_FAILURE_REASON: Final = "00081197"

Outcomes = dict[str, tuple[ItemState, str]]


def check(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    """Raises InvalidRequest."""
    said = fields(arguments, "server", *LEVELS)
    name = text(said, "server")
    try:
        server_named(name)
    except NoSuchServer as error:
        raise InvalidRequest({"server": str(error) if name else "is needed"}) from error
    asked = uids_by_level(principal, said, done="sent")
    return Planned({"server": name, **asked}, peer=name)


def stow(run: JobRun) -> None:
    """What the server took is not sent again; what it refuses has failed with its reason."""
    server = called(run)
    if not run.job.total:
        run.plan(planned(run, asked_for(run)))
        failpoint("stow.planned")
    if not run.job.total:
        raise JobError("Nothing of what was asked for is here any more")
    done = run.job.done
    try:
        with DicomwebClient(server) as client:
            for items in batched(run.items(), _PAGE):
                for some in _requests(run, items):
                    _send(run, client, some)
    except DicomwebFailed as error:
        raise TryAgain(f"{server.name}: {error}", delay=_delay(run, done)) from error
    if waiting := run.waiting():
        raise TryAgain(f"{waiting} of {run.job.total} still to be sent", delay=_delay(run, done))


def _delay(run: JobRun, done: int) -> Any:
    run.job.refresh_from_db(fields=["done"])
    return SOON if run.job.done > done else None


Some = list[tuple[JobItem, Stored]]


def _requests(run: JobRun, items: Sequence[JobItem]) -> Iterator[Some]:
    """So many together that a request is worth its while and no server chokes; what is gone has failed."""
    asked = retrieve.by_any("SOPInstanceUID", [item.key for item in items])
    rows = {row.sop_instance_uid: row for row in retrieve.instances(run.principal, asked)}
    together: Some = []
    size = 0
    for item in items:
        row = rows.get(item.key)
        if row is None:
            run.failed(item, str(retrieve.missing({"SOPInstanceUID": item.key})))
            continue
        if together and size + row.size > _BYTES:
            yield together
            together, size = [], 0
        together.append((item, row))
        size += row.size
    if together:
        yield together


def _send(run: JobRun, client: DicomwebClient, some: Some) -> None:
    """Where a request as a whole is refused, its instances go one by one, so that the culprit is found."""
    run.check()
    try:
        outcomes = beside(run, partial(_stored, client, [row for _, row in some]), abort=client.abort)
    except DicomError as error:
        if isinstance(error, DicomwebFailed) and not (isinstance(error, Refused) and not error.passes):
            raise
        if len(some) > 1:
            for one in some:
                _send(run, client, [one])
            return
        outcomes = {some[0][0].key: (ItemState.FAILED, str(error))}
    failpoint("stow.answered")
    silent = (ItemState.QUEUED, "The server says nothing of it")
    run.note([Result(item, *outcomes.get(item.key, silent)) for item, _ in some])
    failpoint("stow.recorded")


def _stored(client: DicomwebClient, rows: Sequence[Stored]) -> Outcomes:
    boundary = secrets.token_hex(16)
    parts = ((DICOM, file.content) for file in wado.files(Instances.of(rows), wado.AS_STORED))
    media = f'multipart/related; type="{DICOM}"; boundary={boundary}'
    try:
        body = wado.multipart(parts, boundary)
        return _outcomes(client.post("/studies", body, content_type=media, accept=_ACCEPT), rows)
    finally:
        give_back()


def _outcomes(answer: Answer, rows: Sequence[Stored]) -> Outcomes:
    """PS3.18 10.5.3, I.2.2. A server that is content and says no more, or says it in XML, has all of them; a page for
    people, such as the sign-in of a proxy, is no such thing."""
    body = answer.read()
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if answer.status != 200:
            raise Refused(answer.status, "and it does not say of which instances, in JSON") from error
        if body.strip() and content_type(answer.content_type).type != _XML:
            raise DicomwebFailed(f"It says nothing of what it stored, but {answer.content_type[:60]}") from error
        return {row.sop_instance_uid: (ItemState.SUCCEEDED, "") for row in rows}
    module = said[0] if isinstance(said, list) and said else said
    if not isinstance(module, dict):
        raise DicomwebFailed("Its report of what it stored cannot be read")
    outcomes: Outcomes = {}
    for item in _items(module, _REFERENCED):
        reason = _reason(item, _WARNING_REASON)
        remark = status.of_storage(reason) if reason else ""
        outcomes[dicomweb.text(item, _SOP_INSTANCE_UID)] = (ItemState.SUCCEEDED, remark)
    for item in _items(module, _FAILED):
        reason = _reason(item, _FAILURE_REASON)
        state = ItemState.QUEUED if status.is_out_of_resources(reason) else ItemState.FAILED
        outcomes[dicomweb.text(item, _SOP_INSTANCE_UID)] = (state, status.of_storage(reason))
    return outcomes


def _items(module: Mapping[str, Any], tag: str) -> list[Mapping[str, Any]]:
    return [item for item in dicomweb.values(module, tag) if isinstance(item, dict)]


def _reason(item: Mapping[str, Any], tag: str) -> int:
    found = dicomweb.values(item, tag)
    return found[0] if found and isinstance(found[0], int) else 0
