import io
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filereader import dcmread
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from dicom import pixels
from dicom.elements import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicom.encoding import ElementIn, encode_elements
from dicom.errors import CannotReencode
from dicom.pixels import DECOMPRESSIBLE, HelperPool, can_decompress
from tests.peers import peer

RLE = "1.2.840.10008.1.2.5"
JPEG = "1.2.840.10008.1.2.4.50"
ROOT = Path(pixels.__file__).parents[1]

IMAGES = [
    "GDCMJ2K_TextGBR.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "JPEG2000.dcm",
    "JPEGLSNearLossless_08.dcm",
    "JPEGLSNearLossless_16.dcm",
    "JPGExtended.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_jpeg_no_color_transform.dcm",
    "SC_jpeg_no_color_transform_2.dcm",
    "SC_rgb_dcmtk_+eb+cr.dcm",
    "SC_rgb_dcmtk_+eb+cy+n1.dcm",
    "SC_rgb_dcmtk_+eb+cy+n2.dcm",
    "SC_rgb_dcmtk_+eb+cy+np.dcm",
    "SC_rgb_dcmtk_+eb+cy+s2.dcm",
    "SC_rgb_dcmtk_+eb+cy+s4.dcm",
    "SC_rgb_gdcm_KY.dcm",
    "SC_rgb_jls_lossy_line.dcm",
    "SC_rgb_jls_lossy_sample.dcm",
    "SC_rgb_jpeg.dcm",
    "SC_rgb_jpeg_app14_dcmd.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_jpeg_lossy_gdcm.dcm",
    "SC_rgb_rle.dcm",
    "SC_rgb_rle_16bit.dcm",
    "SC_rgb_rle_16bit_2frame.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_rle_32bit.dcm",
    "SC_rgb_rle_32bit_2frame.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
    "examples_jpeg2k.dcm",
    "examples_ybr_color.dcm",
    "rtdose_rle.dcm",
    "rtdose_rle_1frame.dcm",
]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HelperPool]:
    made = HelperPool(slots=tmp_path_factory.mktemp("slots"))
    yield made
    made.close()


def bundled(name: str) -> Path:
    return Path(str(get_testdata_file(name)))


def layout(path: Path) -> tuple[int, str]:
    """Where the data set begins, and its transfer syntax."""
    with path.open("rb") as file:
        head = file.read(144)
    ds = dcmread(path, specific_tags=[], stop_before_pixels=True)
    return 144 + int(struct.unpack_from("<I", head, 140)[0]), str(ds.file_meta.TransferSyntaxUID)


def decompressed(pool: HelperPool, path: Path, to_syntax: str, output: Path) -> Dataset:
    offset, from_syntax = layout(path)
    pool.decompress(path, offset, from_syntax, to_syntax, output)
    return read(output.read_bytes(), to_syntax)


def read(raw: bytes, syntax: str) -> Dataset:
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    head = b"\0" * 128 + b"DICM" + struct.pack("<HH2sH", 2, 0x10, b"UI", len(uid)) + uid
    return dcmread(io.BytesIO(head + raw))


def array(ds: Dataset) -> "np.ndarray[tuple[int, ...], np.dtype[np.generic]]":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(ds.pixel_array)


@pytest.mark.parametrize("name", IMAGES)
def test_pixels_are_those_that_pydicom_decodes(pool: HelperPool, tmp_path: Path, name: str) -> None:
    before, after = dcmread(bundled(name)), decompressed(pool, bundled(name), EXPLICIT_LITTLE, tmp_path / "out")
    expected, found = array(before), array(after)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)
    assert after.get("NumberOfFrames") == before.get("NumberOfFrames")
    assert after.get("LossyImageCompression") in (before.get("LossyImageCompression"), "01")


@pytest.mark.parametrize("name", ["examples_ybr_color.dcm", "MR_small_RLE.dcm"])
def test_all_other_elements_stay_as_they_were(pool: HelperPool, tmp_path: Path, name: str) -> None:
    before, after = dcmread(bundled(name)), decompressed(pool, bundled(name), EXPLICIT_LITTLE, tmp_path / "out")
    changed = {element.keyword for element in after if element != before.get(element.tag)}
    assert changed <= {"PixelData", "PhotometricInterpretation", "PlanarConfiguration", "LossyImageCompression"}
    assert {element.keyword for element in before if element.tag not in after and element.tag.element} == set()


