"""Instances to send: a template encoded once, its values patched, so that every run stores new instances."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Self

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, MultiFrameGrayscaleWordSecondaryCaptureImageStorage

# Our UID root; the arc 9 is for generated data, the last components are the run and a number.
ROOT = "1.2.826.0.1.3680043.10.1461.9"
UID_FIELDS = ("sop_instance_uid", "study_instance_uid", "series_instance_uid")
TEXT_FIELDS = {"patient_id": 10, "patient_name": 18, "study_date": 8, "accession_number": 10, "instance_number": 8}
PIXELS = b"\xa5\x5apixels\x5a\xa5" + b"\x5a\xa5slexip\xa5\x5a"


def new_run() -> str:
    """Sixteen digits that no earlier run had: microseconds."""
    return str(time.time_ns() // 1000)


def new_uid(run: str, kind: int, number: int) -> str:
    """A UID of fixed width; `kind` tells studies, series and instances apart, one digit."""
    return f"{ROOT}.{kind}.{run}.{1_000_000 + number}"


@dataclass(frozen=True, slots=True)
class Values:
    """What differs between two instances of a template."""

    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    patient_id: str = "BENCH"
    patient_name: str = "Bench^Mark"
    study_date: str = "20240229"
    accession_number: str = "BENCH"
    instance_number: str = "1"
    pixels: bytes = b""


@dataclass(frozen=True, slots=True)
class Template:
    """An encoded Part 10 file and the places in it that differ from instance to instance."""

    content: bytes
    places: dict[str, tuple[tuple[int, int], ...]]  # field -> (offset, width)
    sop_class_uid: str
    dataset_offset: int

    def patches(self, values: Values) -> Iterable[tuple[int, bytes]]:
        """Offsets and the bytes that belong there."""
        for field, places in self.places.items():
            value = getattr(values, field)
            raw = value if isinstance(value, bytes) else value.encode("ascii")
            pad = b"\0" if field in UID_FIELDS or field == "pixels" else b" "
            for offset, width in places:
                if len(raw) > width:
                    raise ValueError(f"{field} is longer than {width}: {value!r}")
                yield offset, raw.ljust(width, pad)

    def filled(self, values: Values) -> bytearray:
        content = bytearray(self.content)
        for offset, raw in self.patches(values):
            content[offset : offset + len(raw)] = raw
        return content


def _dataset(*, sop_class_uid: UID, modality: str, side: int, frames: int) -> Dataset:
    """A plausible CT header; the values of `Values` are placeholders of full width."""
    ds = Dataset()
    ds.SOPClassUID = sop_class_uid
    ds.SOPInstanceUID = new_uid("1" * 16, 3, 1)
    ds.Modality = modality
    _describe_study(ds)
    _describe_acquisition(ds)
    _draw(ds, side, frames)
    return ds


def _describe_study(ds: Dataset) -> None:
    """Patient, study and series."""
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName = "N" * TEXT_FIELDS["patient_name"]
    ds.PatientID = "P" * TEXT_FIELDS["patient_id"]
    ds.PatientBirthDate = "19600402"
    ds.PatientSex = "O"
    ds.PatientAge = "063Y"
    ds.StudyInstanceUID = new_uid("1" * 16, 1, 1)
    ds.StudyID = "1"
    ds.StudyDate = "18991231"
    ds.StudyTime = "101500"
    ds.StudyDescription = "CT thorax"
    ds.AccessionNumber = "A" * TEXT_FIELDS["accession_number"]
    ds.ReferringPhysicianName = "Referring^Physician"
    ds.SeriesInstanceUID = new_uid("1" * 16, 2, 1)
    ds.SeriesNumber = "2"
    ds.SeriesDescription = "thorax 1.0 soft tissue"
    ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20240301"
    ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "101623.120000"


def _describe_acquisition(ds: Dataset) -> None:
    """The device, and how it made the image."""
    ds.Manufacturer = "Bench Works"
    ds.ManufacturerModelName = "Tube 64"
    ds.InstitutionName = "General Hospital"
    ds.StationName = "CT01"
    ds.ProtocolName = "Thorax"
    ds.BodyPartExamined = "CHEST"
    ds.PatientPosition = "HFS"
    ds.SliceThickness = "1.0"
    ds.KVP = "120"
    ds.DataCollectionDiameter = "500"
    ds.ReconstructionDiameter = "350"
    ds.GantryDetectorTilt = "0"
    ds.TableHeight = "150"
    ds.RotationDirection = "CW"
    ds.ExposureTime = "500"
    ds.XRayTubeCurrent = "200"
    ds.ConvolutionKernel = "B30f"
    ds.AcquisitionNumber = "1"


def _draw(ds: Dataset, side: int, frames: int) -> None:
    """The image: where it lies, and noise for pixels."""
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.InstanceNumber = "9" * TEXT_FIELDS["instance_number"]
    ds.ImagePositionPatient = ["-175", "-175", "100.5"]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.FrameOfReferenceUID = new_uid("2" * 16, 4, 1)
    ds.PositionReferenceIndicator = ""
    ds.SliceLocation = "100.5"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    if frames > 1:
        ds.NumberOfFrames = str(frames)
    ds.Rows = ds.Columns = side
    ds.PixelSpacing = ["0.68", "0.68"]
    ds.BitsAllocated = 16
    ds.BitsStored = 12
    ds.HighBit = 11
    ds.PixelRepresentation = 0
    ds.WindowCenter = "40"
    ds.WindowWidth = "400"
    ds.RescaleIntercept = "-1024"
    ds.RescaleSlope = "1"
    noise = np.random.default_rng(2).integers(0, 4096, side * side, dtype="<u2").tobytes()
    ds.PixelData = PIXELS + (noise * frames)[len(PIXELS) :]
    ds["PixelData"].VR = "OW"


def _encoded(ds: Dataset) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta = meta
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _places(content: bytes, placeholder: str, pad: bytes) -> tuple[tuple[int, int], ...]:
    raw = placeholder.encode("ascii")
    raw += pad * (len(raw) % 2)
    found, at = [], content.find(raw)
    while at >= 0:
        found.append((at, len(raw)))
        at = content.find(raw, at + 1)
    return tuple(found)


def template(*, side: int, frames: int = 1, modality: str = "CT") -> Template:
    """A CT image of `side` x `side` 16 bit pixels, or a multi-frame image, Explicit VR Little Endian."""
    sop_class_uid = CTImageStorage if frames == 1 else MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    ds = _dataset(sop_class_uid=sop_class_uid, modality=modality, side=side, frames=frames)
    content = _encoded(ds)
    header = content[: content.index(PIXELS)]
    places = {
        "sop_instance_uid": _places(header, ds.SOPInstanceUID, b"\0"),
        "study_instance_uid": _places(header, ds.StudyInstanceUID, b"\0"),
        "series_instance_uid": _places(header, ds.SeriesInstanceUID, b"\0"),
        "patient_id": _places(header, ds.PatientID, b" "),
        "patient_name": _places(header, str(ds.PatientName), b" "),
        "study_date": _places(header, ds.StudyDate, b" "),
        "accession_number": _places(header, ds.AccessionNumber, b" "),
        "instance_number": _places(header, str(ds.InstanceNumber), b" "),
        "pixels": ((len(header), len(PIXELS)),),
    }
    # PS3.10 7.1: preamble, prefix, group length element (12 bytes), then as many bytes as it says.
    dataset_offset = 144 + int.from_bytes(content[140:144], "little")
    return Template(content=content, places=places, sop_class_uid=str(sop_class_uid), dataset_offset=dataset_offset)


def ct_512k() -> Template:
    return template(side=512)


def ct_8k() -> Template:
    return template(side=58)


def tiny() -> Template:
    return template(side=4)


def multiframe_300m() -> Template:
    return template(side=512, frames=600)


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Instances on disk, with what a client needs to send, query and retrieve them."""

    folder: Path
    paths: tuple[Path, ...]
    study_instance_uids: tuple[str, ...]
    series_instance_uids: tuple[str, ...]
    sop_instance_uids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @classmethod
    def of(cls, folder: Path, values: Sequence[Values]) -> Self:
        return cls(
            folder,
            tuple(_path(folder, number) for number in range(len(values))),
            tuple(dict.fromkeys(one.study_instance_uid for one in values)),
            tuple(dict.fromkeys(one.series_instance_uid for one in values)),
            tuple(one.sop_instance_uid for one in values),
        )


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.dcm"


