"""Jobs that retrieve from an archive made of pynetdicom: all that comes is stored as it was sent, to the last bit."""

import shutil
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from apps.jobs.models import JobState
from apps.storage.models import Instance
from apps.storage.sources import ForeignFile
from dicom.part10 import meta_group
from dicom.sop_classes import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN as DEFLATED
from tests.qr.folder_scp import FolderScp
from tests.qr.indexing import stored
from tests.qr.serving import Serving
from tests.qr.test_retrieving import asked, errors, here, known, ran
from tests.storage.made import CT, EXPLICIT, IMPLICIT, data_set

__all__ = ["here"]  # the fixture

FILES = (
    "CT_small.dcm",  # explicit VR, private elements
    "rtdose.dcm",  # implicit VR, 15 frames
    "liver_expb_1frame.dcm",  # big endian
    "image_dfl.dcm",  # deflated
    "SC_rgb_small_odd.dcm",  # 27 bytes of pixels
    "SC_rgb_rle_2frame.dcm",
    "MR_small_jp2klossless.dcm",
    "JPEG2000.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "reportsi.dcm",
    "examples_overlay.dcm",
    "waveform_ecg.dcm",
)
STUDY = "1.2.3"
ODD = b"\x09\x00\x10\x00LO\x05\x00ACME1" + b"\x09\x00\x01\x10UN\x00\x00\x07\x00\x00\x00\x00\x01\x02\xff\xfe\x03\x04"


def archive(folder: Path) -> dict[str, bytes]:
    """Files of others and of our own making; their data sets by UID."""
    folder.mkdir()
    data = {}
    for name in FILES:
        source = ForeignFile.read(Path(str(get_testdata_file(name, download=False))))
        path = folder / name
        shutil.copy(str(get_testdata_file(name, download=False)), path)
        data[source.sop_instance_uid] = path.read_bytes()[source.dataset_offset :]
    for number, syntax in enumerate((EXPLICIT, IMPLICIT), start=1):
        uid = f"{STUDY}.1.{number}"
        whole = data_set(
            transfer_syntax_uid=syntax, study=STUDY, sop=uid, accession="ODD", name="Odd^One", pixels=bytes(15)
        )
        if syntax == EXPLICIT:
            at = whole.index(b"\x10\x00\x10\x00PN")
            whole = whole[:at] + ODD + whole[at:]
        meta = meta_group(sop_class_uid=CT, sop_instance_uid=uid, transfer_syntax_uid=syntax, provenance=None)
        (folder / f"{uid}.dcm").write_bytes(meta + whole)
        data[uid] = whole
    return data


@pytest.mark.parametrize("by", ["get", "move"])
def test_what_pynetdicom_holds_we_hold_bit_for_bit(by: str, here: Serving, tmp_path: Path) -> None:
    data = archive(tmp_path / "folder")
    with FolderScp(tmp_path / "folder", {"PACS": here.port}) as scp:
        known(scp.remote)
        job = ran(asked(by=by, study_instance_uids=studies(tmp_path / "folder")))
    assert (job.state, job.done, errors(job)) == (JobState.SUCCEEDED, len(data), [])
    ours = stored()
    assert ours.keys() == data.keys()
    assert [uid for uid in ours if ours[uid] != scp.sent[uid]] == []
    anew = {row.sop_instance_uid for row in Instance.objects.filter(transfer_syntax_uid=DEFLATED)}  # as it deflates
    assert len(anew) == 1
    assert [uid for uid in ours.keys() - anew if ours[uid] != data[uid]] == []


def studies(folder: Path) -> list[str]:
    return sorted({str(dcmread(path, stop_before_pixels=True).StudyInstanceUID) for path in folder.iterdir()})
