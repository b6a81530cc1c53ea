"""The conformance statement of this version (PS3.2)."""

import difflib
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from pacs.conformance.statement import PLACE, Undescribed, statement


class Command(BaseCommand):
    help = "Writes the conformance statement (PS3.2), in Markdown, from the tables this version goes by."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--output", type=Path, metavar="FILE", help="Default: standard output.")
        parser.add_argument(
            "--check", action="store_true", help=f"Write nothing; exit status 1 if {PLACE.name} says something else."
        )

    def handle(self, *args: Any, output: Path | None, check: bool, **options: Any) -> None:
        try:
            text = statement()
        except Undescribed as error:
            raise CommandError(str(error)) from error
        if check:
            self._compare(text, output or PLACE)
        elif output:
            try:
                output.write_text(text, encoding="utf-8")
            except OSError as error:
                raise CommandError(f"{output} cannot be written: {error.strerror}") from error
        else:
            self.stdout.write(text, ending="")

    def _compare(self, text: str, place: Path) -> None:
        kept = place.read_text(encoding="utf-8") if place.is_file() else ""
        if kept == text:
            self.stdout.write(f"{place.name} is up to date.")
            return
        lines = difflib.unified_diff(kept.splitlines(), text.splitlines(), place.name, "this version", n=0, lineterm="")
        shown = "\n".join(list(lines)[:40])
        raise CommandError(f"{shown}\n{place.name} is out of date: manage.py conformance --output {place.name}")