@pytest.mark.parametrize("to_syntax", [IMPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE])
@pytest.mark.parametrize("name", ["MR_small_jp2klossless.dcm", "SC_rgb_rle_16bit_2frame.dcm", "SC_rgb_jpeg_gdcm.dcm"])
def test_any_native_syntax_can_be_asked_for(pool: HelperPool, tmp_path: Path, name: str, to_syntax: str) -> None:
    after = decompressed(pool, bundled(name), to_syntax, tmp_path / "out")
    assert np.array_equal(array(after), array(dcmread(bundled(name))))


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("dcmdrle", "MR_small_RLE.dcm"),
        ("dcmdjpls", "MR_small_jpeg_ls_lossless.dcm"),
        ("dcmdjpeg", "SC_rgb_jpeg_gdcm.dcm"),
    ],
)
def test_lossless_images_are_bit_for_bit_what_dcmtk_makes_of_them(
    pool: HelperPool, tmp_path: Path, program: str, name: str
) -> None:
    subprocess.run([peer(program), bundled(name), tmp_path / "theirs"], check=True, capture_output=True)
    theirs, ours = dcmread(tmp_path / "theirs"), decompressed(pool, bundled(name), EXPLICIT_LITTLE, tmp_path / "out")
    assert ours.PixelData == theirs.PixelData
    assert ours.PhotometricInterpretation == theirs.PhotometricInterpretation
    assert ours.get("PlanarConfiguration") == theirs.get("PlanarConfiguration")


def test_lossy_compression_is_never_forgotten(pool: HelperPool, tmp_path: Path) -> None:
    near_lossless = bundled("SC_rgb_jls_lossy_line.dcm")
    assert "LossyImageCompression" not in dcmread(near_lossless)
    assert decompressed(pool, near_lossless, EXPLICIT_LITTLE, tmp_path / "out").LossyImageCompression == "01"


def header(rows: int, columns: int, *, frames: int = 1, bits: int = 8, extra: list[ElementIn] | None = None) -> bytes:
    elements: list[ElementIn] = [
        (0x00080018, "UI", b"1.2.3"),
        (0x00280002, "US", b"\1\0"),
        (0x00280004, "CS", b"MONOCHROME2"),
        (0x00280008, "IS", str(frames).encode()),
        (0x00280010, "US", struct.pack("<H", rows)),
        (0x00280011, "US", struct.pack("<H", columns)),
        (0x00280100, "US", struct.pack("<H", bits)),
        (0x00280101, "US", struct.pack("<H", bits)),
        (0x00280103, "US", b"\0\0"),
        *(extra or []),
    ]
    return encode_elements(elements, EXPLICIT_LITTLE)


def rle_frame(size: int, value: int) -> bytes:
    """A frame of one segment, all of one value (PS3.5 annex G)."""
    runs = b"".join(struct.pack("bB", 1 - min(128, size - at), value) for at in range(0, size, 128))
    return struct.pack("<16I", 1, 64, *[0] * 14) + runs + b"\0" * (len(runs) % 2)


def encapsulated(frames: list[bytes]) -> bytes:
    return struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + bytes(encapsulate(frames)) + SEQUENCE_END


SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def run(
    pool: HelperPool, raw: bytes, tmp_path: Path, *, to_syntax: str = EXPLICIT_LITTLE, timeout: float = 60
) -> bytes:
    source, output = tmp_path / "source", tmp_path / "output"
    source.write_bytes(raw)
    pool.decompress(source, 0, RLE, to_syntax, output, timeout=timeout)
    return output.read_bytes()


def test_a_multi_frame_image_larger_than_the_decoders_memory_is_decompressed(tmp_path: Path) -> None:
    size, count = 2048, 100
    pool = HelperPool(slots=tmp_path / "slots", memory=300 << 20)
    raw = header(size, size, frames=count) + encapsulated([rle_frame(size * size, n) for n in range(count)])
    after = run(pool, raw, tmp_path)
    pool.close()
    assert len(after) > 400 << 20
    assert {after[-size * size * (count - n)] for n in (0, 77, 99)} == {0, 77, 99}


