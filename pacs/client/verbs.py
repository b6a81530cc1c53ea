"""Verification and storage as SCU, for a person at the command line. Each verb returns whether all went well."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from apps.qr import scu
from apps.storage.attempts import Outcome
from apps.storage.sources import ForeignFile
from dicom import status
from dicom.errors import DicomError
from dicom.sop_classes import VERIFICATION
from pacs.client.report import Report
from pacs.client.target import Caller


def echo(caller: Caller, report: Report) -> bool:
    began = time.monotonic()
    with caller.associate(scu.contexts(VERIFICATION)) as assoc:
        answer = assoc.c_echo()
    milliseconds = round((time.monotonic() - began) * 1000, 1)
    good = status.is_success(answer.status)
    text = f"{caller.target} answers" if good else f"{caller.target} answers with status {answer.status:04X}"
    report.record(
        f"{text}, {milliseconds} ms", target=str(caller.target), status=f"{answer.status:04X}", ms=milliseconds
    )
    return good


def store(caller: Caller, report: Report, paths: Sequence[Path]) -> bool:
    """Files, and everything below folders."""
    sources, unreadable = [], 0
    for path in files(paths):
        try:
            sources.append(ForeignFile.read(path))
        except (DicomError, OSError) as error:
            unreadable += 1
            why = getattr(error, "strerror", None) or str(error)
            report.record(f"{path}: left out, {why}", path=str(path), error=why)
    stored = 0
    kinds = {(source.sop_class_uid, source.transfer_syntax_uid) for source in sources}
    with caller.sender(kinds) as sender, report.progress("Storing", len(sources)) as bar:
        if sources:
            sender.connect()
        for source, outcome in zip(sources, sender.send_each(sources), strict=True):
            stored += _stored(source, outcome, report)
            bar.advance()
    report.record(
        f"{stored} of {len(sources)} stored on {caller.target}" + (f", {unreadable} left out" if unreadable else ""),
        stored=stored,
        failed=len(sources) - stored,
        left_out=unreadable,
    )
    return stored == len(sources) and bool(stored) and not unreadable


def _stored(source: ForeignFile, outcome: Outcome, report: Report) -> bool:
    good = status.is_success(outcome.status) or status.is_warning(outcome.status)
    said = f": {outcome.comment}" if outcome.comment else ""
    report.record(
        "" if status.is_success(outcome.status) else f"{source.path}: status {outcome.status:04X}{said}",
        path=str(source.path),
        sop_instance_uid=outcome.sop_instance_uid,
        status=f"{outcome.status:04X}",
        comment=outcome.comment,
    )
    return good


def files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, folders, names in os.walk(path):
            folders.sort()
            inside = Path(folder)
            yield from (inside / name for name in sorted(names))
