"""`manage.py import`: folders of anybody's files into the archive."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from pydicom.data import get_testdata_file
from pytest_django import Settings

from apps.accounts.principal import system
from apps.audit.models import AuditEvent
from apps.storage import importing
from apps.storage.models import Instance, Study
from tests.storage import made

pytestmark = pytest.mark.django_db(transaction=True)


def write(path: Path, **values: Any) -> Path:
    """A file as other programs write them: a data set without meta group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(made.data_set(**values))
    return path


def imported(*paths: Path) -> importing.Report:
    return importing.run(importing.files_below(paths), principal=system("test"), progress=lambda _: None)


def test_files_below_a_folder_are_found_whatever_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "cd"
    for number in range(3):
        write(folder / f"a{number}" / "IM0001", sop=f"1.2.3.1.1.{number + 1}", number=str(number))
    report = imported(folder)
    assert (report.imported, report.refused, report.indexed) == (3, [], True)
    assert Study.objects.get().number_of_study_related_instances == 3


def test_a_second_run_imports_nothing_twice(tmp_path: Path) -> None:
    folder = tmp_path / "cd"
    write(folder / "one")
    write(folder / "another version", name="Doe^Jane")  # goes into quarantine
    first = imported(folder)
    assert (first.imported, first.quarantined, first.known) == (1, 1, 0)
    again = imported(folder)
    assert (again.imported, again.quarantined, again.known) == (0, 0, 2)
    assert [event.detail["known"] for event in AuditEvent.objects.filter(action="import").order_by("id")] == [0, 2]
    assert Instance.objects.count() == 1


def test_what_is_refused_is_listed_with_the_reason_and_the_rest_comes_in(tmp_path: Path) -> None:
    folder = tmp_path / "cd"
    write(folder / "good")
    write(folder / "no study", sop="1.2.3.1.1.2", study=None)
    (folder / "README").write_text("no images in here")
    report = imported(folder)
    assert (report.imported, report.not_dicom) == (1, 1)
    assert report.refused == [(str(folder / "no study"), "C000: Study Instance UID is missing")]


@pytest.mark.parametrize("kept", [140, 200, 340])
def test_what_is_left_of_a_file_is_named_and_not_passed_over(kept: int, tmp_path: Path) -> None:
    whole = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[:kept])
    report = imported(tmp_path)
    assert (report.not_dicom, [path for path, _ in report.refused]) == (0, [str(tmp_path / "cut.dcm")])


def test_the_bytes_of_a_foreign_file_are_kept_from_its_first_data_set_byte(archive: Path) -> None:
    source = Path(str(get_testdata_file("CT_small.dcm")))
    assert imported(source).imported == 1
    row = Instance.objects.get()
    kept = (archive / row.path).read_bytes()[row.dataset_offset :]
    assert source.read_bytes().endswith(kept)
    assert len(kept) == row.size


def test_a_full_disk_stops_the_import_and_says_so(tmp_path: Path, settings: Settings) -> None:
    settings.MINIMUM_FREE = 1 << 60
    with pytest.raises(importing.Stopped, match="Not enough space"):
        imported(write(tmp_path / "cd" / "one"))


def test_the_command_reports_as_json_and_fails_when_something_was_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "cd" / "no study", study=None)
    with pytest.raises(SystemExit) as stopped:
        call_command("import", str(tmp_path / "cd"), "--json")
    assert stopped.value.code == 1
    assert json.loads(capsys.readouterr().out)["refused"][0]["reason"] == "C000: Study Instance UID is missing"
