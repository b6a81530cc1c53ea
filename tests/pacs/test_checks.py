"""What is wrong is said before anything starts, with a hint."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage

from pacs import checks

Check = Callable[[None], Iterator[CheckMessage]]


def found(check: Any) -> list[str]:
    messages = list(check(None))
    assert all(message.hint for message in messages)
    return [str(message.id) for message in messages]


@pytest.mark.parametrize(
    ("check", "setting", "value", "number"),
    [
        (checks.check_names, "AE_TITLE", "", "pacs.E003"),
        (checks.check_names, "AE_TITLE", "A" * 17, "pacs.E003"),
        (checks.check_names, "AE_TITLE", "A\\B", "pacs.E003"),
        (checks.check_names, "NODE", "../elsewhere", "pacs.E004"),
        (checks.check_keys, "SECRET_KEY", "short", "pacs.E005"),
        (checks.check_broker, "CELERY_BROKER_URL", "filesystem://", "pacs.E006"),
    ],
)
def test_a_wrong_setting_is_named(check: Check, setting: str, value: str, number: str, settings: Any) -> None:
    assert found(check) == []
    setattr(settings, setting, value)
    assert found(check) == [number]


def test_directories_that_cannot_be_made_are_named(tmp_path: Path, settings: Any) -> None:
    (tmp_path / "file").write_text("in the way")
    settings.ARCHIVE = tmp_path / "file" / "archive"
    settings.SPOOL = tmp_path / "file" / "spool"
    assert found(checks.check_directories) == ["pacs.E001", "pacs.E002"]


def test_a_secret_key_that_others_can_read_is_warned_of(tmp_path: Path, settings: Any) -> None:
    settings.DATA = tmp_path
    (tmp_path / "secret_key").write_text("x" * 50)
    (tmp_path / "secret_key").chmod(0o644)
    assert found(checks.check_keys) == ["pacs.W001"]
