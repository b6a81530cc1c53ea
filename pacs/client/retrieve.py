"""Retrieve as SCU, for a person at the command line: sent here on the same association, or to somebody else."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from apps.network.scu import PLAIN
from apps.qr import scu
from apps.qr.attributes import GET, MOVE, InformationModel
from dicom import status
from dicom.encoding import ElementIn
from dicom.sop_classes import STORAGE_SOP_CLASSES
from pacs.client.report import Bar, Report
from pacs.client.target import Caller

# What few archives hold comes last: an association has not enough contexts for every class there is.
_RARE = tuple(
    f"1.2.840.10008.5.1.4.1.1.{family}."
    for family in ("9", "78", "200", "481.1", "481.2", "501", "601", "77.1.5", "66", "88.7", "104")
)


class NoFolder(ValueError):
    """What is retrieved cannot be written there."""


def storage_kinds(wanted: Sequence[str]) -> dict[str, Sequence[str]]:
    """Storage classes to take, those named first: SOP class -> transfer syntaxes."""
    ordered = sorted(STORAGE_SOP_CLASSES, key=lambda uid: uid.startswith(_RARE))
    return dict.fromkeys([*wanted, *ordered][: scu.MOST_KINDS], PLAIN)


def get(
    caller: Caller,
    report: Report,
    *,
    model: InformationModel,
    keys: Sequence[ElementIn],
    folder: Path,
    classes: Sequence[str],
) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NoFolder(f"{folder}: {error.strerror or error}") from error
    keeper = scu.IntoFolder(folder)
    kinds = storage_kinds(classes)
    with (
        caller.associate(scu.contexts(GET[model], kinds), roles=scu.roles(kinds)) as assoc,
        report.progress("Retrieving") as bar,
    ):
        final = _follow(bar, scu.get(assoc, model, keys, keeper))
    for uid in keeper.kept:
        report.record("", sop_instance_uid=uid, path=str(folder / f"{uid}.dcm"))
    report.say(f"{len(keeper.kept)} files in {folder.resolve()}")
    return _finish(report, final)


def move(
    caller: Caller, report: Report, *, model: InformationModel, keys: Sequence[ElementIn], destination: str
) -> bool:
    with caller.associate(scu.contexts(MOVE[model])) as assoc, report.progress("Moving") as bar:
        final = _follow(bar, scu.move(assoc, model, keys, destination=destination))
    return _finish(report, final)


def _follow(bar: Bar, steps: Iterable[scu.Progress]) -> scu.Progress:
    """Until the final response: there always is one, or the association ended with an exception."""
    for step in steps:
        done = step.completed + step.failed + step.warning
        bar.reach(done, done + (step.remaining or 0))
    return step


def _finish(report: Report, final: scu.Progress) -> bool:
    good = status.is_success(final.status)
    words = f"{final.completed} completed, {final.warning} warning, {final.failed} failed"
    told = "" if good else f", status {final.status:04X}" + (f": {final.comment}" if final.comment else "")
    report.record(
        words + told,
        status=f"{final.status:04X}",
        completed=final.completed,
        warning=final.warning,
        failed=final.failed,
        failed_sop_instance_uids=list(final.failed_uids),
    )
    return good
