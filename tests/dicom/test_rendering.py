"""Pictures of frames, pixel by pixel beside what pydicom works out."""

import contextlib
import io
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut

from dicom import part10, pixels
from dicom.errors import CannotReencode
from dicom.presentation import LINEAR, LINEAR_EXACT, SIGMOID, Header, Presentation, Table, Window
from dicom.rendering import picture
from dicom.walk import Walker
from dicom.windows import FileWindow

# pydicom itself refuses these: broken streams, no Bits Allocated, Number of Frames "1A".
UNREADABLE = {
    "JPEG-lossy.dcm",
    "JPEG2000-embedded-sequence-delimiter.dcm",
    "MR_truncated.dcm",
    "badVR.dcm",
    "meta_missing_tsyntax.dcm",
    "nested_priv_SQ.dcm",
}
# Numbers of 32 bits as big endian ones; by PS3.5 6.2 (OW) each half is swapped on its own, and so we read them.
SWAPPED_OTHERWISE = {"rtdose_expb.dcm", "rtdose_expb_1frame.dcm"}
FILES = {path.name: path for path in Path(str(get_testdata_file("CT_small.dcm"))).parent.glob("*.dcm")}


def has_pixels(path: Path) -> bool:
    try:
        return "PixelData" in pydicom.dcmread(path, specific_tags=["PixelData"])
    except InvalidDicomError:
        return False


IMAGES = sorted(name for name, path in FILES.items() if name not in UNREADABLE | SWAPPED_OTHERWISE and has_pixels(path))


def rendered(path: Path, output: Path, **arguments: Any) -> Image.Image:
    size = path.stat().st_size
    with path.open("rb") as source, output.open("wb") as target:
        meta = part10.read_meta(source.fileno(), lenient=True)
        asked: dict[str, Any] = {
            "dataset_offset": meta.dataset_offset,
            "size": size - meta.dataset_offset,
            "transfer_syntax_uid": meta.transfer_syntax_uid,
            "media_type": "image/png",
        }
        answer = pixels.run("render", source.fileno(), target.fileno(), asked | arguments)
    if "refused" in answer:
        raise CannotReencode(answer["comment"])
    assert answer["size"] == os.path.getsize(output)
    return Image.open(io.BytesIO(output.read_bytes()))


def expected(dataset: Dataset, frame: Any) -> Any:
    """What pydicom makes of it, on 256 grey values."""
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return apply_color_lut(frame, dataset) >> 8
    bits, signed = dataset.BitsStored, dataset.PixelRepresentation == 1
    if frame.ndim == 3:
        return frame >> (bits - 8)
    values = apply_modality_lut(frame, dataset)
    if "WindowCenter" in dataset:
        values = apply_voi_lut(values, dataset)
        ends = [-(1 << bits - 1), (1 << bits - 1) - 1] if signed else [0, (1 << bits) - 1]
    elif bits <= 8 and not signed:
        ends = [0, (1 << bits) - 1]
    else:
        image = frame[frame != dataset.get("PixelPaddingValue", None)]
        ends = [image.min(), image.max()]
    low, high = (end * dataset.get("RescaleSlope", 1) + dataset.get("RescaleIntercept", 0) for end in ends)
    return np.floor(np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255 + 0.5)


