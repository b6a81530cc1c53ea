"""`manage.py conformance`."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from dicom.sop_classes import Service
from pacs import services
from pacs.conformance import statement
from pacs.conformance.services import DESCRIPTIONS
from pacs.description import operations
from tests.pacs.conformance import reading


def test_the_statement_of_the_repository_is_that_of_this_version(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("conformance", check=True)  # its error says what differs, and what to do
    assert "up to date" in capsys.readouterr().out


def test_a_statement_that_is_out_of_date_is_named_with_what_differs(tmp_path: Path) -> None:
    kept = tmp_path / "CONFORMANCE.md"
    call_command("conformance", output=kept)
    kept.write_text(kept.read_text(encoding="utf-8").replace("CT Image Storage", "CT Picture Storage", 1), "utf-8")
    with pytest.raises(CommandError, match=r"CT Picture Storage[\s\S]*manage.py conformance --output"):
        call_command("conformance", check=True, output=kept)


def test_a_service_that_nobody_describes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement, "DESCRIPTIONS", {})
    with pytest.raises(CommandError, match=r"offers the service 'echo', which .*services\.py does not describe"):
        call_command("conformance")


def test_a_service_without_its_text_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for text in statement._TEXT.iterdir():
        if text.name != "find.md":
            (tmp_path / text.name).write_bytes(text.read_bytes())
    monkeypatch.setattr(statement, "_TEXT", tmp_path)
    with pytest.raises(CommandError, match=r"text/find\.md is missing"):
        call_command("conformance")


def test_what_is_not_in_the_table_of_services_is_said_not_to_be_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = {service: handlers for service, handlers in services.SERVICES.items() if service is not Service.WORKLIST}
    monkeypatch.setattr(statement, "SERVICES", fewer)
    text = statement.statement()
    assert "### Modality Worklist" not in text
    assert "- Modality Worklist as SCP" in text.partition("## Not supported")[2]


def test_each_service_and_each_resource_has_its_place() -> None:
    told = [heading.partition(" (")[0] for heading in reading.services()]
    assert told == [DESCRIPTIONS[service].title for service in services.SERVICES]
    resources = {(row[0], row[1].lower()) for row in reading.rows("Resources", 5)}
    assert resources == {(address, method) for address, method, _ in operations()}


def test_a_file_that_cannot_be_written_is_an_error_of_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("conformance", output=tmp_path / "missing" / "CONFORMANCE.md")
