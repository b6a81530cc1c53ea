"""What a sender is told when it is our fault, and that the association outlives it (DESIGN: statuses)."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from apps.qr import query, retrieve
from apps.storage import intake
from dicom.dimse import Association, associate
from dicom.encoding import encode_elements
from tests.qr.serving import STUDY_FIND, Serving
from tests.storage.made import CT, EXPLICIT
from tests.wire.calls import STUDY_GET, image

STUDY = encode_elements([(0x00080052, "CS", b"STUDY"), (0x0020000D, "UI", b"6.1")], EXPLICIT)


@pytest.fixture
def folders(settings: Settings, tmp_path: Path) -> None:
    settings.DATA = tmp_path
    settings.SPOOL = tmp_path / "spool" / "main"
    settings.ARCHIVE = tmp_path / "archive"
    settings.MINIMUM_FREE = 1 << 20


def called(serving: Serving) -> Association:
    contexts = [(CT, [EXPLICIT]), (STUDY_FIND, [EXPLICIT]), (STUDY_GET, [EXPLICIT])]
    return associate("127.0.0.1", serving.port, calling_ae_title="X", called_ae_title="PACS", contexts=contexts)


def store(assoc: Association, study: str = "6.1") -> tuple[int, str]:
    context = assoc.context_for(CT)
    assert context is not None
    response = assoc.c_store(context=context, sop_class_uid=CT, sop_instance_uid=f"{study}.1.1", data=image(study))
    return response.status, response.command.error_comment


def find(assoc: Association) -> tuple[int, str]:
    context = assoc.context_for(STUDY_FIND)
    assert context is not None
    (response,) = assoc.c_find(context=context, identifier=STUDY)
    return response.status, response.command.error_comment


def get(assoc: Association) -> tuple[int, str]:
    context = assoc.context_for(STUDY_GET)
    assert context is not None
    (response,) = assoc.c_get(context=context, identifier=STUDY, on_store=lambda assoc, message: None)
    return response.status, response.command.error_comment


def test_a_full_disk_is_out_of_resources_until_there_is_space_again(
    folders: None, transactional_db: None, settings: Settings
) -> None:
    with Serving() as serving, called(serving) as assoc:
        assert store(assoc)[0] == 0
        settings.MINIMUM_FREE = 1 << 60
        for _ in range(3):
            status, comment = store(assoc, "6.2")
            assert status == 0xA700
            assert comment
        settings.MINIMUM_FREE = 1 << 20
        assert store(assoc, "6.2")[0] == 0


@pytest.mark.parametrize(
    ("module", "name", "ask"), [(intake, "receive", store), (query, "build", find), (retrieve, "instances", get)]
)
def test_a_bug_is_a_failure_with_a_reference_that_stands_in_the_log(
    folders: None,
    transactional_db: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    module: Any,
    name: str,
    ask: Callable[[Association], tuple[int, str]],
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("of a patient")

    monkeypatch.setattr(module, name, broken)
    with Serving() as serving, called(serving) as assoc:
        status, comment = ask(assoc)
        assert status == 0xC000
        monkeypatch.undo()
        assert store(assoc)[0] == 0
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert comment.rpartition(" ")[2] in record.getMessage()
    assert "patient" not in comment
