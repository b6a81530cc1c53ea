"""Storage commitment as SCU, for a person at the command line: asks, and waits for the report wherever it comes."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from apps.commitment import scu
from apps.storage.models import Instance
from apps.storage.sources import ForeignFile
from dicom import status
from dicom.commitment import Commitment, Reference, reason_text
from dicom.dimse import (
    Association,
    AssociationEnded,
    CommandField,
    Failed,
    Message,
    SimpleAcceptor,
    ThreadedServer,
)
from dicom.errors import DicomError
from dicom.values import new_uid
from pacs.client import verbs
from pacs.client.keys import InvalidKey
from pacs.client.keys import Path as Key
from pacs.client.report import Report
from pacs.client.target import Caller

# What of ours is meant, by the keys that say so.
COLUMNS = {
    0x00100020: "series__study__patient__patient_id__in",
    0x00080050: "series__study__accession_number__in",
    0x0020000D: "series__study__study_instance_uid__in",
    0x0020000E: "series__series_instance_uid__in",
    0x00080018: "sop_instance_uid__in",
}
SAME_ASSOCIATION = 2.0  # seconds before we release, where we listen as well: some report only then


class CannotListen(DicomError):
    """The port is taken, or not ours to take."""


class Awaited:
    """The report on one transaction."""

    def __init__(self, transaction_uid: str) -> None:
        self.transaction_uid = transaction_uid
        self.report: Commitment | None = None
        self._came = threading.Event()

    def take(self, assoc: Association, message: Message) -> None:
        if message.command.command_field != CommandField.N_EVENT_REPORT:
            raise Failed(status.UNRECOGNIZED_OPERATION)
        report = scu.read_report(message)
        if report.transaction_uid != self.transaction_uid:
            raise Failed(status.INVALID_ARGUMENT_VALUE, "Not the transaction that was asked for")
        assoc.respond(message, status.SUCCESS)
        self.report = report
        self._came.set()

    @property
    def came(self) -> bool:
        return self._came.is_set()

    def wait(self, seconds: float) -> None:
        self._came.wait(max(0.0, seconds))


def commit(caller: Caller, told: Report, references: Sequence[Reference], *, wait: float, listen: int | None) -> bool:
    """Whether all are committed."""
    if not references:
        told.record("There is nothing to ask for", committed=0, failed=0, reported=False)
        return False
    awaited = Awaited(new_uid())
    until = time.monotonic() + wait
    with _listening(listen, awaited):
        with caller.associate(scu.CONTEXTS, on_request=awaited.take) as assoc:
            try:
                scu.ask(assoc, awaited.transaction_uid, references)
            except Failed as error:
                told.record(f"{caller.target} refused: {error}", status=f"{error.status:04X}", reported=False)
                return False
            told.say(f"{caller.target} was asked for {len(references)} instances")
            with suppress(AssociationEnded):
                assoc.serve(wait if listen is None else min(wait, SAME_ASSOCIATION), until=lambda: awaited.came)
        if listen is not None:
            awaited.wait(until - time.monotonic())
    return _tell(caller, told, references, awaited)


@contextmanager
def _listening(port: int | None, awaited: Awaited) -> Iterator[None]:
    if port is None:
        yield
        return
    ((abstract_syntax, syntaxes),) = scu.CONTEXTS
    try:
        server = ThreadedServer(("", port), SimpleAcceptor({abstract_syntax: (syntaxes, awaited.take)}))
        server.start()
    except OSError as error:
        raise CannotListen(f"Cannot listen on port {port}: {error.strerror}") from error
    try:
        yield
    finally:
        server.stop()


def _tell(caller: Caller, told: Report, references: Sequence[Reference], awaited: Awaited) -> bool:
    if awaited.report is None:
        told.record(
            f"{caller.target} has not reported in time", transaction_uid=awaited.transaction_uid, reported=False
        )
        return False
    reasons = {each.sop_instance_uid: each.reason for each in awaited.report.references}
    failed = 0
    for each in references:
        reason = reasons.get(each.sop_instance_uid)
        text = "the report does not name it" if reason is None else f"{reason:04X} {reason_text(reason)}"
        failed += reason != 0
        told.record(
            f"{each.sop_instance_uid}: {text}" if reason != 0 else "",
            sop_class_uid=each.sop_class_uid,
            sop_instance_uid=each.sop_instance_uid,
            committed=reason == 0,
            reason="" if reason == 0 else text,
        )
    committed = len(references) - failed
    told.record(
        f"{committed} of {len(references)} committed by {caller.target}",
        transaction_uid=awaited.transaction_uid,
        committed=committed,
        failed=failed,
        reported=True,
    )
    return not failed


def of_files(told: Report, paths: Sequence[Path]) -> list[Reference]:
    found = []
    for path in verbs.files(paths):
        try:
            file = ForeignFile.read(path)
        except (DicomError, OSError) as error:
            why = getattr(error, "strerror", None) or str(error)
            told.record(f"{path}: left out, {why}", path=str(path), error=why)
        else:
            found.append(Reference(file.sop_class_uid, file.sop_instance_uid))
    return found


def of_archive(keys: Sequence[tuple[Key, str]]) -> list[Reference]:
    """Instances of ours. Raises InvalidKey."""
    rows = Instance.objects.order_by("pk")
    for path, value in keys:
        if len(path) != 1 or path[0] not in COLUMNS or not value:
            raise InvalidKey("Of what we have: PatientID, AccessionNumber and UIDs, each with a value")
        rows = rows.filter(**{COLUMNS[path[0]]: value.split("\\")})
    return [Reference(*row) for row in rows.values_list("sop_class_uid", "sop_instance_uid").iterator(1000)]
