"""Jobs that store to and retrieve from DICOMweb servers of others: Orthanc's plug-in, and a second one of ours."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pydicom import dcmread
from pydicom.data import get_testdata_file

from apps.accounts.principal import system
from apps.accounts.rest import InvalidRequest
from apps.jobs import kind
from apps.jobs.models import ItemState, Job, JobState
from apps.jobs.runner import run_due
from apps.network.models import DicomwebServer
from apps.qr import arrivals, web_sending
from apps.storage.models import Instance
from apps.storage.placement import path_of
from apps.storage.store import Away, store
from tests.node import Node, free_port
from tests.qr.indexing import cancel, indexing, keep, stored
from tests.remotes import Remote, files_of_orthanc, orthanc
from tests.storage.made import EXPLICIT, IMPLICIT

ME = system("test")
FILES = ("CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm", "reportsi.dcm")
READER = {"username": "reader", "password": "secret of the reader"}


@pytest.fixture(autouse=True)
def here(folders: None) -> Iterator[None]:
    with indexing():
        yield


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as remote:
        yield remote


def server(url: str, **fields: Any) -> DicomwebServer:
    return DicomwebServer.objects.create(name="other", url=url, **fields)


def asked(job: str, **arguments: Any) -> Job:
    return kind.request(job, principal=ME, arguments={"server": "other", **arguments})


def ran(job: Job) -> Job:
    Job.objects.filter(pk=job.pk, state=JobState.QUEUED).update(due_at=timezone.now())
    run_due()
    job.refresh_from_db()
    return job


def errors(job: Job) -> list[str]:
    return list(job.items.exclude(state=ItemState.SUCCEEDED).values_list("error", flat=True))


def test_studies_come_from_orthanc_as_they_are(other: Remote, tmp_path: Path) -> None:
    paths = [Path(str(get_testdata_file(name))) for name in FILES]
    other.store(*paths)
    held = files_of_orthanc(other)
    studies = sorted({str(dcmread(path, stop_before_pixels=True).StudyInstanceUID) for path in paths})
    server(other.dicomweb, **READER)
    job = ran(asked("wado", study_instance_uids=studies))
    assert (job.state, job.done, job.error) == (JobState.SUCCEEDED, len(FILES), "")
    for row in Instance.objects.all():
        path = tmp_path / "held.dcm"
        path.write_bytes(held[row.sop_instance_uid])
        theirs, ours = dcmread(path), dcmread(path_of(row.path))
        assert ours.file_meta.TransferSyntaxUID == theirs.file_meta.TransferSyntaxUID
        assert ours == theirs
        assert row.peer == "other"


def test_instances_go_to_orthanc_as_they_are(other: Remote) -> None:
    data = keep(*range(1, 6), series="1.2.77.1", study="1.2.77")
    server(other.dicomweb, **READER)
    job = ran(asked("stow", study_instance_uids=["1.2.77"]))
    assert (job.state, job.done, job.total, job.error) == (JobState.SUCCEEDED, 5, 5, "")
    held = files_of_orthanc(other)
    assert all(held[uid].endswith(data[uid]) for uid in data)


def test_what_goes_to_a_second_server_of_ours_comes_back_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_sending, "_PAGE", 4)
    data = keep(*range(1, 10), series="1.2.88.1", study="1.2.88")
    implicit = keep(1, series="1.2.88.2", study="1.2.88", syntax=IMPLICIT)
    with Node(tmp_path) as node:
        node.manage("prepare")
        node.start("web", "indexer")
        secret = {"username": "admin", "password": node.admin_password}
        server(f"http://{node.host}:{node.http_port}/dicomweb/", **secret)
        job = ran(asked("stow", study_instance_uids=["1.2.88"]))
        assert (job.state, job.done, job.error) == (JobState.SUCCEEDED, 10, "")
        Instance.objects.all().delete()
        job = ran(asked("wado", study_instance_uid="1.2.88", series_instance_uids=["1.2.88.1"]))
        assert (job.state, job.done, job.error) == (JobState.SUCCEEDED, 9, "")
        assert stored() == data
        job = ran(asked("wado", study_instance_uids=["1.2.88"]))
    assert (job.state, job.done, job.total) == (JobState.SUCCEEDED, 10, 10)
    # PS3.18 8.7.3.5.2: Implicit VR goes over the web as Explicit VR.
    assert stored().keys() == {*data, *implicit}
    assert Instance.objects.get(sop_instance_uid="1.2.88.2.1").transfer_syntax_uid == EXPLICIT


Answering = Callable[[http.server.BaseHTTPRequestHandler, bytes], None]


@contextmanager
def scripted(answer: Answering) -> Iterator[str]:
    """A server that does what a test wants with each request, whose body it has read."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            answer(self, body)

        def do_GET(self) -> None:
            answer(self, b"")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()
            thread.join()


