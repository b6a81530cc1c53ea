import json
import logging
import logging.config
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps import context
from pacs import logs


def record(message: str) -> logging.LogRecord:
    made = logging.LogRecord("pacs.test", logging.WARNING, __file__, 1, message, None, None)
    logs.Identity().filter(made)
    return made


def test_a_text_line_names_the_association_it_is_about() -> None:
    with context.bound(association="00ff00ff00ff00ff"):
        line = logs.TextFormatter().format(record("refused"))
    assert line.endswith("association=00ff00ff00ff00ff refused")


def test_a_json_line_is_one_object_with_the_request_it_is_about() -> None:
    with context.bound(request="abc"):
        line = logs.JsonFormatter().format(record("two\nlines"))
    assert "\n" not in line
    parsed = json.loads(line)
    assert (parsed["request"], parsed["level"], parsed["message"]) == ("abc", "warning", "two\nlines")


def test_what_a_thread_works_for_ends_with_its_block() -> None:
    before = context.current()
    with context.bound(job="7"):
        assert context.current() == {**before, "job": "7"}
    assert context.current() == before


def _write(path: str, who: int, lines: int) -> None:
    handler = logs.SharedRotatingFileHandler(path, maximum_bytes=20_000, kept=100)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for number in range(lines):
        handler.emit(record(f"{who} {number} " + "x" * 80))
    handler.close()


def test_processes_that_share_a_log_file_lose_no_line_when_it_is_turned_over(tmp_path: Path) -> None:
    path = tmp_path / "pacs.log"
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_write, args=(str(path), who, 500)) for who in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=60)
    files = [file for file in tmp_path.iterdir() if file.suffix != ".lock"]
    assert len(files) > 3
    written = {tuple(line.split()[:2]) for file in files for line in file.read_text().splitlines()}
    assert written == {(str(who), str(number)) for who in range(4) for number in range(500)}


@pytest.fixture
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    kept: tuple[int, list[Any]] = (root.level, list(root.handlers))
    yield
    root.setLevel(kept[0])
    root.handlers[:] = kept[1]


@pytest.mark.usefixtures("_logging_restored")
def test_file_and_format_follow_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_LOG_FILE", str(tmp_path / "here" / "all.log"))
    monkeypatch.setenv("PACS_LOG_FORMAT", "json")
    configuration = logs.configuration()
    assert set(configuration["handlers"]) == {"console", "file"}
    logging.config.dictConfig(configuration)
    logging.getLogger("pacs.test").warning("kept")
    for handler in logging.getLogger().handlers:
        handler.close()
    assert json.loads((tmp_path / "here" / "all.log").read_text())["message"] == "kept"


def test_an_unknown_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_LOG_FORMAT", "xml")
    with pytest.raises(ValueError, match="text or json"):
        logs.configuration()
