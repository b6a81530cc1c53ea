"""Studies to look at: a stack with geometry, moving colour, palettes, a document, compressed images."""

from pathlib import Path
from typing import Any, Final

import numpy
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

STACK: Final = "1.2.826.0.1.3680043.8.498.71"
ULTRASOUND: Final = "1.2.826.0.1.3680043.8.498.72"
COLOUR: Final = "1.2.826.0.1.3680043.8.498.73"
DOCUMENT: Final = "1.2.826.0.1.3680043.8.498.74"
COMPRESSED: Final = "1.2.826.0.1.3680043.8.498.75"

SLICES: Final = 48
_SIDE: Final = 128
_RADIUS: Final = 30
_CT: Final = "1.2.840.10008.5.1.4.1.1.2"
_SEGMENTATION: Final = "1.2.840.10008.5.1.4.1.1.66.4"
_PDF: Final = "1.2.840.10008.5.1.4.1.1.104.1"
# What a reader of PDF needs at least: a page with a line of text.
_PAGE: Final = b"BT /F1 48 Tf 72 700 Td (Report of the test) Tj ET"
_OBJECTS: Final = (
    b"<< /Type /Catalog /Pages 2 0 R >>",
    b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
    b"<< /Length %d >>\nstream\n%s\nendstream" % (len(_PAGE), _PAGE),
    b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
)


