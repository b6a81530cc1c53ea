"""The kind of job "send" to storage providers of others: what they hold is what we hold, bit for bit."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage, MRImageStorage

from apps.jobs.models import Job, JobState
from apps.storage.models import Instance
from apps.storage.sources import ForeignFile
from tests.qr.files import SR, assert_same, keep, received
from tests.qr.jobs import asked, destination, errors, run
from tests.remotes import files_of_orthanc, orthanc
from tests.storage.made import index, receive
from tests.storage.storescp import StoreScp

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("folders")]

JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"


@pytest.fixture
def mixed() -> dict[str, bytes]:
    """CT, a report, and a compressed MR, of one study."""
    kept = keep(1, 2, 3, 4, series_number="1") | keep(1, series="1.2.3.2", sop_class=SR, modality="SR")
    path = Path(str(get_testdata_file("MR_small_jp2klossless.dcm")))
    source = ForeignFile.read(path)
    whole = path.read_bytes()[source.dataset_offset :]
    uid = source.sop_instance_uid
    receive(whole, transfer_syntax_uid=JPEG_2000_LOSSLESS, sop=uid, sop_class=source.sop_class_uid)
    index()
    return kept | {uid: whole}


def all_of_it() -> Job:
    studies = Instance.objects.values_list("series__study__study_instance_uid", flat=True).distinct()
    return asked(study_instance_uids=list(studies))


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[StoreScp]:
    receiver = StoreScp(folder, *options)
    try:
        yield receiver
    finally:
        receiver.stop()


@pytest.mark.parametrize("associations", [1, 3])
def test_storescp_holds_what_we_hold(tmp_path: Path, mixed: dict[str, bytes], associations: int) -> None:
    with storescp(tmp_path / "received", "--accept-all") as receiver:
        destination(receiver.port, associations_per_job=associations)
        job = run(all_of_it())
        assert (job.state, job.done) == (JobState.SUCCEEDED, 6), errors(job)
        assert_same(mixed, received(receiver.folder))


def test_only_what_storescp_refuses_is_written_anew(tmp_path: Path, mixed: dict[str, bytes]) -> None:
    """It takes no compression here: the MR is decoded, everything else stays as it is."""
    with storescp(tmp_path / "received", "--prefer-little") as receiver:
        destination(receiver.port)
        job = run(all_of_it())
        assert (job.state, job.done) == (JobState.SUCCEEDED, 6), errors(job)
        got = received(receiver.folder)
    compressed = next(uid for uid in mixed if not uid.startswith("1.2.3."))
    decoded = dcmread(next(path for path in receiver.files() if compressed in path.name))
    assert decoded.PixelData == dcmread(str(get_testdata_file("MR_small.dcm"))).PixelData
    assert_same(
        {uid: data for uid, data in mixed.items() if uid != compressed},
        {uid: data for uid, data in got.items() if uid != compressed},
    )


def test_orthanc_holds_what_we_hold(tmp_path: Path, mixed: dict[str, bytes]) -> None:
    with orthanc(tmp_path) as remote:
        destination(remote.port, ae_title=remote.ae_title)
        job = run(all_of_it())
        assert (job.state, job.done) == (JobState.SUCCEEDED, 6), errors(job)
        got = files_of_orthanc(remote)
    compressed = got.pop(next(uid for uid in mixed if not uid.startswith("1.2.3.")))
    # Its pixel data have the wrong VR, which Orthanc puts right; all values are the same.
    ours = dcmread(str(get_testdata_file("MR_small_jp2klossless.dcm")))
    theirs = dcmread(BytesIO(compressed))
    assert theirs.file_meta.TransferSyntaxUID == JPEG_2000_LOSSLESS
    assert [(element.tag, element.value) for element in theirs] == [(element.tag, element.value) for element in ours]
    assert_same({uid: data for uid, data in mixed.items() if uid in got}, got)


def test_a_provider_of_pynetdicom_that_refuses_a_class_gets_the_others(mixed: dict[str, bytes]) -> None:
    got: dict[str, bytes] = {}

    def store(event: evt.Event) -> int:
        got[event.request.AffectedSOPInstanceUID] = event.request.DataSet.getvalue()
        return 0xB000 if event.request.AffectedSOPInstanceUID == "1.2.3.1.2" else 0x0000

    ae = AE("PYNETDICOM")
    ae.add_supported_context(CTImageStorage, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    ae.add_supported_context(MRImageStorage, [ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG_2000_LOSSLESS])
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        destination(server.socket.getsockname()[1], ae_title="PYNETDICOM")
        job = run(all_of_it())
    finally:
        server.shutdown()
    assert (job.state, job.done, job.failures) == (JobState.FAILED, 5, 1)
    assert errors(job) == {
        "1.2.3.1.2": "B000: Data elements were coerced",
        "1.2.3.2.1": "0122: SOP class not supported: The receiver does not accept this SOP class",
    }
    mixed.pop("1.2.3.2.1")
    assert got == mixed


def test_storescp_that_refuses_associations_gets_everything_when_it_does_not_any_more(tmp_path: Path) -> None:
    kept = keep(*range(1, 6))
    with storescp(tmp_path / "refusing", "--refuse") as refusing:
        destination(refusing.port)
        job = run(asked())
        assert (job.state, job.done) == (JobState.QUEUED, 0)
        assert "rejected the association" in job.error
    with storescp(tmp_path / "received", "--accept-all") as receiver:
        destination(receiver.port)
        run(job)
        assert (job.state, job.done) == (JobState.SUCCEEDED, 5)
        assert_same(kept, received(receiver.folder))


def test_storescp_that_aborts_instead_of_answering_is_tried_with_each_instance(tmp_path: Path) -> None:
    kept = keep(*range(1, 6))
    with storescp(tmp_path / "aborting", "--accept-all", "--abort-after") as aborting:
        destination(aborting.port)
        job = asked()
        for _ in range(4):
            run(job)
        assert (job.state, job.done) == (JobState.QUEUED, 0)
        assert job.error == "5 of 5 still to be sent: The peer aborted the association"
        assert set(errors(job)) == set(kept)
    with storescp(tmp_path / "received", "--accept-all") as receiver:
        destination(receiver.port)
        run(job)
        assert (job.state, job.done, errors(job)) == (JobState.SUCCEEDED, 5, {})
        assert_same(kept, received(receiver.folder))
