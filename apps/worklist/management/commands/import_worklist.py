import json
from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.principal import system
from apps.storage.importing import files_below
from apps.worklist import importing
from apps.worklist.importing import Outcome
from dicom.errors import DicomError


class Command(BaseCommand):
    help = (
        "Import worklist items: DICOM files as wlmscpfs serves them. Says of each whether it is new, changed or known."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.epilog = "exit status: 1 when a file could not be read or stands against what is here"
        parser.add_argument("paths", nargs="+", type=Path, metavar="FILE", help="Files, and folders of them.")
        parser.add_argument("--json", action="store_true", help="One JSON object a line.")

    def handle(self, *args: Any, paths: list[Path], **options: Any) -> None:
        missing = [path for path in paths if not path.exists()]
        if missing:
            raise CommandError(f"There is no {missing[0]}.")
        counted: Counter[str] = Counter()
        for path in files_below(paths):
            for line in self._lines(path):
                counted[line["outcome"]] += 1
                self.stdout.write(
                    json.dumps({"file": str(path), **line}) if options["json"] else importing.as_text(line, str(path))
                )
        if not options["json"]:
            self.stdout.write(importing.total(counted))
        if not counted or counted[Outcome.UNREADABLE] or counted[Outcome.CONFLICT]:
            raise SystemExit(1)

    def _lines(self, path: Path) -> list[dict[str, Any]]:
        if path.name == "lockfile":  # wlmscpfs wants one in each folder
            return []
        try:
            item = importing.read_file(path)
        except (DicomError, OSError) as error:
            return [importing.unreadable(getattr(error, "strerror", None) or str(error))]
        return importing.lines(item, principal=system("import_worklist"))