def said(status: int, body: str = "", media: str = "application/dicom+json") -> Answering:
    def answer(request: http.server.BaseHTTPRequestHandler, _: bytes) -> None:
        request.send_response(status)
        request.send_header("Content-Type", media)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body.encode())

    return answer


def test_what_the_server_refuses_has_failed_with_its_reason_and_the_rest_is_done() -> None:
    keep(1, 2, 3)
    body = """{"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2.3.1.1"]},
      "00081196": {"vr": "US", "Value": [45056]}}]},
      "00081198": {"vr": "SQ", "Value": [
        {"00081155": {"vr": "UI", "Value": ["1.2.3.1.2"]}, "00081197": {"vr": "US", "Value": [290]}},
        {"00081155": {"vr": "UI", "Value": ["1.2.3.1.3"]}, "00081197": {"vr": "US", "Value": [42752]}}]}}"""
    with scripted(said(202, body)) as url:
        server(url)
        job = ran(asked("stow", study_instance_uids=["1.2.3"]))
    assert (job.state, job.done, job.failures, job.error) == (JobState.QUEUED, 1, 1, "1 of 3 still to be sent")
    assert list(job.items.values_list("state", "error")) == [
        (ItemState.SUCCEEDED, "B000: Data elements were coerced"),
        (ItemState.FAILED, "0122: SOP class not supported"),
        (ItemState.QUEUED, "A700: Out of resources"),
    ]


def test_while_the_storage_of_the_archive_is_away_nothing_fails_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise Away("nobody listens there")

    keep(1, 2)
    with scripted(said(200, "")) as url:
        server(url)
        job = asked("stow", study_instance_uids=["1.2.3"])
        with monkeypatch.context() as patch:
            patch.setattr(type(store()), "open", away)
            ran(job)
        assert (job.state, job.failures) == (JobState.QUEUED, 0)
        assert "The storage of the archive does not answer" in job.error
        assert ran(job).state == JobState.SUCCEEDED


def test_what_was_to_be_sent_and_is_not_here_is_named() -> None:
    keep(1)
    with scripted(said(200, "")) as url:
        server(url)
        uids = ["1.2.3.1.1", "1.2.3.1.99"]
        job = ran(asked("stow", study_instance_uids=["1.2.3", "1.2.9"], sop_instance_uids=uids))
    assert (job.state, job.done, job.failures) == (JobState.FAILED, 1, 1)
    assert job.items.get(state=ItemState.FAILED).key == "1.2.3.1.99"
    assert "Nothing of the study 1.2.9 is here" in job.lines.values_list("text", flat=True)


def test_of_a_request_that_is_refused_as_a_whole_each_instance_is_tried_alone() -> None:
    keep(1, 2)

    def answer(request: http.server.BaseHTTPRequestHandler, body: bytes) -> None:
        good = b"1.2.3.1.2\0" not in body
        said(200 if good else 413, "" if good else "too large", "text/plain")(request, body)

    with scripted(answer) as url:
        server(url)
        job = ran(asked("stow", study_instance_uids=["1.2.3"]))
    assert (job.state, job.done, job.failures) == (JobState.FAILED, 1, 1)
    assert errors(job) == ["HTTP status 413: too large"]