def write(folder: Path) -> Path:
    folder.mkdir()
    for number in range(SLICES):
        _slice(number).save_as(folder / f"slice {number}.dcm", enforce_file_format=True)
    _copy(folder, "examples_ybr_color.dcm", ULTRASOUND, 1)
    for number, name in enumerate(("examples_rgb_color.dcm", "examples_palette.dcm", "SC_rgb_jpeg_dcmtk.dcm"), 1):
        _copy(folder, name, COLOUR, number)
    compressed = ("MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "MR_small_RLE.dcm", "JPGExtended.dcm")
    for number, name in enumerate(compressed, 1):
        _copy(folder, name, COMPRESSED, number)
    _segmentation().save_as(folder / "segmentation.dcm", enforce_file_format=True)
    _document().save_as(folder / "document.dcm", enforce_file_format=True)
    return folder


def _new(sop_class: str, study: str, series: int, instance: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = f"{study}.{series}.{instance}"
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = study, f"{study}.{series}"
    made.SeriesNumber, made.InstanceNumber = series, instance
    made.SpecificCharacterSet = "ISO_IR 192"
    made.PatientName, made.PatientID, made.PatientSex, made.PatientBirthDate = "Müller^Jörg", "P-71", "M", "19560712"
    made.StudyDate, made.StudyTime, made.StudyID, made.AccessionNumber = "20240611", "101500", "71", "A71"
    return made


def _slice(number: int) -> FileDataset:
    """Of a cylinder with a ball in it, brighter towards its middle: each of the three planes shows something else."""
    made = _new(_CT, STACK, 1, number + 1)
    made.StudyDescription, made.SeriesDescription, made.Modality = "Phantom", "Ball in a cylinder", "CT"
    made.FrameOfReferenceUID = f"{STACK}.9"
    made.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    made.ImagePositionPatient = [-64, -64, 2.0 * number]
    made.PixelSpacing, made.SliceThickness = [1, 1], 2
    made.Rows = made.Columns = _SIDE
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation = 15, 1
    made.RescaleIntercept, made.RescaleSlope, made.RescaleType = 0, 1, "HU"
    made.WindowCenter, made.WindowWidth = 40, 400
    y, x = numpy.mgrid[0:_SIDE, 0:_SIDE] - _SIDE / 2
    pixels = numpy.full((_SIDE, _SIDE), -1000, dtype="<i2")
    pixels[x**2 + y**2 < 55**2] = 20
    distance = _distance(number)
    pixels[distance < _RADIUS] = 240 - 4 * distance[distance < _RADIUS]
    made.PixelData = pixels.tobytes()
    made["PixelData"].VR = "OW"
    return made


def _segmentation() -> FileDataset:
    """The ball, outlined in each slice of the stack."""
    made = _new(_SEGMENTATION, STACK, 2, 1)
    made.Modality, made.SeriesDescription, made.FrameOfReferenceUID = "SEG", "Ball", f"{STACK}.9"
    made.ContentLabel, made.ContentDescription, made.ContentCreatorName = "BALL", "", "Nobody"
    made.ImageType, made.SegmentationType = ["DERIVED", "PRIMARY"], "BINARY"
    made.Rows = made.Columns = _SIDE
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 1
    made.HighBit = made.PixelRepresentation = 0
    made.LossyImageCompression, made.NumberOfFrames = "00", SLICES
    images = [_item(ReferencedSOPClassUID=_CT, ReferencedSOPInstanceUID=f"{STACK}.1.{n + 1}") for n in range(SLICES)]
    made.ReferencedSeriesSequence = [_item(SeriesInstanceUID=f"{STACK}.1", ReferencedInstanceSequence=images)]
    organ = _item(CodeValue="85756007", CodingSchemeDesignator="SCT", CodeMeaning="Tissue")
    made.SegmentSequence = [
        _item(
            SegmentNumber=1,
            SegmentLabel="Ball",
            SegmentAlgorithmType="MANUAL",
            SegmentedPropertyCategoryCodeSequence=[organ],
            SegmentedPropertyTypeCodeSequence=[organ],
            RecommendedDisplayCIELabValue=[34885, 53485, 50171],
        )
    ]
    made.SharedFunctionalGroupsSequence = [
        _item(
            PixelMeasuresSequence=[_item(PixelSpacing=[1, 1], SliceThickness=2, SpacingBetweenSlices=2)],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            SegmentIdentificationSequence=[_item(ReferencedSegmentNumber=1)],
        )
    ]
    made.PerFrameFunctionalGroupsSequence = [
        _item(
            FrameContentSequence=[_item(DimensionIndexValues=[1, number + 1])],
            PlanePositionSequence=[_item(ImagePositionPatient=[-64, -64, 2.0 * number])],
            DerivationImageSequence=[_item(SourceImageSequence=[image])],
        )
        for number, image in enumerate(images)
    ]
    balls = numpy.stack([_distance(number) < _RADIUS for number in range(SLICES)])
    made.PixelData = numpy.packbits(balls, bitorder="little").tobytes()
    made["PixelData"].VR = "OB"
    return made


def _item(**values: object) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def _distance(number: int) -> Any:
    """From the middle of the ball, of each pixel of a slice, in mm."""
    y, x = numpy.mgrid[0:_SIDE, 0:_SIDE] - _SIDE / 2
    return numpy.sqrt((x - 15) ** 2 + (y - 10) ** 2 + (2.0 * (number - SLICES / 2)) ** 2)


def _copy(folder: Path, name: str, study: str, number: int) -> None:
    found = pydicom.dcmread(str(get_testdata_file(name)))
    found.StudyInstanceUID, found.SeriesInstanceUID = study, f"{study}.{number}"
    found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID = f"{study}.{number}.1"
    found.SeriesNumber, found.InstanceNumber, found.SeriesDescription = number, 1, name
    found.PatientID, found.PatientName = f"P-{study[-2:]}", f"Patient^{study[-2:]}"
    found.save_as(folder / name)


def _document() -> Dataset:
    made = _new(_PDF, DOCUMENT, 1, 1)
    made.Modality, made.SeriesDescription, made.StudyDescription = "DOC", "Report", "Document"
    made.MIMETypeOfEncapsulatedDocument, made.DocumentTitle = "application/pdf", "Report"
    made.BurnedInAnnotation = "YES"
    made.ConversionType = "WSD"
    document = pdf()
    made.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    made.EncapsulatedDocumentLength = len(document)
    return made


def pdf() -> bytes:
    whole, offsets = b"%PDF-1.4\n" + b"%" * 70_000 + b"\n", []  # too long to stand in the metadata
    for number, text in enumerate(_OBJECTS, 1):
        offsets.append(len(whole))
        whole += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(_OBJECTS) + 1)
    trailer = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(_OBJECTS) + 1, len(whole))
    return whole + head + table + trailer