def test_an_icon_that_nobody_could_read_any_more_is_left_out(pool: HelperPool, tmp_path: Path) -> None:
    icon = header(2, 2) + encapsulated([rle_frame(4, 7)])
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(icon)) + icon
    sequence = struct.pack("<HH2sHI", 0x0088, 0x0200, b"SQ", 0, len(item)) + item
    kept = encode_elements([(0x00880200, "SQ", [[(0x00280010, "US", b"\2\0")]])], EXPLICIT_LITTLE)
    frame = encapsulated([rle_frame(4, 9)])
    assert "IconImageSequence" not in read(run(pool, header(2, 2) + sequence + frame, tmp_path), EXPLICIT_LITTLE)
    assert "IconImageSequence" in read(run(pool, header(2, 2) + kept + frame, tmp_path), EXPLICIT_LITTLE)


def test_an_extended_offset_table_is_used_and_left_out(pool: HelperPool, tmp_path: Path) -> None:
    frames = [rle_frame(4, n) for n in (1, 2, 3)]
    offsets = [sum(len(frame) + 8 for frame in frames[:n]) for n in range(3)]
    tables: list[ElementIn] = [
        (0x7FE00001, "OV", struct.pack("<3Q", *offsets)),
        (0x7FE00002, "OV", struct.pack("<3Q", *map(len, frames))),
    ]
    fragments = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(frame)) + frame for frame in [b"", *frames])
    pixel_data = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + fragments + SEQUENCE_END
    after = read(run(pool, header(2, 2, frames=3, extra=tables) + pixel_data, tmp_path), EXPLICIT_LITTLE)
    assert after.PixelData == bytes([1] * 4 + [2] * 4 + [3] * 4)
    assert "ExtendedOffsetTable" not in after


def test_an_object_without_pixels_needs_no_codec(pool: HelperPool, tmp_path: Path) -> None:
    raw = encode_elements([(0x00080018, "UI", b"1.2.3"), (0x00280010, "US", b"\1\2")], EXPLICIT_LITTLE)
    expected = encode_elements([(0x00080018, "UI", b"1.2.3"), (0x00280010, "US", b"\1\2")], IMPLICIT_LITTLE)
    assert run(pool, raw, tmp_path, to_syntax=IMPLICIT_LITTLE) == expected


@pytest.mark.parametrize(
    "raw",
    [
        header(65535, 65535, bits=32) + encapsulated([rle_frame(4, 1)]),
        header(2, 2, frames=3) + encapsulated([rle_frame(4, 1)] * 2),
        header(4, 4) + encapsulated([rle_frame(4, 1)]),
        header(2, 2) + encapsulated([b"\xff" * 70]),
        header(2, 2) + encapsulated([rle_frame(4, 1)])[:-8],
        header(2, 2) + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 4) + b"1234",
        header(2, 2)[:-30] + encapsulated([rle_frame(4, 1)]),
        b"garbage",
        b"",
    ],
)
def test_a_broken_image_costs_its_own_call_and_leaves_no_file(pool: HelperPool, tmp_path: Path, raw: bytes) -> None:
    if raw:
        with pytest.raises(CannotReencode):
            run(pool, raw, tmp_path)
        assert not (tmp_path / "output").exists()
    sound = header(2, 2) + encapsulated([rle_frame(4, 9)])
    assert run(pool, sound, tmp_path).endswith(b"\x09" * 4)


def test_what_has_no_codec_is_refused_without_a_helper(tmp_path: Path) -> None:
    pool = HelperPool(command=["/nonexistent"], slots=tmp_path / "slots")
    mpeg = "1.2.840.10008.1.2.4.102"
    for from_syntax, to_syntax in ((mpeg, EXPLICIT_LITTLE), (RLE, JPEG), (EXPLICIT_LITTLE, IMPLICIT_LITTLE)):
        assert not can_decompress(from_syntax, to_syntax)
        with pytest.raises(CannotReencode, match="no codec"):
            pool.decompress(tmp_path, 0, from_syntax, to_syntax, tmp_path / "output")
    assert can_decompress(RLE, IMPLICIT_LITTLE)
    with pytest.raises(CannotReencode, match="started"):
        run(pool, b"", tmp_path)


