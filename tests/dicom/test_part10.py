"""The file meta group as we write it and as others do (PS3.10)."""

import os
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from struct import pack

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom.dimse.identity import IMPLEMENTATION_CLASS_UID
from dicom.errors import InvalidDataSet
from dicom.header import BytesWindow, scan
from dicom.part10 import PRIVATE_CREATOR, Meta, Provenance, digest_slot, meta_group, read_meta, write_file
from dicom.values import is_uid
from tests.dicom.data_sets import BIG_ENDIAN, EXPLICIT, IMPLICIT, Writer, data_sets, file, files

CT = "1.2.840.10008.5.1.4.1.1.2"
DIGEST = "0123456789abcdef" * 4
PROVENANCE = Provenance(
    received_ns=1_700_000_000_123_456_789,
    calling_ae_title="CT1",
    called_ae_title="PACS",
    receiving_ae_title="PACS2",
    address="2001:db8::1",
    association_id="00ff00ff00ff00ff",
    peer="CT im Keller, früher Raum 3",
    policy='keep "first"',
    issuer="Krankenhaus Süd",
    character_set="\\ISO 2022 IR 87",
)
EXPLICIT_WRITER = Writer(EXPLICIT)


def ours(provenance: Provenance | None = PROVENANCE, uid: str = "1.2.3") -> bytes:
    return meta_group(sop_class_uid=CT, sop_instance_uid=uid, transfer_syntax_uid=EXPLICIT, provenance=provenance)


def sealed(meta: bytes, digest: str = DIGEST) -> bytes:
    at = digest_slot(meta)
    return meta[:at] + digest.encode() + meta[at + 64 :]


@pytest.mark.parametrize("provenance", [PROVENANCE, Provenance(received_ns=1), None])
@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34"])
def test_other_programs_read_our_files(provenance: Provenance | None, uid: str) -> None:
    data_set = EXPLICIT_WRITER.element(0x00080018, "UI", b"1.2.3\0")
    ds = pydicom.dcmread(BytesIO(ours(provenance, uid) + data_set))
    assert ds.file_meta.MediaStorageSOPClassUID == CT
    assert ds.file_meta.MediaStorageSOPInstanceUID == uid
    assert ds.file_meta.TransferSyntaxUID == EXPLICIT
    assert ds.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert ds.file_meta.FileMetaInformationVersion == b"\0\1"
    assert ds.SOPInstanceUID == "1.2.3"
    if provenance is not None:
        assert ds.file_meta.PrivateInformationCreatorUID == PRIVATE_CREATOR
        assert (ds.file_meta.SendingApplicationEntityTitle or "") == provenance.calling_ae_title
        assert len(ds.file_meta.PrivateInformation) % 2 == 0


def test_the_group_length_is_right() -> None:
    meta = ours()
    assert int.from_bytes(meta[140:144], "little") == len(meta) - 144


@pytest.mark.parametrize("provenance", [PROVENANCE, Provenance(received_ns=1)])
def test_where_an_instance_came_from_survives_in_its_file(provenance: Provenance, tmp_path: Path) -> None:
    raw = sealed(ours(provenance)) + EXPLICIT_WRITER.element(0x00080018, "UI", b"1.2.3\0")
    expected = Meta(CT, "1.2.3", EXPLICIT, len(ours(provenance)), provenance, DIGEST)
    assert read_meta(raw) == expected
    path = tmp_path / "file"
    path.write_bytes(raw)
    with path.open("rb") as opened:
        assert read_meta(opened.fileno()) == expected


@pytest.mark.parametrize("head", [pack("<HH2sH", 2, 0x10, b"UI", 18), pack("<HHI", 2, 0x10, 18)])
def test_a_data_set_that_begins_with_group_0002_stays_whole(head: bytes) -> None:
    data_set = head + b"1.2.840.10008.1.2\0" + EXPLICIT_WRITER.element(0x00080018, "UI", b"1.2.3\0")
    assert read_meta(sealed(ours()) + data_set) == Meta(CT, "1.2.3", EXPLICIT, len(ours()), PROVENANCE, DIGEST)


