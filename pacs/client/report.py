"""What the client says: lines for people, or one JSON object a line for programs."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Output(Protocol):
    def write(self, text: str, /) -> object: ...


class Report:
    def __init__(self, output: Output, *, as_json: bool) -> None:
        self._output = output
        self.as_json = as_json

    def say(self, text: str) -> None:
        """For people only."""
        if not self.as_json:
            self._output.write(f"{text}\n")

    def record(self, text: str = "", /, **fields: Any) -> None:
        """For programs; people read `text`, if there is any."""
        if self.as_json:
            self._output.write(json.dumps(fields, ensure_ascii=False) + "\n")
        elif text:
            self.say(text)

    def table(self, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """As wide as it has to be: a terminal wraps, a pipe gets all."""
        widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
        for row in (names, ["-" * width for width in widths], *rows):
            self.say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> "Iterator[Bar]":
        """On standard error, where a person sits in front of it."""
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        hidden = self.as_json or not sys.stderr.isatty()
        with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
            yield Bar(progress, what, total)


class Bar:
    def __init__(self, progress: Progress, what: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total)

    def advance(self) -> None:
        self._progress.advance(self._task)

    def reach(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)
