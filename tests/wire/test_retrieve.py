"""WIRE 6 and 24: what a receiver takes decides how it is written; pixels are decoded when nothing else is left."""

from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pynetdicom import AE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove

from dicom.part10 import read_meta
from tests.dicom.data_sets import Writer
from tests.storage.made import EXPLICIT, IMPLICIT
from tests.wire.calls import MANY_CLASSES, Answer, Archive, image, results, send

pytestmark = pytest.mark.live

BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
J2K_LOSSLESS = "1.2.840.10008.1.2.4.90"
MR = "1.2.840.10008.5.1.4.1.1.4"
PLAIN = [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED]


def read(data_set: bytes, syntax: str) -> Dataset:
    """As pydicom reads it from a file."""
    meta = Writer().element(0x00020010, "UI", syntax.encode() + b"\0" * (len(syntax) % 2))
    length = Writer().element(0x00020000, "UL", len(meta).to_bytes(4, "little"))
    return dcmread(BytesIO(bytes(128) + b"DICM" + length + meta + data_set))


@pytest.mark.parametrize("stored", PLAIN)
@pytest.mark.parametrize("wanted", PLAIN)
def test_a_receiver_of_another_plain_syntax_gets_the_same_values(archive: Archive, stored: str, wanted: str) -> None:
    study = f"5.24.{PLAIN.index(stored)}.{PLAIN.index(wanted)}"
    pixels = bytes(range(200)) * 10
    values = {"study_description": "Knee", "rows": 10, "columns": 100, "pixels": pixels}
    whole = image(study, transfer_syntax_uid=stored, **values)
    assert archive.store(whole, f"{study}.1.1", syntax=stored) == Answer(0)
    ((syntax, got),) = archive.get("STUDY", StudyInstanceUID=study, syntaxes=[wanted]).values()
    assert syntax == wanted
    if stored == wanted:
        assert got == whole
    ds, was = read(got, wanted), read(whole, stored)
    assert ds.keys() == was.keys()
    assert [ds[tag].value for tag in ds.keys() - {0x7FE00010}] == [was[tag].value for tag in ds.keys() - {0x7FE00010}]
    little = ds.PixelData if wanted != BIG_ENDIAN else swapped(ds.PixelData)
    assert little == pixels


def swapped(words: bytes) -> bytes:
    return bytes(words[at ^ 1] for at in range(len(words)))


def test_a_value_that_its_short_vr_cannot_hold_becomes_unknown_and_keeps_its_bytes(archive: Archive) -> None:
    long = b"d" * 70_000
    whole = image("5.24.9", transfer_syntax_uid=IMPLICIT, study_description=long)
    assert archive.store(whole, "5.24.9.1.1", syntax=IMPLICIT) == Answer(0)
    ((_, got),) = archive.get("STUDY", StudyInstanceUID="5.24.9", syntaxes=[EXPLICIT]).values()
    assert Writer(EXPLICIT).element(0x00081030, "UN", long) in got


def test_private_elements_of_an_implicit_data_set_become_unknown_and_keep_their_bytes(archive: Archive) -> None:
    flat = Writer(IMPLICIT)
    private = flat.element(0x00290010, "LO", b"WIRE TEST ") + flat.element(0x00291001, "OB", b"\1\2\3\4")
    whole = image("5.24.10", transfer_syntax_uid=IMPLICIT, pixels=None, rows=None, columns=None, bits=None) + private
    assert archive.store(whole, "5.24.10.1.1", syntax=IMPLICIT) == Answer(0)
    ((_, got),) = archive.get("STUDY", StudyInstanceUID="5.24.10", syntaxes=[EXPLICIT]).values()
    assert Writer(EXPLICIT).element(0x00291001, "UN", b"\1\2\3\4") in got


def test_compressed_pixels_are_decoded_for_who_takes_nothing_else_only(archive: Archive) -> None:
    with open(str(get_testdata_file("MR_small_jp2klossless.dcm")), "rb") as file:
        raw = file.read()
    whole = raw[read_meta(raw).dataset_offset :]
    ds = dcmread(BytesIO(raw))
    sop, study = str(ds.SOPInstanceUID), str(ds.StudyInstanceUID)
    assert archive.store(whole, sop, sop_class=MR, syntax=J2K_LOSSLESS) == Answer(0)
    both = archive.get("STUDY", sop_class=MR, syntaxes=[IMPLICIT, EXPLICIT, J2K_LOSSLESS], StudyInstanceUID=study)
    assert both == {sop: (J2K_LOSSLESS, whole)}
    ((syntax, got),) = archive.get("STUDY", sop_class=MR, syntaxes=[EXPLICIT], StudyInstanceUID=study).values()
    assert syntax == EXPLICIT
    assert read(got, syntax).PixelData == dcmread(str(get_testdata_file("MR_small.dcm"))).PixelData


def test_more_kinds_of_instances_than_contexts_all_arrive(archive: Archive) -> None:
    """Two contexts for each of 70 classes: the class as stored, and Implicit VR Little Endian."""
    sent = {f"5.6.1.1.{number}": uid for number, uid in enumerate(MANY_CLASSES)}
    with archive.line() as line:
        accepted = line.associate(*((uid, [EXPLICIT]) for uid in MANY_CLASSES))
        assert results(accepted) == [0] * len(MANY_CLASSES)
        for number, (sop, uid) in enumerate(sent.items()):
            whole = image("5.6", sop=sop, sop_class=uid)
            assert send(line, whole, sop, sop_class=uid, context=2 * number + 1) == Answer(0)
        line.release()
    ae = AE("WIRE")
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelMove)
    assoc = ae.associate(*archive.address, ae_title="PACS")
    keys = Dataset()
    keys.QueryRetrieveLevel, keys.StudyInstanceUID = "STUDY", "5.6"
    *_, (final, _) = assoc.send_c_move(keys, "VERSATILE", StudyRootQueryRetrieveInformationModelMove)
    assoc.release()
    assert (final.Status, final.NumberOfCompletedSuboperations) == (0, 70)
    assert {one.sop_instance_uid for one in archive.versatile.arrived} == sent.keys()
