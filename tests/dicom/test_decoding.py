"""Single frames, out of the file or out of the helper process: those that pydicom decodes, of every kind."""

import base64
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from dicom.elements import EXPLICIT_LITTLE
from dicom.errors import CannotReencode
from dicom.pixels import HelperPool
from dicom.windows import FileWindow
from tests.dicom.test_frames import encapsulated, frame, items
from tests.dicom.test_pixels import IMAGES, bundled, layout, rle_frame
from tests.peers import peer

Frame = np.ndarray[tuple[int, ...], np.dtype[Any]]
RLE = "1.2.840.10008.1.2.5"
HTJ2K = "1.2.840.10008.1.2.4.201"
LOSSY_JPEG = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"}
NATIVE = [
    "CT_small.dcm",
    "ExplVR_BigEnd.dcm",
    "MR_small.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "MR_small_padded.dcm",
    "SC_rgb_small_odd.dcm",
    "SC_rgb_small_odd_big_endian.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "examples_overlay.dcm",
    "examples_palette.dcm",
    "examples_rgb_color.dcm",
    "image_dfl.dcm",
    "liver_1frame.dcm",
    "liver_expb_1frame.dcm",
    "rtdose.dcm",
]
# Eight rows of sixteen: 250 times the column and 17 times the row, of 12 bits, without loss.
HTJ2K_STREAM = (
    "/0//UQApQAAAAAAQAAAACAAAAAAAAAAAAAAAEAAAAAgAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCI"
    "kJCQkJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAG0AAf+TwAAmw/YFB3QAAMAAEwDY8QOHdADA"
    "ABNAABMA6PgAwTQAmpoAQjQAwAATwAAVIGSQ8YKCdABKRVH+AOSnVQDAACqgABaA8vLy8uYKcYJ2ACAAAAAA/ugAAHv2AAHsugD/"
    "2Q=="
)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HelperPool]:
    made = HelperPool(slots=tmp_path_factory.mktemp("slots"))
    yield made
    made.close()


def decoded(pool: HelperPool, path: Path, indexes: Sequence[int], *, at: tuple[int, str] | None = None) -> bytes:
    """`at`: where the data set begins, and its transfer syntax."""
    offset, syntax = at or layout(path)
    with path.open("rb") as source, tempfile.TemporaryFile() as output:
        arguments = {
            "dataset_offset": offset,
            "size": path.stat().st_size - offset,
            "transfer_syntax_uid": syntax,
            "indexes": indexes,
        }
        pool.run("frames", source.fileno(), output.fileno(), arguments)
        return os.pread(output.fileno(), os.fstat(output.fileno()).st_size, 0)


def by_pydicom(ds: Dataset, **options: Any) -> list[Frame]:
    found = get_decoder(UID(ds.file_meta.TransferSyntaxUID)).iter_array(ds, **options)
    return [array.copy() for array, _ in found][: int(ds.get("NumberOfFrames") or 1)]


def numbers(ds: Dataset) -> int:
    return int(ds.get("NumberOfFrames") or 1)


@pytest.mark.parametrize("name", IMAGES)
def test_compressed_frames_are_those_that_pydicom_decodes(pool: HelperPool, name: str) -> None:
    """In the colours they are stored in, but for what JPEG made YBR: that is RGB again."""
    ds = dcmread(bundled(name))
    expected = by_pydicom(ds, as_rgb=ds.file_meta.TransferSyntaxUID in LOSSY_JPEG)
    last_first = list(range(numbers(ds)))[::-1]
    size = expected[0].size * int(ds.BitsAllocated) // 8
    found = decoded(pool, bundled(name), last_first)
    assert len(found) == size * len(last_first)
    for place, index in enumerate(last_first):
        own = np.frombuffer(found[place * size : (place + 1) * size], expected[index].dtype)
        assert np.array_equal(own.reshape(expected[index].shape), expected[index])
    assert decoded(pool, bundled(name), last_first[:1]) == found[:size]