def test_a_page_for_people_says_nothing_of_what_was_stored() -> None:
    """Such as the sign-in of a proxy before the server."""
    keep(1)
    with scripted(said(200, "<html>Please sign in\0</html>", "text/html")) as url:
        server(url)
        job = ran(asked("stow", study_instance_uids=["1.2.3"]))
    assert (job.state, job.done) == (JobState.QUEUED, 0)
    assert job.error == "other: It says nothing of what it stored, but text/html"


def test_what_a_server_says_is_kept_whatever_is_in_it() -> None:
    keep(1)
    with scripted(said(400, "what\0 is this?", "text/plain")) as url:
        server(url)
        job = ran(asked("stow", study_instance_uids=["1.2.3"]))
    assert job.state == JobState.FAILED
    assert errors(job) == ["HTTP status 400: what is this?"]


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_server_that_cannot_or_does_not_know_us_is_asked_again(status: int) -> None:
    keep(1)
    with scripted(said(status, "come back later", "text/plain")) as url:
        server(url)
        job = ran(asked("stow", study_instance_uids=["1.2.3"]))
    assert (job.state, job.error) == (JobState.QUEUED, f"other: HTTP status {status}: come back later")
    assert job.items.get().state == ItemState.QUEUED


def test_a_server_that_is_not_there_is_asked_again() -> None:
    keep(1)
    server(f"http://127.0.0.1:{free_port()}")
    job = ran(asked("stow", study_instance_uids=["1.2.3"]))
    assert job.state == JobState.QUEUED
    assert "Connection refused" in job.error


def test_a_cancelled_job_leaves_a_server_that_hangs() -> None:
    keep(1)
    waiting = threading.Event()

    def answer(request: http.server.BaseHTTPRequestHandler, _: bytes) -> None:
        cancel(job)
        waiting.wait(60)

    with scripted(answer) as url:
        server(url)
        job = asked("stow", study_instance_uids=["1.2.3"])
        ran(job)
        waiting.set()
    assert job.state == JobState.CANCELLED


def test_a_server_that_is_silent_is_given_up() -> None:
    keep(1)
    waiting = threading.Event()

    def answer(request: http.server.BaseHTTPRequestHandler, _: bytes) -> None:
        waiting.wait(60)

    with scripted(answer) as url:
        server(url, timeout=1)
        job = ran(asked("stow", study_instance_uids=["1.2.3"]))
        waiting.set()
    assert job.state == JobState.QUEUED
    assert "timed out" in job.error


def test_an_instance_that_is_not_what_the_archive_takes_has_failed_and_says_why() -> None:
    def answer(request: http.server.BaseHTTPRequestHandler, _: bytes) -> None:
        if request.path.startswith("/studies/1.2/instances"):
            listed = '[{"0020000E": {"vr": "UI", "Value": ["1.2.1"]}, "00080018": {"vr": "UI", "Value": ["1.2.1.1"]}}]'
            said(200, listed)(request, b"")
        else:
            said(200, "\r\n--b\r\n\r\nnot DICOM\r\n--b--", 'multipart/related; boundary="b"')(request, b"")

    with scripted(answer) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrivals, "QUIET", 0.2)
        server(url)
        job = ran(asked("wado", study_instance_uids=["1.2"]))
    assert (job.state, job.done) == (JobState.QUEUED, 0)
    assert errors(job) == ["The server did not send it"]


def test_a_study_that_the_server_does_not_have_fails_and_says_so() -> None:
    with scripted(said(404)) as url:
        server(url)
        job = ran(asked("wado", study_instance_uids=["1.2"]))
    assert job.state == JobState.FAILED
    assert errors(job) == ["The server has nothing of this UID"]


@pytest.mark.parametrize("job", ["stow", "wado"])
@pytest.mark.parametrize(
    "arguments",
    [{}, {"study_instance_uids": ["x"]}, {"study_instance_uids": ["1.2.3"], "server": "nobody"}, {"colour": "red"}],
)
def test_what_cannot_be_done_is_refused_when_it_is_asked_for(job: str, arguments: dict[str, Any]) -> None:
    server("http://127.0.0.1:1")
    with pytest.raises(InvalidRequest):
        asked(job, **arguments)
