"""Character sets against DCMTK, which turns what we write into UTF-8."""

import subprocess
from pathlib import Path

import pytest

from dicom.header import BytesWindow, scan
from dicom.part10 import meta_group, read_meta
from dicom.values import decode, encode
from tests.dicom.data_sets import EXPLICIT, Writer
from tests.dicom.test_values import STANDARD
from tests.peers import peer

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
PATIENT_NAME = 0x00100010
# DCMTK does not know Latin-9, nor Japanese when it is built upon the C library's iconv.
BEYOND_DCMTK = {"ISO_IR 203", "ISO 2022 IR 87", "ISO 2022 IR 159"}
KNOWN = [(sets, raw, text) for sets, raw, text in STANDARD if not BEYOND_DCMTK.intersection(sets)]


def padded(value: bytes) -> bytes:
    return value + b" " * (len(value) % 2)


@pytest.mark.parametrize("ours", [False, True], ids=["standard", "ours"])
@pytest.mark.parametrize(("sets", "raw", "text"), KNOWN, ids=["+".join(sets) for sets, *_ in KNOWN])
def test_dcmtk_reads_the_same_text(sets: list[str], raw: bytes, text: str, ours: bool, tmp_path: Path) -> None:
    name = encode(text, sets) if ours else raw
    assert name is not None
    write = Writer(EXPLICIT)
    data_set = write.element(0x00080005, "CS", padded("\\".join(sets).encode()))
    data_set += write.element(0x00080016, "UI", padded(SECONDARY_CAPTURE.encode()).replace(b" ", b"\0"))
    data_set += write.element(0x00080018, "UI", b"1.2.3\0") + write.element(PATIENT_NAME, "PN", padded(name))
    meta = meta_group(
        sop_class_uid=SECONDARY_CAPTURE, sop_instance_uid="1.2.3", transfer_syntax_uid=EXPLICIT, provenance=None
    )
    (tmp_path / "sent").write_bytes(meta + data_set)
    command = [peer("dcmconv"), "--convert-to-utf8", str(tmp_path / "sent"), str(tmp_path / "utf-8")]
    subprocess.run(command, check=True, timeout=30, capture_output=True)
    converted = (tmp_path / "utf-8").read_bytes()
    found = read_meta(converted)
    header = scan(BytesWindow(converted[found.dataset_offset :]), transfer_syntax_uid=found.transfer_syntax_uid)
    assert header.text(PATIENT_NAME) == text


@pytest.mark.parametrize("codec", ["iso2022_jp", "iso2022_jp_2"])
def test_python_reads_our_japanese(codec: str) -> None:
    sets = ["", "ISO 2022 IR 87", "ISO 2022 IR 159"]
    text = "山田太郎やまだ" + ("丂" if codec == "iso2022_jp_2" else "")
    encoded = encode(text, sets)
    assert encoded is not None
    assert encoded.decode(codec) == text == decode(text.encode(codec), sets)
