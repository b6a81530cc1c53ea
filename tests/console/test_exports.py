"""Exporting from the list of studies and from a study's page, and taking the ZIP away."""

import os
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pydicom import dcmread

from apps.accounts.users import principal_of
from apps.audit.models import AuditEvent
from apps.jobs import queue
from apps.jobs.models import Job, JobState
from apps.qr import exporting
from tests.browser import Window
from tests.console import files
from tests.node import Node

SHOTS = os.environ.get("PACS_SCREENSHOTS", "")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("export")
    files.two_series_each(folder / "files", studies=3)
    with Node(folder) as running:
        running.manage("prepare")
        running.manage("import", str(folder / "files"))
        yield running.start("web", "worker")


@pytest.fixture
def window(browser: Browser, node: Node) -> Iterator[Window]:
    with Window(browser, node, accept_downloads=True) as window:
        window.sign_in()
        yield window
        assert not window.elsewhere()
        assert not [text for text in window.complaints if "the server responded with" not in text]


def downloaded(page: Page) -> zipfile.ZipFile:
    button = page.get_by_role("link", name="Download")
    expect(button).to_be_visible()
    with page.expect_download() as download:
        button.click()
    assert download.value.suggested_filename.startswith("export ")
    return zipfile.ZipFile(download.value.path())


@pytest.mark.live
def test_one_series_of_a_study_is_exported_from_its_page_and_its_zip_taken_away(page: Page) -> None:
    page.goto("/studies/1.2.3.1/")
    page.get_by_role("link", name="Export").click()
    expect(page.locator("h1")).to_contain_text("Doe, John")
    page.get_by_label("Series 2").uncheck()
    page.get_by_role("button", name="Export").click()
    with downloaded(page) as made:
        assert len(made.namelist()) == 1
        assert made.namelist()[0].startswith("P1")


@pytest.mark.live
def test_studies_chosen_in_the_list_are_exported_together_with_a_directory(page: Page, tmp_path: Path) -> None:
    page.goto("/studies/?order=patient_id")
    expect(page.get_by_role("button", name="Export those chosen")).to_be_hidden()
    page.get_by_label("Choose: Doe, John 2").check()
    page.get_by_label("Choose: Doe, John 3").check()
    page.get_by_role("button", name="Export those chosen").click()
    expect(page.locator("h1")).to_have_text("Export 2 studies")
    page.get_by_label("With a DICOMDIR").check()
    page.get_by_role("button", name="Export").click()
    with downloaded(page) as made:
        made.extractall(tmp_path)
    records = dcmread(tmp_path / "DICOMDIR").DirectoryRecordSequence
    assert {str(record.PatientID) for record in records if record.DirectoryRecordType == "PATIENT"} == {"P2", "P3"}


@pytest.mark.live
def test_an_export_waits_for_its_time_and_is_begun_at_once_all_the_same(page: Page) -> None:
    page.goto("/export/?study=1.2.3.1")
    page.get_by_label("Not before").fill("2099-01-01T02:00")
    page.get_by_role("button", name="Export").click()
    expect(page.locator("#job")).to_contain_text("not before 2099-01-01 02:00")
    page.get_by_role("button", name="Begin now").click()
    expect(page.get_by_role("link", name="Download")).to_be_visible()


@pytest.mark.live
def test_what_is_missing_of_an_export_is_said(window: Window, page: Page) -> None:
    page.goto("/export/?study=1.2.3.1")
    page.get_by_label("Series 1").uncheck()
    page.get_by_label("Series 2").uncheck()
    page.get_by_label("With a DICOMDIR").check()
    page.get_by_role("button", name="Export").click()
    expect(page.get_by_role("alert")).to_have_text("Choose at least one series.")
    expect(page.get_by_label("With a DICOMDIR")).to_be_checked()
    page.goto("/export/")
    expect(page.locator("body")).to_contain_text("No study was chosen")
    window.forget()


@pytest.mark.django_db
def test_who_may_not_retrieve_is_offered_no_export(client: Client) -> None:
    client.force_login(User.objects.create_user("nobody"))
    assert b"/export/" not in client.get("/studies/").content
    answer = client.get("/export/?study=1.2.3")
    assert answer.status_code == 403
    assert b"may not export images" in answer.content


@pytest.mark.django_db
def test_a_zip_is_for_who_asked_for_it_and_each_download_is_in_the_trail(client: Client) -> None:
    radiologists = Group.objects.get(name="Radiologists")
    asked, other = (User.objects.create_user(name) for name in ("asked", "other"))
    for user in (asked, other):
        user.groups.add(radiologists)
    job = queue.submit(kind="export", principal=principal_of(asked), arguments={})
    later = timezone.now() + timedelta(days=7)
    result = {"file": f"{job.pk}.zip", "size": 2_097_152, "expires_at": later.isoformat()}
    Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED, result=result)
    exporting.folder().mkdir(parents=True, exist_ok=True)
    file = exporting.folder() / f"{job.pk}.zip"
    file.write_bytes(b"PK")
    client.force_login(other)
    assert client.get(f"/jobs/{job.pk}/file/").status_code == 404
    client.force_login(asked)
    assert "Download, 2.0\xa0MB" in client.get(f"/jobs/{job.pk}/").content.decode()
    answer = client.get(f"/jobs/{job.pk}/file/")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/zip")
    assert b"".join(answer) == b"PK"
    assert AuditEvent.objects.filter(action="download", object_uid=str(job.pk), actor_name="asked").count() == 1
    file.unlink()
    gone = client.get(f"/jobs/{job.pk}/file/")
    assert gone.status_code == 410
    assert b"Export it again" in gone.content
    Job.objects.filter(pk=job.pk).update(result={**result, "expires_at": timezone.now().isoformat()})
    assert b"The file was removed" in client.get(f"/jobs/{job.pk}/").content


@pytest.mark.live
@pytest.mark.parametrize("width", [1440, 768, 400])
def test_the_form_of_an_export_fits(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for name, address in (("one", "/export/?study=1.2.3.1"), ("two", "/export/?study=1.2.3.1&study=1.2.3.2")):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"export-{name}-{width}.png")
