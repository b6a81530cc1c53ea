import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from apps.storage import reindex
from apps.storage.store import Away, store


class Command(BaseCommand):
    help = "Rebuild the image index (patients to instances) from the files of the archive and its records alone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--clear", action="store_true", help="Empty the image index first.")
        parser.add_argument("--yes", action="store_true", help="Do not ask.")

    def handle(self, *args: Any, clear: bool, yes: bool, **options: Any) -> None:
        if clear and not reindex.is_empty():
            self._confirm(yes)
            reindex.clear()
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task("Indexing", total=sum(1 for _ in store().places()))
            try:
                report = reindex.reindex(lambda done: bar.advance(task, done))
            except Away as error:
                raise CommandError(f"{error} ({error.strerror}); what is done is done, start it again.") from error
        self.stdout.write(
            f"{report.indexed} files indexed, {report.known} were in the index, "
            f"{report.decisions} decisions applied, {len(report.failed)} files failed."
        )
        for place, reason in report.failed:
            self.stdout.write(f"  {place}: {reason}")
        if report.failed:
            sys.exit(1)

    def _confirm(self, yes: bool) -> None:
        if not yes and input("The image index will be emptied and made again. Type yes: ") != "yes":
            raise CommandError("Nothing was changed.")