@pytest.mark.parametrize("name", NATIVE)
def test_native_frames_are_those_that_pydicom_reads(name: str) -> None:
    """As they are stored, but for the order of bytes; looked at with the header they belong to."""
    ds = dcmread(bundled(name))
    expected = by_pydicom(ds, raw=True)
    offset, syntax = layout(bundled(name))
    assert len(expected) == numbers(ds)
    with bundled(name).open("rb") as file:
        window = FileWindow(file.fileno(), offset, bundled(name).stat().st_size - offset)
        for index, array in enumerate(expected):
            raw = frame(window, syntax, index)
            alone = dcmread(bundled(name))
            alone.file_meta.TransferSyntaxUID = EXPLICIT_LITTLE
            alone.NumberOfFrames, alone.PixelData = 1, raw + b"\0" * (len(raw) % 2)
            (own,) = by_pydicom(alone, raw=True)
            assert np.array_equal(own, array)


UNSIGNED = ["examples_rgb_color.dcm", "examples_overlay.dcm"]
LOSSLESS = ["MR_small.dcm", "CT_small.dcm", "examples_palette.dcm", *UNSIGNED]


@pytest.mark.parametrize(
    ("program", "options", "syntax", "names", "error"),
    [
        ("dcmcjpeg", ["+el"], "1.2.840.10008.1.2.4.57", LOSSLESS, 0),
        ("dcmcjpeg", ["+e1"], "1.2.840.10008.1.2.4.70", LOSSLESS, 0),
        ("dcmcjpls", ["+el"], "1.2.840.10008.1.2.4.80", LOSSLESS, 0),
        ("dcmcrle", [], RLE, LOSSLESS, 0),
        (
            "dcmcjpls",
            ["+en", "+md", "2"],
            "1.2.840.10008.1.2.4.81",
            ["examples_rgb_color.dcm", "examples_overlay.dcm"],
            2,
        ),
        ("dcmcjpeg", ["+ee", "+q", "100"], "1.2.840.10008.1.2.4.51", ["examples_overlay.dcm"], 3),
    ],
)
def test_what_dcmtk_compressed_is_what_it_was(
    pool: HelperPool, tmp_path: Path, program: str, options: list[str], syntax: str, names: list[str], error: int
) -> None:
    """Within `error` where something was lost; signed and unsigned, 16 and 8 bits, grey, colour and indices."""
    for name in names:
        theirs = tmp_path / name
        subprocess.run([peer(program), *options, bundled(name), theirs], check=True, capture_output=True)
        assert dcmread(theirs).file_meta.TransferSyntaxUID == syntax
        (original,) = by_pydicom(dcmread(bundled(name)), raw=True)
        own = np.frombuffer(decoded(pool, theirs, [0]), original.dtype).reshape(original.shape)
        assert np.abs(own.astype(int) - original.astype(int)).max() <= error


def test_high_throughput_jpeg_2000_is_decoded(pool: HelperPool, tmp_path: Path) -> None:
    stream = base64.b64decode(HTJ2K_STREAM)
    data = encapsulated(items(b"", stream, stream), rows=8, columns=16, bits=16, frames="2")
    (tmp_path / "image").write_bytes(data)
    y, x = np.mgrid[0:8, 0:16]
    expected = (x * 250 + y * 17).astype("<u2").tobytes()
    assert decoded(pool, tmp_path / "image", [1, 0], at=(0, HTJ2K)) == expected * 2


@pytest.mark.parametrize(
    ("indexes", "comment"), [([2], "no frame 3"), ([0, 1 << 40], "no frame"), ([-1], "no frame 0"), ([1], "codec")]
)
def test_the_helper_believes_no_number(pool: HelperPool, tmp_path: Path, indexes: list[int], comment: str) -> None:
    (tmp_path / "image").write_bytes(encapsulated(items(b"", rle_frame(6, 1), b"\xff" * 70), frames="2"))
    assert decoded(pool, tmp_path / "image", [0], at=(0, RLE)) == b"\1" * 6
    with pytest.raises(CannotReencode, match=comment):
        decoded(pool, tmp_path / "image", indexes, at=(0, RLE))
