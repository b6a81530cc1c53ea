import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from apps.accounts.principal import system
from apps.storage import importing
from apps.storage.importing import Report


class Command(BaseCommand):
    help = "Import the DICOM files below the given folders. May be interrupted and started again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="DIR", help="Folders (or files).")
        parser.add_argument("--json", action="store_true", help="The report as JSON.")

    def handle(self, *args: Any, paths: list[Path], **options: Any) -> None:
        missing = [path for path in paths if not path.exists()]
        if missing:
            raise CommandError(f"There is no {missing[0]}.")
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task("Importing", total=sum(1 for _ in importing.files_below(paths)))
            try:
                report = Report()
                files = importing.files_below(paths, unreadable=report.refuse)
                importing.run(files, principal=system("import"), progress=lambda _: bar.advance(task), report=report)
            except importing.Stopped as error:
                raise CommandError(f"Stopped: {error}. What was imported is safe; start again later.") from error
        self.stdout.write(_as_json(report) if options["json"] else _as_text(report))
        if report.refused or not report.indexed:
            sys.exit(1)


def _as_json(report: Report) -> str:
    return json.dumps(
        {
            "imported": report.imported,
            "quarantined": report.quarantined,
            "known": report.known,
            "not_dicom": report.not_dicom,
            "indexed": report.indexed,
            "refused": [{"file": file, "reason": reason} for file, reason in report.refused],
        }
    )


def _as_text(report: Report) -> str:
    lines = [
        f"{report.imported} imported, {report.quarantined} put into quarantine as another version of an instance, "
        f"{report.known} known already, {report.not_dicom} no DICOM instances, {len(report.refused)} refused."
    ]
    lines += [f"  {count} x {reason}" for reason, count in report.reasons().most_common()]
    lines += [f"  {file}: {reason}" for file, reason in report.refused]
    if not report.indexed:
        lines.append("The index has not caught up yet: see the indexer's log. What was imported is safe.")
    return "\n".join(lines)
