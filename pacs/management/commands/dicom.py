"""The integrated client: Verification, Storage and its commitment, Query/Retrieve, Modality Worklist as SCU."""

from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.qr.attributes import InformationModel
from dicom.dimse import Timeouts
from dicom.errors import DicomError
from pacs import checks
from pacs.client import arguments, commit, keys, mpps, query, retrieve, several, target, tls, verbs, worklist
from pacs.client.report import Report

# Always asked for: what identifies, and what a person wants to see.
SHOWN = {
    "patient": ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    "study": ("StudyInstanceUID", "PatientID", "PatientName", "StudyDate", "ModalitiesInStudy", "StudyDescription"),
    "series": ("SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription"),
    "image": ("SOPInstanceUID", "SOPClassUID", "InstanceNumber"),
}
_STEP = "ScheduledProcedureStepSequence"
SHOWN_OF_A_STEP = (
    f"{_STEP}.ScheduledProcedureStepStartDate",
    f"{_STEP}.ScheduledProcedureStepStartTime",
    f"{_STEP}.Modality",
    f"{_STEP}.ScheduledStationAETitle",
    "PatientName",
    "PatientID",
    "AccessionNumber",
    "RequestedProcedureDescription",
    f"{_STEP}.ScheduledProcedureStepID",
    f"{_STEP}.ScheduledProcedureStepStatus",
)
Key = tuple[keys.Path, str]
DIFFERS, NO_ASSOCIATION, INTERRUPTED = 1, 2, 130  # exit statuses


class Command(BaseCommand):
    help = "Calls another DICOM node: a peer by name or AE title, or AET@HOST:PORT."
    requires_system_checks = [checks.TAG]

    def add_arguments(self, parser: CommandParser) -> None:
        arguments.add(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        report = Report(self.stdout, as_json=options["json"])
        try:
            seconds = options["timeout"]
            timeouts = Timeouts(connect=min(10, seconds), acse=min(30, seconds), dimse=seconds)
            secured = tls.context(options)
            callers = {
                name: target.Caller(target.find(name), options["calling"], timeouts, secured)
                for name in _targets(options)
            }
            if len(callers) > 1:
                good = _find_several(callers, report, options)
            else:
                (caller,) = callers.values()
                good = VERBS[options["verb"]](caller, report, options)
        except (target.InvalidTarget, keys.InvalidKey, retrieve.NoFolder, DicomError) as error:
            report.record("", error=str(error))
            raise CommandError(str(error), returncode=NO_ASSOCIATION) from error
        except KeyboardInterrupt as error:
            raise CommandError("Interrupted", returncode=INTERRUPTED) from error
        if not good:
            raise SystemExit(DIFFERS)


def _targets(options: dict[str, Any]) -> list[str]:
    """Only a query goes to several at once."""
    if options["verb"] != "find":
        return [options["target"]]
    return list(dict.fromkeys(name for part in options["target"].split(",") if (name := part.strip()))) or [""]


def _find_several(callers: dict[str, target.Caller], report: Report, options: dict[str, Any]) -> bool:
    _, level, asked = _asked(options)
    limit, seconds = options["limit"], options["timeout"]
    return several.find(callers, report, level=level, keys=asked, shown=SHOWN[level], limit=limit, seconds=seconds)


def _asked(options: dict[str, Any]) -> tuple[InformationModel, str, list[Key]]:
    """Information model, level and keys of a find, get or move."""
    asked = [keys.parse(text) for text in options["keys"]]
    level = options["level"] or _level(asked)
    from_patient = options["patient_root"] or level == "patient"
    return InformationModel.PATIENT_ROOT if from_patient else InformationModel.STUDY_ROOT, level, asked


def _level(asked: list[Key]) -> str:
    given = {path for path, value in asked if value}
    for level in ("image", "series"):
        if keys.parse(SHOWN[level][0])[0] in given:
            return level
    return "study"


def _echo(caller: target.Caller, report: Report, options: dict[str, Any]) -> bool:
    return verbs.echo(caller, report)


def _store(caller: target.Caller, report: Report, options: dict[str, Any]) -> bool:
    return verbs.store(caller, report, options["paths"])


def _find(caller: target.Caller, report: Report, options: dict[str, Any]) -> bool:
    model, level, asked = _asked(options)
    named = {path for path, _ in asked}
    asked += [(path, "") for path, _ in map(keys.parse, SHOWN[level]) if path not in named]
    return query.find(
        caller,
        report,
        model=model,
        keys=keys.elements(level.upper(), asked),
        shown=[path[:1] for path, _ in asked],
        limit=options["limit"],
    )


def _worklist(caller: target.Caller, report: Report, options: dict[str, Any]) -> bool:
    """A key of a step may be named without its sequence."""
    asked = [(worklist.path(path), value) for path, value in map(keys.parse, options["keys"])]
    shown = dict.fromkeys([keys.parse(text)[0] for text in SHOWN_OF_A_STEP] + [path for path, _ in asked])
    named = {path for path, _ in asked}
    wanted = [*shown, *(worklist.EVERYTHING if options["take"] else ())]
    return worklist.find(
        caller,
        report,
        keys=keys.elements("", [*asked, *((path, "") for path in dict.fromkeys(wanted) if path not in named)]),
        shown=shown,
        limit=options["limit"],
        take=options["take"],
    )


def _get(caller: target.Caller, report: Report, options: dict[str, Any]) -> bool:
    model, level, asked = _asked(options)
    return retrieve.get(
        caller,
        report,
        model=model,
        keys=keys.elements(level.upper(), asked),
        folder=options["to"],
        classes=options["sop_class"],
    )


def _move(caller: target.Caller, report: Report, options: dict[str, Any]) -> bool:
    model, level, asked = _asked(options)
    return retrieve.move(
        caller,
        report,
        model=model,
        keys=keys.elements(level.upper(), asked),
        destination=options["destination"],
    )


def _mpps(caller: target.Caller, report: Report, options: dict[str, Any]) -> bool:
    if not options["uid"] and options["action"] != "create":
        raise keys.InvalidKey(f"{options['action']} needs the UID of the step")
    return mpps.report(
        caller,
        report,
        action=options["action"],
        uid=options["uid"],
        asked=[keys.parse(text) for text in options["keys"]],
        file=options["file"],
    )


def _commit(caller: target.Caller, report: Report, options: dict[str, Any]) -> bool:
    if bool(options["paths"]) == bool(options["keys"]):
        raise keys.InvalidKey("Either files, or -k for instances of this archive")
    asked = [keys.parse(text) for text in options["keys"]]
    references = commit.of_archive(asked) if asked else commit.of_files(report, options["paths"])
    return commit.commit(caller, report, references, wait=options["wait"], listen=options["listen"])


VERBS: dict[str, Callable[[target.Caller, Report, dict[str, Any]], bool]] = {
    "echo": _echo,
    "store": _store,
    "find": _find,
    "get": _get,
    "move": _move,
    "worklist": _worklist,
    "mpps": _mpps,
    "commit": _commit,
}
