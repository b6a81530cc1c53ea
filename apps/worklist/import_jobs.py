"""The kind of job `import_worklist`: orders of another system, by its worklist or from files that it lays down."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest, fields, text
from apps.failpoints import failpoint
from apps.jobs.beside import beside
from apps.jobs.kind import Planned
from apps.jobs.run import JobError, JobRun, TryAgain
from apps.network.calling import PATIENCE, Calls, NoSuchPeer, peer_named, peer_of
from apps.worklist import importing, scu
from apps.worklist.importing import Outcome
from dicom.dimse import DimseError
from dicom.encoding import Identifier
from dicom.errors import DicomError, InvalidValue

MOST: Final = 10_000  # steps of one import
MOST_DAYS: Final = 366
_START: Final = "scheduled_procedure_step_start_date"
_MOST_LINES: Final = 200  # in the log of a job
_PROGRESS: Final = 25  # items between two times that it is written down


def may_import(principal: Principal) -> bool:
    return principal.may_schedule


def check(principal: Principal, arguments: Mapping[str, Any]) -> Planned:
    """A peer and what to ask it for, or a folder. Raises InvalidRequest."""
    said = fields(arguments, "peer", "keys", "days", "folder")
    name, folder = text(said, "peer"), text(said, "folder")
    if bool(name) == bool(folder):
        raise InvalidRequest({"peer": "a peer or a folder is needed"})
    if folder:
        for other in ("keys", "days"):
            if said.get(other) is not None:
                raise InvalidRequest({other: "does not go with a folder"})
        return Planned({"folder": str(allowed(folder))}, key=f"folder {folder}"[:200])
    try:
        peer_named(name)
    except NoSuchPeer as error:
        raise InvalidRequest({"peer": str(error)}) from error
    days, keys = said.get("days"), said.get("keys", {})
    if days is not None and (type(days) is not int or not 0 <= days <= MOST_DAYS):
        raise InvalidRequest({"days": f"0 to {MOST_DAYS}"})
    if not isinstance(keys, dict) or not all(isinstance(value, str) for value in keys.values()):
        raise InvalidRequest({"keys": "attributes of a step and texts to match"})
    if days is not None and keys.get(_START):
        raise InvalidRequest({"days": f"does not go with {_START}"})
    try:
        scu.request(keys)
    except InvalidValue as error:
        raise InvalidRequest({"keys": str(error)}) from error
    return Planned({"peer": name, "keys": keys, "days": days}, peer=name)


def allowed(folder: str) -> Path:
    """One below PACS_WORKLIST_FOLDER, which alone may be read. Raises InvalidRequest."""
    root = settings.WORKLIST_FOLDER.resolve()
    path = (root / folder).resolve()
    if path != root and root not in path.parents:
        raise InvalidRequest({"folder": f"has to be below {root}"})
    if not path.is_dir():
        raise InvalidRequest({"folder": f"There is no such folder below {root}"})
    return path


def import_worklist(run: JobRun) -> None:
    """Repeatable: what is here already changes nothing. What stands against an order of ours is named and left."""
    counted: Counter[str] = Counter()
    with _items(run) as items:
        for number, lines in enumerate(items, start=1):
            run.check()
            failpoint("import_worklist.taken")
            for line in lines:
                counted[line["outcome"]] += 1
                if line["outcome"] != Outcome.UNCHANGED and counted.total() <= _MOST_LINES:
                    run.log(importing.as_text(line))
            if number % _PROGRESS == 0:
                run.progress(number, number)
    run.progress(counted.total(), counted.total())
    run.result(**{outcome: counted[outcome] for outcome in Outcome})
    run.log(importing.total(counted))
    if wrong := counted[Outcome.CONFLICT] + counted[Outcome.UNREADABLE]:
        raise JobError(f"{wrong} of {counted.total()} could not be taken; the log says why")


Lines = list[dict[str, Any]]


@contextmanager
def _items(run: JobRun) -> Iterator[Iterator[Lines]]:
    """What became of each. Raises TryAgain, JobError."""
    if folder := run.arguments.get("folder"):
        try:
            path = allowed(str(folder))
        except InvalidRequest as error:
            raise JobError(str(error)) from error
        yield (_of_file(each, run.principal) for each in sorted(path.rglob("*")) if each.is_file())
        return
    peer = peer_of(run)
    name = peer.name
    try:
        calls = Calls(peer)
        found = beside(run, partial(_answers, calls, _keys(run)), abort=calls.abort)
    except DimseError as error:
        raise TryAgain(f"{name}: {error}") from error
    if len(found) == MOST:
        run.log(f"{name} has more than {MOST} steps: the rest is left out")
    yield (importing.lines(answer, principal=run.principal) for answer in found)


def _answers(calls: Calls, keys: Mapping[str, str]) -> list[Identifier]:
    with calls.connect(scu.CONTEXTS, timeouts=PATIENCE) as assoc:
        return list(scu.find(assoc, scu.request(keys), limit=MOST))


def _of_file(path: Path, principal: Principal) -> Lines:
    if path.name == "lockfile":  # wlmscpfs wants one in each folder
        return []
    try:
        item = importing.read_file(path)
    except (DicomError, OSError) as error:
        lines = [importing.unreadable(getattr(error, "strerror", None) or str(error))]
    else:
        lines = importing.lines(item, principal=principal)
    for line in lines:
        if line["outcome"] == Outcome.UNREADABLE:
            line["errors"] = {path.name: line["errors"]["item"]}
    return lines


def _keys(run: JobRun) -> dict[str, str]:
    """`days`: from today on so many more, by our own calendar."""
    keys: dict[str, str] = dict(run.arguments.get("keys") or {})
    if (days := run.arguments.get("days")) is not None:
        today = timezone.localdate()
        keys[_START] = f"{today:%Y%m%d}-{today + timedelta(days=days):%Y%m%d}"
    return keys
