"""Our client against DCMTK's archive: finds, moves and gets what is there."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from apps.qr import scu
from apps.qr.attributes import FIND, GET, MOVE, InformationModel
from apps.qr.scu import IntoArchive, IntoFolder
from apps.storage.models import Instance
from dicom.dimse import Association, Failed, NotAccepted, associate
from dicom.part10 import Provenance, meta_group
from tests.node import free_port, listens, wait_for
from tests.peers import peer
from tests.qr.receiver import Receiver
from tests.storage.made import CT, EXPLICIT, IMPLICIT, data_set, index

STUDY_ROOT = InformationModel.STUDY_ROOT
KINDS = {CT: (EXPLICIT, IMPLICIT)}
UIDS = ["1.2.3.1.1", "1.2.3.1.2", "1.2.3.1.3"]
CONFIGURATION = """
NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
dest = (DEST, localhost, {destination})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
QRSCP {folder} RW (100, 1024mb) ANY
AETable END
"""


@pytest.fixture
def destination() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def port(tmp_path: Path, destination: Receiver) -> Iterator[int]:
    """dcmqrscp with three images of one study."""
    folder = tmp_path / "qrscp"
    folder.mkdir()
    port = free_port()
    configuration = tmp_path / "qrscp.cfg"
    configuration.write_text(CONFIGURATION.format(port=port, destination=destination.port, folder=folder))
    process = subprocess.Popen([peer("dcmqrscp"), "-c", str(configuration)], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: listens(port), what="dcmqrscp listens")
        subprocess.run([peer("storescu"), "-aec", "QRSCP", "127.0.0.1", str(port), *_files(tmp_path)], check=True)
        yield port
    finally:
        process.terminate()
        process.wait()


def _files(folder: Path) -> list[str]:
    paths = []
    for uid in UIDS:
        path = folder / f"{uid}.dcm"
        meta = meta_group(sop_class_uid=CT, sop_instance_uid=uid, transfer_syntax_uid=EXPLICIT, provenance=None)
        path.write_bytes(meta + data_set(sop=uid, number=uid[-1], name="Doe^John"))
        paths.append(str(path))
    return paths


def connect(port: int, sop_class_uid: str) -> Association:
    return associate(
        "127.0.0.1",
        port,
        calling_ae_title="PACS",
        called_ae_title="QRSCP",
        contexts=scu.contexts(sop_class_uid, KINDS),
        roles=scu.roles(KINDS),
    )


def test_find_yields_what_the_archive_has(port: int) -> None:
    keys = {"PatientName": "Doe*", "StudyInstanceUID": "", "PatientID": ""}
    with connect(port, FIND[STUDY_ROOT]) as assoc:
        answers = list(scu.find(assoc, STUDY_ROOT, scu.request("STUDY", keys)))
    assert [(answer.text(0x0020000D), answer.text(0x00100020)) for answer in answers] == [("1.2.3", "P1")]


def test_find_stops_at_its_limit_and_the_association_lives_on(port: int) -> None:
    keys = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.1", "SOPInstanceUID": ""}
    with connect(port, FIND[STUDY_ROOT]) as assoc:
        assert len(list(scu.find(assoc, STUDY_ROOT, scu.request("IMAGE", keys), limit=2))) == 2
        assert len(list(scu.find(assoc, STUDY_ROOT, scu.request("IMAGE", keys)))) == 3


def test_a_query_that_fails_says_so(port: int) -> None:
    with connect(port, FIND[STUDY_ROOT]) as assoc, pytest.raises(Failed):
        list(scu.find(assoc, STUDY_ROOT, scu.request("NONSENSE", {"StudyInstanceUID": ""})))


def test_a_service_that_is_not_offered_is_no_empty_answer(port: int) -> None:
    with connect(port, FIND[STUDY_ROOT]) as assoc, pytest.raises(NotAccepted):
        list(scu.move(assoc, STUDY_ROOT, scu.request("STUDY", {"StudyInstanceUID": "1.2.3"}), destination="DEST"))


def test_move_reports_how_it_goes(port: int, destination: Receiver) -> None:
    with connect(port, MOVE[STUDY_ROOT]) as assoc:
        keys = scu.request("STUDY", {"StudyInstanceUID": "1.2.3"})
        *pending, final = scu.move(assoc, STUDY_ROOT, keys, destination="DEST")
    assert sorted(one.sop_instance_uid for one in destination.arrived) == UIDS
    assert final.is_final and (final.status, final.completed, final.failed) == (0, 3, 0)
    assert [progress.remaining for progress in pending][-1] == 0


def test_get_writes_files_that_others_read(port: int, tmp_path: Path) -> None:
    folder = IntoFolder(tmp_path / "got")
    folder.folder.mkdir()
    with connect(port, GET[STUDY_ROOT]) as assoc:
        keys = scu.request("STUDY", {"StudyInstanceUID": "1.2.3"})
        *_, final = scu.get(assoc, STUDY_ROOT, keys, folder)
    assert (final.status, final.completed) == (0, 3)
    assert sorted(folder.kept) == UIDS
    assert sorted(str(dcmread(path).SOPInstanceUID) for path in folder.folder.iterdir()) == UIDS


def test_get_takes_instances_into_our_archive(port: int, folders: None) -> None:
    archive = IntoArchive(Provenance(received_ns=0, calling_ae_title="QRSCP", peer="qrscp"))
    with connect(port, GET[STUDY_ROOT]) as assoc:
        list(scu.get(assoc, STUDY_ROOT, scu.request("STUDY", {"StudyInstanceUID": "1.2.3"}), archive))
    index()
    assert sorted(Instance.objects.values_list("sop_instance_uid", flat=True)) == UIDS
    assert set(Instance.objects.values_list("calling_ae_title", flat=True)) == {"QRSCP"}


def test_names_beyond_ascii_are_asked_for_in_unicode() -> None:
    elements = {element[0]: element for element in scu.request("STUDY", {"PatientName": "Müller*"})}
    assert elements[0x00080005][2] == b"ISO_IR 192"
    assert elements[0x00100010][2] == "Müller*".encode()