def test_every_syntax_offered_has_its_codec() -> None:
    assert [uid for uid in sorted(DECOMPRESSIBLE) if not get_decoder(UID(uid)).is_available] == []


def test_the_client_loads_no_codec() -> None:
    code = "import sys, dicom.pixels; sys.exit(bool({'numpy', 'pydicom', 'PIL'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


# A helper whose codec does what the source file says, under the limits of the real one.
MISBEHAVING = """
import ctypes, json, os, signal, sys, time
sys.path.insert(0, os.getcwd())
from dicom import pixels_worker

def misbehave(source, output, **_):
    order = os.pread(source, 100, 0)
    if order == b"crash": os.kill(os.getpid(), signal.SIGSEGV)
    if order == b"hang": ctypes.PyDLL(None).sleep(1000)  # and keeps the interpreter's lock
    if order == b"spin":
        while True: pass
    if order == b"exit": os._exit(3)
    if order == b"grow": bytearray(10 << 30)
    if order == b"raise": raise KeyError("codec")
    if order == b"environment": os.write(output, json.dumps(dict(os.environ)).encode())
    if order == b"slow": time.sleep(0.2)
    if order.startswith(b"pid "):
        with open(order[4:], "w") as file: file.write(str(os.getpid()))
        ctypes.PyDLL(None).sleep(1000)
    os.write(output, str(os.getpid()).encode())

pixels_worker.JOBS["decompress"] = misbehave
pixels_worker.JOBS["echo"] = lambda source, output, **arguments: arguments
pixels_worker.main(sys.argv[1:])
"""