@pytest.mark.parametrize("name", IMAGES)
def test_every_picture_is_what_pydicom_makes_of_the_image(name: str, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(FILES[name])
    frames = int(dataset.get("NumberOfFrames") or 1)
    array = dataset.pixel_array
    for number in {0, frames - 1}:
        got = np.asarray(rendered(FILES[name], tmp_path / "picture", frames=[number]))
        assert np.array_equal(got, expected(dataset, array[number] if frames > 1 else array))


@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_what_cannot_be_decoded_says_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(CannotReencode):
        rendered(FILES[name], tmp_path / "picture")


COMPRESSED = [name for name in IMAGES if pydicom.dcmread(FILES[name]).file_meta.TransferSyntaxUID.is_encapsulated]


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.parametrize("kind", ["cut short", "noise"])
def test_a_broken_stream_is_a_picture_or_an_error_and_the_helper_goes_on(name: str, kind: str, tmp_path: Path) -> None:
    content = bytearray(FILES[name].read_bytes())
    begin = content.rindex(b"\xe0\x7f\x10\x00") + 12
    middle = (begin + len(content)) // 2
    content[middle:] = (
        bytes(len(content) - middle) if kind == "cut short" else random.Random(1).randbytes(len(content) - middle)
    )
    (tmp_path / "broken.dcm").write_bytes(content)
    with contextlib.suppress(CannotReencode):
        rendered(tmp_path / "broken.dcm", tmp_path / "picture")
    assert rendered(FILES["CT_small.dcm"], tmp_path / "picture").size == (128, 128)


def shown(**changes: Any) -> Presentation:
    plain: dict[str, Any] = {
        "photometric_interpretation": "MONOCHROME2",
        "bits_stored": 16,
        "high_bit": 15,
        "signed": False,
        "modality": None,
        "voi": None,
        "inverted": False,
        "extremes": None,
        "padding": None,
        "palette": None,
        "palette_is_segmented": False,
        "pixel_height": 1.0,
    }
    return Presentation(**plain | changes)


RAMP = np.arange(-2000, 2000, dtype=np.int16).reshape(40, 100)


@pytest.mark.parametrize("function", [LINEAR, LINEAR_EXACT, SIGMOID])
@pytest.mark.parametrize(("center", "width"), [(40, 400), (-500.5, 1.0), (0, 3.5), (100, 40_000)])
def test_a_window_is_worked_out_as_pydicom_does(function: str, center: float, width: float) -> None:
    dataset = Dataset()
    dataset.BitsStored, dataset.PixelRepresentation, dataset.VOILUTFunction = 16, 1, function
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.RescaleSlope, dataset.RescaleIntercept = 1.5, -100
    dataset.WindowCenter, dataset.WindowWidth = center, width
    with np.errstate(over="ignore"):
        values = apply_voi_lut(apply_modality_lut(RAMP, dataset), dataset)
    low, high = -32768 * 1.5 - 100, 32767 * 1.5 - 100
    grey = np.floor((values - low) / (high - low) * 255 + 0.5)
    asked = Window(center, width, function)
    assert np.abs(picture(RAMP, shown(modality=(1.5, -100.0), signed=True), asked) - grey).max() <= (width == 1)


def table(values: list[int], first: int = 0, bits: int = 16) -> Table:
    return Table(len(values), first, bits, np.array(values, "<u2").tobytes())


def grey(frame: list[int], kind: str = "i2", **changes: Any) -> list[int]:
    return picture(np.array([frame], kind), shown(**changes))[0].tolist()  # type: ignore[no-any-return]


def test_tables_map_what_lies_outside_to_their_ends() -> None:
    voi = table([0, 100, 65535], first=-1)
    assert grey([-5, -1, 0, 1, 9], voi=voi) == [0, 0, 0, 255, 255]
    assert grey([1, 2, 3, 9], modality=table([10, 20, 30], first=1), voi=Window(20, 20, LINEAR_EXACT)) == [
        0,
        128,
        255,
        255,
    ]
    narrow = Table(3, 0, 8, bytes([0, 128, 255]))  # one byte an entry
    assert grey([0, 1, 2], voi=narrow) == [0, 128, 255]


def test_without_a_window_the_image_fills_the_scale_and_padding_does_not_count() -> None:
    assert grey([100, 200, 300]) == [0, 128, 255]
    assert grey([-2000, 100, 200, 300], padding=(-2000, -2000)) == [0, 0, 128, 255]
    assert grey([-2000, -2000], padding=(-2000, -2000)) == [0, 0]
    assert grey([100, 200, 300], extremes=(0, 400)) == [64, 128, 191]
    assert grey([10, 20, 30], "u1", bits_stored=8, high_bit=7) == [10, 20, 30]
    assert grey([0, 1], "u1", bits_stored=1, high_bit=0) == [0, 255]
    assert grey([7, 7, 7]) == [0, 0, 0]


def test_monochrome1_is_white_where_values_are_low() -> None:
    assert grey([100, 200, 300], inverted=True) == [255, 128, 0]
    assert grey([0, 100], inverted=True, voi=Window(50, 100, LINEAR_EXACT)) == [255, 0]


def test_a_rescale_slope_below_zero_turns_the_scale() -> None:
    assert grey([100, 200, 300], modality=(-1.0, 0.0)) == [255, 128, 0]


def test_bits_above_the_high_bit_are_no_image() -> None:
    assert grey([0xF000, 0x1800, 0x0FFF], "u2", bits_stored=12, high_bit=11) == [0, 128, 255]
    assert grey([0x0FFF, 0x0001, 0x0000], "i2", bits_stored=12, high_bit=11) == [0, 255, 128]


def test_numbers_of_32_bits_and_fractions_are_shown_too() -> None:
    assert grey([0, 1 << 31, (1 << 32) - 1], "u4", bits_stored=32, high_bit=31) == [0, 128, 255]
    nothing = float("nan")
    frame = np.array([[0.0, 0.5, 1.0, nothing, float("inf")]], "f4")
    assert picture(frame, shown(bits_stored=32, high_bit=31)).tolist() == [[0, 128, 255, 0, 255]]


def test_palettes_of_eight_and_sixteen_bits_and_in_segments() -> None:
    wide = (table([0, 0xFF00]), table([0, 0x8000]), table([0x1200, 0]))
    colours = shown(photometric_interpretation="PALETTE COLOR", palette=wide, bits_stored=8, high_bit=7)
    assert picture(np.array([[0, 1, 9]], "u1"), colours).tolist() == [[[0, 0, 0x12], [255, 128, 0], [255, 128, 0]]]
    # Discrete 0 and 10, linear to 40 in three steps, and the first segment again.
    parts = Table(7, 0, 8, bytes([0, 2, 0, 10, 1, 3, 40, 2, 1, 0, 0, 0, 0]))
    colours = shown(
        photometric_interpretation="PALETTE COLOR", palette=(parts,) * 3, palette_is_segmented=True, bits_stored=8
    )
    frame = np.arange(7, dtype="u1").reshape(1, 7)
    assert picture(frame, colours)[0, :, 0].tolist() == [0, 10, 20, 30, 40, 0, 10]


def test_colours_nobody_knows_are_refused() -> None:
    with pytest.raises(CannotReencode, match="CMYK"):
        picture(np.zeros((2, 2, 4), "u1"), shown(photometric_interpretation="CMYK", bits_stored=8))


def enhanced(path: Path) -> Path:
    dataset = pydicom.dcmread(FILES["CT_small.dcm"])
    dataset.NumberOfFrames = "2"
    dataset.PixelData *= 2
    del dataset.RescaleSlope, dataset.RescaleIntercept

    def group(center: int) -> Dataset:
        item, window = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = center, 400
        item.FrameVOILUTSequence = [window]
        return item

    shared, rescale = group(5000), Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 2, -50, "US"
    shared.PixelValueTransformationSequence = [rescale]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [group(1000), Dataset()]
    dataset.FrameTime = "40"
    dataset.save_as(path)
    return path


def test_functional_groups_of_a_frame_come_before_those_that_all_share(tmp_path: Path) -> None:
    path = enhanced(tmp_path / "enhanced")
    with path.open("rb") as file:
        meta = part10.read_meta(file.fileno())
        window = FileWindow(file.fileno(), meta.dataset_offset, path.stat().st_size - meta.dataset_offset)
        header = Header(Walker(window, meta.transfer_syntax_uid))
    assert (header.frame(0).voi, header.frame(1).voi) == (Window(1000, 400), Window(5000, 400))
    assert header.frame(0).modality == header.frame(1).modality == (2, -50)
    assert header.frame_milliseconds == 40


def milliseconds(image: Image.Image) -> list[int]:
    """Of the pictures of a GIF; those that are alike one after the other have become one."""
    found = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        found.append(image.info.get("duration", 0))
    return found


def test_a_gif_of_many_frames_moves_at_the_speed_of_the_image(tmp_path: Path) -> None:
    ultrasound = FILES["examples_ybr_color.dcm"]
    times = milliseconds(rendered(ultrasound, tmp_path / "picture", media_type="image/gif"))
    assert len(times) > 20
    frame_time = float(pydicom.dcmread(ultrasound).FrameTime)
    assert sum(times) == pytest.approx(30 * frame_time, rel=0.2)  # GIF knows hundredths of a second
    moving = rendered(ultrasound, tmp_path / "picture", media_type="image/gif")
    exact = pydicom.dcmread(ultrasound).pixel_array[0].astype(int)
    assert np.abs(np.asarray(moving.convert("RGB")).astype(int) - exact).mean() < 2  # 256 colours for all frames
    assert len(milliseconds(rendered(ultrasound, tmp_path / "picture", media_type="image/gif", frames=[3]))) == 1


def test_a_picture_is_as_large_as_fits_its_viewport_without_distortion(tmp_path: Path) -> None:
    def size(name: str, width: int | None, height: int | None, **more: Any) -> tuple[int, int]:
        viewport = {"width": width, "height": height, **more}
        return rendered(FILES[name], tmp_path / "picture", viewport=viewport).size

    assert size("CT_small.dcm", 64, 256) == (64, 64)
    assert size("CT_small.dcm", 300, 256) == (256, 256)
    assert size("examples_palette.dcm", 400, 400) == (400, 175)
    assert size("examples_palette.dcm", None, 175) == (400, 175)
    assert size("CT_small.dcm", 64, 64, region=[None, None, 32, 64]) == (32, 64)
    assert size("CT_small.dcm", None, None, region=[0.5, 0, 0.25, 1], relative=True) == (32, 128)


def test_a_region_is_cut_out_and_mirrored(tmp_path: Path) -> None:
    def viewport(*region: int) -> dict[str, Any]:
        return {"width": 32, "height": 16, "region": region}

    plain = np.asarray(rendered(FILES["CT_small.dcm"], tmp_path / "picture"))
    part = rendered(FILES["CT_small.dcm"], tmp_path / "picture", viewport=viewport(8, 4, 32, 16))
    assert np.array_equal(np.asarray(part), plain[4:20, 8:40])
    part = rendered(FILES["CT_small.dcm"], tmp_path / "picture", viewport=viewport(8, 4, -32, -16))
    assert np.array_equal(np.asarray(part), plain[4:20, 8:40][::-1, ::-1])
    with pytest.raises(CannotReencode, match="outside"):
        rendered(FILES["CT_small.dcm"], tmp_path / "picture", viewport=viewport(200, 4, 32, 16))


def test_pixels_that_are_not_square_are_shown_as_they_are_in_a_viewport_only(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(FILES["CT_small.dcm"])
    dataset.PixelSpacing = ["2", "1"]
    dataset.save_as(tmp_path / "tall.dcm")
    assert rendered(tmp_path / "tall.dcm", tmp_path / "picture").size == (128, 128)
    assert rendered(tmp_path / "tall.dcm", tmp_path / "picture", viewport={"width": 64, "height": 64}).size == (32, 64)


def test_what_has_no_codec_says_so_and_is_a_card_where_there_must_be_a_picture(tmp_path: Path) -> None:
    video = pydicom.dcmread(FILES["JPEG-lossy.dcm"])
    video.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    video.save_as(tmp_path / "video.dcm")
    with pytest.raises(CannotReencode, match="no codec"):
        rendered(tmp_path / "video.dcm", tmp_path / "picture")
    assert rendered(tmp_path / "video.dcm", tmp_path / "picture", label="XC").size == (128, 128)


def test_jpeg_differs_from_the_picture_by_little(tmp_path: Path) -> None:
    for name in ("CT_small.dcm", "examples_rgb_color.dcm"):
        exact = np.asarray(rendered(FILES[name], tmp_path / "picture")).astype(int)
        lossy = rendered(FILES[name], tmp_path / "picture", media_type="image/jpeg", quality=100)
        assert np.abs(np.asarray(lossy).astype(int) - exact).mean() < 1