def test_the_digest_slot_is_written_in_place_and_is_empty_until_then(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(ours())
    with path.open("r+b") as opened:
        assert read_meta(opened.fileno()).digest == ""
        os.pwrite(opened.fileno(), DIGEST.encode(), digest_slot(ours()))
        assert read_meta(opened.fileno()).digest == DIGEST
        assert read_meta(opened.fileno()).provenance == PROVENANCE


@pytest.mark.parametrize("digest", [" " * 64, "x" * 64, "A" * 64, "0" * 63 + " "])
def test_what_is_no_digest_is_none(digest: str) -> None:
    assert read_meta(sealed(ours(), digest)).digest == ""


@given(st.text(max_size=300), st.text(max_size=20))
def test_any_text_in_the_provenance_survives(policy: str, ae_title: str) -> None:
    provenance = Provenance(received_ns=5, policy=policy, calling_ae_title=ae_title, called_ae_title=ae_title)
    meta = read_meta(sealed(ours(provenance)))
    assert (meta.provenance, meta.digest) == (provenance, DIGEST)


def test_private_information_of_others_is_not_ours() -> None:
    raw = ours().replace(PRIVATE_CREATOR.encode() + b"\0", b"1.2.826.0.1.3680043.99.1461\0")
    meta = read_meta(raw)
    assert (meta.provenance, meta.digest) == (None, "")


@pytest.mark.parametrize("tampered", [b"[", b'{"received_ns":"1"}', b"[1]", b"{}", b"\xff", b"1e999", b"[" * 60_000])
def test_private_information_that_was_tampered_with_counts_as_not_there(tampered: bytes) -> None:
    meta = bytes(128) + b"DICM" + EXPLICIT_WRITER.element(0x00020010, "UI", EXPLICIT.encode())
    meta += EXPLICIT_WRITER.element(0x00020100, "UI", PRIVATE_CREATOR.encode() + b"\0")
    meta += EXPLICIT_WRITER.element(0x00020102, "OB", tampered)
    assert read_meta(meta).provenance is None


# Files of others


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_every_file_of_pydicom_is_understood_as_pydicom_does_or_refused(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(path, force=True)
    try:
        meta = read_meta(path.read_bytes(), lenient=True)
    except InvalidDataSet:
        assert not ds.file_meta
        return
    assert meta.sop_class_uid == ds.file_meta.get("MediaStorageSOPClassUID", "")
    assert meta.sop_instance_uid == ds.file_meta.get("MediaStorageSOPInstanceUID", "")
    assert meta.provenance is None
    assert meta.is_dicomdir == ("DirectoryRecordSequence" in ds)
    implicit, little_endian = ds.original_encoding
    encoding = {(True, True): IMPLICIT, (False, True): EXPLICIT, (False, False): BIG_ENDIAN}[implicit, little_endian]
    assert meta.transfer_syntax_uid == ds.file_meta.get("TransferSyntaxUID", encoding)


DATA_SETS = {
    syntax: Writer(syntax).element(0x00080016, "UI", CT.encode() + b"\0")
    + Writer(syntax).element(0x00080018, "UI", b"1.2.3\0")
    for syntax in (IMPLICIT, EXPLICIT, BIG_ENDIAN)
}


def check(raw: bytes, syntax: str, *, sop_class_uid: str = CT) -> None:
    meta = read_meta(raw, lenient=True)
    assert (meta.sop_class_uid, meta.transfer_syntax_uid) == (sop_class_uid, syntax)
    assert raw[meta.dataset_offset :] == DATA_SETS[syntax]
    found = scan(BytesWindow(raw[meta.dataset_offset :]), transfer_syntax_uid=syntax)
    assert found.uid(0x00080018) == "1.2.3"


@pytest.mark.parametrize("syntax", DATA_SETS)
def test_a_file_without_meta_group_is_guessed_by_its_first_element(syntax: str) -> None:
    check(DATA_SETS[syntax], syntax, sop_class_uid="")
    check(bytes(128) + b"DICM" + DATA_SETS[syntax], syntax, sop_class_uid="")


def meta_elements(write: Writer, syntax: str, length: int | None) -> bytes:
    raw = write.element(0x00020002, "UI", CT.encode() + b"\0") + write.element(0x00020010, "UI", syntax.encode())
    if length is None:
        return raw
    return write.element(0x00020000, "UL", pack(f"{write.order}I", length)) + raw


@pytest.mark.parametrize("syntax", DATA_SETS)
@pytest.mark.parametrize("length", [None, 0, 10, 1_000_000])
@pytest.mark.parametrize("start", [b"", b"DICM", bytes(128) + b"DICM", b"\xff" * 128 + b"DICM"])
def test_a_missing_or_wrong_group_length_or_preamble_does_not_matter(
    syntax: str, length: int | None, start: bytes
) -> None:
    check(start + meta_elements(EXPLICIT_WRITER, syntax, length) + DATA_SETS[syntax], syntax)


@pytest.mark.parametrize("syntax", [IMPLICIT, BIG_ENDIAN])
def test_a_meta_group_in_another_encoding_is_read(syntax: str) -> None:
    for data_set in DATA_SETS:
        check(bytes(128) + b"DICM" + meta_elements(Writer(syntax), data_set, 80) + DATA_SETS[data_set], data_set)


def test_a_missing_transfer_syntax_is_guessed() -> None:
    for syntax, data_set in DATA_SETS.items():
        check(bytes(128) + b"DICM" + EXPLICIT_WRITER.element(0x00020002, "UI", CT.encode() + b"\0") + data_set, syntax)


def test_our_own_files_are_not_guessed_at() -> None:
    for raw in (
        DATA_SETS[EXPLICIT],
        b"DICM" + meta_elements(EXPLICIT_WRITER, EXPLICIT, None),
        bytes(128) + b"DICM" + EXPLICIT_WRITER.element(0x00020002, "UI", CT.encode() + b"\0"),
        bytes(128) + b"DICM",
        b"",
    ):
        with pytest.raises(InvalidDataSet):
            read_meta(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 200,
        b"hello world, this is no image",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"%PDF-1.7\n" * 30,
        b"\xff" * 9,
    ],
    ids=["empty", "zeros", "text", "png", "pdf", "ones"],
)
def test_what_is_no_dicom_file_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidDataSet):
        read_meta(raw, lenient=True)