@pytest.fixture
def misbehaving(tmp_path: Path) -> Iterator[Callable[..., HelperPool]]:
    script = tmp_path / "misbehaving.py"
    script.write_text(MISBEHAVING)
    made: list[HelperPool] = []

    def make(**options: int | float | Path) -> HelperPool:
        options = {"slots": tmp_path / "slots", **options}
        made.append(HelperPool(command=[sys.executable, str(script)], **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for pool in made:
        pool.close()


@pytest.mark.parametrize(
    ("order", "comment"),
    [
        (b"crash", "crashed"),
        (b"hang", "too long"),
        (b"spin", "too long"),
        (b"exit", "status 3"),
        (b"grow", "more memory"),
        (b"raise", "KeyError"),
    ],
)
def test_a_codec_that_fails_in_any_way_costs_one_call(
    misbehaving: Callable[..., HelperPool], tmp_path: Path, order: bytes, comment: str
) -> None:
    pool = misbehaving()
    assert run(pool, b"fine", tmp_path).isdigit()
    with pytest.raises(CannotReencode, match=comment):
        run(pool, order, tmp_path, timeout=3 if comment == "too long" else 60)
    assert not (tmp_path / "output").exists()
    assert run(pool, b"fine", tmp_path).isdigit()


def test_a_job_has_arguments_and_an_answer_of_its_own_however_long(
    misbehaving: Callable[..., HelperPool], tmp_path: Path
) -> None:
    pool, numbers = misbehaving(), list(range(500_000))
    with (tmp_path / "source").open("wb+") as source, (tmp_path / "output").open("wb") as output:
        assert pool.run("echo", source.fileno(), output.fileno(), {"numbers": numbers}) == {"numbers": numbers}
        with pytest.raises(CannotReencode, match="KeyError"):
            pool.run("none such", source.fileno(), output.fileno(), {})


def test_a_helper_does_its_share_and_makes_room_for_a_fresh_one(
    misbehaving: Callable[..., HelperPool], tmp_path: Path
) -> None:
    pool = misbehaving(jobs_each=3)
    pids = [run(pool, b"fine", tmp_path) for _ in range(7)]
    assert [len(set(pids[at : at + 3])) for at in (0, 3, 6)] == [1, 1, 1]
    assert len(set(pids)) == 3


def gone(pid: int, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_an_idle_helper_is_ended(misbehaving: Callable[..., HelperPool], tmp_path: Path) -> None:
    pool = misbehaving(idle_seconds=0.2)
    first = int(run(pool, b"fine", tmp_path))
    assert gone(first)
    assert int(run(pool, b"fine", tmp_path)) != first


def test_a_helper_that_somebody_killed_is_replaced(misbehaving: Callable[..., HelperPool], tmp_path: Path) -> None:
    pool = misbehaving()
    first = int(run(pool, b"fine", tmp_path))
    os.kill(first, signal.SIGKILL)
    assert gone(first)
    assert int(run(pool, b"fine", tmp_path)) != first


def test_many_threads_share_a_few_helpers(misbehaving: Callable[..., HelperPool], tmp_path: Path) -> None:
    pool = misbehaving(size=2, machine_size=2)
    pids: list[bytes] = []

    def work(number: int) -> None:
        directory = tmp_path / str(number)
        directory.mkdir()
        for _ in range(5):
            pids.append(run(pool, b"fine", directory))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 40
    assert len(set(pids)) <= 2


def test_what_runs_at_once_is_bounded_for_all_processes_together(
    misbehaving: Callable[..., HelperPool], tmp_path: Path
) -> None:
    one, other = misbehaving(machine_size=1), misbehaving(machine_size=1)
    (tmp_path / "one").mkdir()
    started, comments = tmp_path / "started", []

    def work() -> None:
        try:
            run(one, b"pid " + bytes(started), tmp_path / "one")
        except CannotReencode as error:
            comments.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    while not (started.exists() and started.read_text()):
        time.sleep(0.02)
    with pytest.raises(CannotReencode, match="became free"):
        run(other, b"fine", tmp_path, timeout=0.2)
    os.kill(int(started.read_text()), signal.SIGKILL)
    thread.join()
    assert comments == ["the decoder was killed"]
    assert run(other, b"fine", tmp_path).isdigit()


def test_a_helper_never_learns_our_secrets(
    misbehaving: Callable[..., HelperPool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://user:secret@host/db")
    assert b"secret" not in run(misbehaving(), b"environment", tmp_path)


@pytest.mark.parametrize("busy", [True, False])
def test_a_helper_ends_with_its_client_even_in_the_middle_of_a_codec(
    misbehaving: Callable[..., HelperPool], tmp_path: Path, busy: bool
) -> None:
    misbehaving()
    pid_file, source = tmp_path / "pid", tmp_path / "source"
    source.write_bytes(b"pid " + bytes(pid_file) if busy else b"fine")
    code = (
        "import sys, time; from pathlib import Path; from dicom.pixels import HelperPool\n"
        f"command = [sys.executable, {str(tmp_path / 'misbehaving.py')!r}]\n"
        f"pool = HelperPool(command=command, slots=Path({str(tmp_path)!r}))\n"
        f"pool.decompress(Path({str(source)!r}), 0, {RLE!r}, {EXPLICIT_LITTLE!r}, Path({str(pid_file)!r} + '.out'))\n"
        "Path(sys.argv[1]).touch(); time.sleep(1000)"
    )
    client = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "done")], cwd=ROOT)
    try:
        while not (pid_file.exists() and pid_file.read_text() if busy else (tmp_path / "done").exists()):
            assert client.poll() is None
            time.sleep(0.05)
        pid = int(pid_file.read_text() if busy else (tmp_path / "pid.out").read_text())
        assert psutil.pid_exists(pid)
    finally:
        client.kill()
        client.wait()
    assert gone(pid)


def test_a_forked_child_starts_helpers_of_its_own(misbehaving: Callable[..., HelperPool], tmp_path: Path) -> None:
    pool = misbehaving()
    parents = run(pool, b"fine", tmp_path)
    (tmp_path / "child").mkdir()
    child = os.fork()
    if not child:
        status = 1
        try:
            status = int(run(pool, b"fine", tmp_path / "child") == parents)
            pool.close()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert run(pool, b"fine", tmp_path) == parents


def test_the_default_pool_takes_an_open_file_and_the_size_of_the_data_set(tmp_path: Path) -> None:
    raw = header(2, 2) + encapsulated([rle_frame(4, 9)])
    source = tmp_path / "source"
    source.write_bytes(b"in front" + raw + b"behind")
    with source.open("rb") as file:
        pixels.decompress(file.fileno(), 8, RLE, EXPLICIT_LITTLE, tmp_path / "output", size=len(raw))
    assert (tmp_path / "output").read_bytes().endswith(b"\x09" * 4)