class Supply:
    """A study of `count` images in a folder, made new in place: ext4 is slow to create files where many were deleted.

    (For five minutes it does not use the inodes of deleted files again, and looks at each of them at every creation.)
    """

    def __init__(self, made_from: Template, count: int, folder: Path) -> None:
        self._template = made_from
        self._count = count
        self._folder = folder / new_run()
        self._written = False

    def renewed(self) -> ImageSet:
        """The same files with UIDs that they never had; an earlier ImageSet of theirs is void."""
        run = new_run()
        if not self._written:
            self._written = True
            return _written(self._template, _study(run, self._count), self._folder)
        study = list(_study(run, self._count))
        for number, values in enumerate(study):
            with _path(self._folder, number).open("rb+") as file:
                for offset, raw in self._template.patches(values):
                    file.seek(offset)
                    file.write(raw)
        return ImageSet.of(self._folder, study)


def _study(run: str, count: int) -> Iterator[Values]:
    first = Values(
        sop_instance_uid="",
        study_instance_uid=new_uid(run, 1, 0),
        series_instance_uid=new_uid(run, 2, 0),
        patient_id=run[-10:],
    )
    for number in range(count):
        yield replace(
            first,
            sop_instance_uid=new_uid(run, 3, number),
            instance_number=str(number + 1),
            pixels=f"{number:020d}".encode(),
        )


def one_study(made_from: Template, count: int, folder: Path) -> ImageSet:
    """`count` instances of one series."""
    return Supply(made_from, count, folder).renewed()


def many_studies(made_from: Template, count: int, folder: Path) -> ImageSet:
    """One instance in each of `count` studies; every patient has two, names in 26 groups, dates over ten years."""
    run = new_run()
    return _written(made_from, (one_of_many(run, number) for number in range(count)), folder / run)


def one_of_many(run: str, number: int) -> Values:
    return Values(
        sop_instance_uid=new_uid(run, 3, number),
        study_instance_uid=new_uid(run, 1, number),
        series_instance_uid=new_uid(run, 2, number),
        patient_id=f"P{number // 2:07d}",
        patient_name=f"{chr(65 + number // 2 % 26)}{number // 2:06d}^Given",
        study_date=f"{2015 + number % 10}{1 + number // 10 % 12:02d}{1 + number // 120 % 28:02d}",
        accession_number=f"A{number:07d}",
        pixels=f"{number:020d}".encode(),
    )


def _written(made_from: Template, rows: Iterable[Values], folder: Path) -> ImageSet:
    folder.mkdir(parents=True)
    written = list(rows)
    for number, values in enumerate(written):
        _path(folder, number).write_bytes(made_from.filled(values))
    return ImageSet.of(folder, written)