def test_a_meta_group_that_never_ends_is_refused() -> None:
    huge = EXPLICIT_WRITER.element(0x00020102, "OB", bytes(200_000))
    for group in (huge * 2, EXPLICIT_WRITER.head(0x00020102, "OB", 0xFFFFFFFF) + bytes(100), huge[:1000]):
        with pytest.raises(InvalidDataSet):
            read_meta(bytes(128) + b"DICM" + group, lenient=True)


def test_a_dicomdir_is_recognised() -> None:
    assert read_meta(file("DICOMDIR").read_bytes()).is_dicomdir
    assert not read_meta(file("CT_small.dcm").read_bytes()).is_dicomdir


def test_the_data_set_begins_where_the_group_length_says_when_it_is_right() -> None:
    for path, data_set, syntax in data_sets():
        raw = path.read_bytes()
        meta = read_meta(raw)
        assert (raw[meta.dataset_offset :], meta.transfer_syntax_uid) == (data_set, syntax)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_damaged_meta_group_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from([sealed(ours()), *RAW])))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(damaged)))
        damaged[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    for lenient in (True, False):
        try:
            meta = read_meta(bytes(damaged), lenient=lenient)
        except InvalidDataSet as error:
            assert len(str(error)) <= 64
        else:
            assert 0 <= meta.dataset_offset <= len(damaged)
            assert is_uid(meta.transfer_syntax_uid)


RAW = [path.read_bytes()[:1000] for path in files()[::9]]


def test_a_file_whose_data_set_does_not_come_to_its_end_is_none(tmp_path: Path) -> None:
    def broken() -> Iterator[list[bytes]]:
        yield [b"\x08\0\x05\0"]
        raise ConnectionError

    path = tmp_path / "one.dcm"
    with pytest.raises(ConnectionError):
        write_file(path, broken(), sop_class_uid="1.2", sop_instance_uid="1.3", transfer_syntax_uid="1.2.840.10008.1.2")
    assert not list(tmp_path.iterdir())
