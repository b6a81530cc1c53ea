"""dicomweb-client does every call it has against us; one that its next version brings fails here until it is tried."""

import inspect
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom import Dataset
from pydicom.data import get_testdata_file

from tests.node import Node
from tests.qr.web import session_of

pytestmark = pytest.mark.live

SLICES: Final = 4
SERIES: Final = ("1.2.3", "1.2.3.1")
INSTANCE: Final = (*SERIES, "1.2.3.1.2")
EXPLICIT: Final = "1.2.840.10008.1.2.1"


def ct(number: int, study: str = "1.2.3") -> Dataset:
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, f"{study}.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{study}.1.{number}"
    dataset.InstanceNumber = number
    dataset.PixelData = (dataset.pixel_array + number).astype("<i2").tobytes()
    return dataset


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("client")
    files = folder / "files"
    files.mkdir()
    for number in range(1, SLICES + 1):
        ct(number).save_as(files / f"{number}.dcm")
    for study in ("1.2.7", "1.2.8", "1.2.9"):
        ct(1, study).save_as(files / f"{study}.dcm")
    multiframe = Path(str(get_testdata_file("examples_ybr_color.dcm")))
    (files / "multiframe.dcm").write_bytes(multiframe.read_bytes())
    with Node(folder) as running:
        running.manage("prepare")
        running.manage("import", str(files))
        yield running.start("web", "indexer")


@pytest.fixture
def origin(node: Node) -> str:
    return f"http://{node.host}:{node.http_port}"


@pytest.fixture
def client(node: Node, origin: str) -> Iterator[DICOMwebClient]:
    with session_of(node) as session:
        yield DICOMwebClient(f"{origin}/dicomweb", session=session)


def same(found: Dataset, number: int) -> None:
    """All of it as it was stored."""
    expected = ct(number)
    assert found.file_meta.TransferSyntaxUID == EXPLICIT
    assert found.to_json_dict() == expected.to_json_dict()


def picture(data: bytes) -> Image.Image:
    opened = Image.open(io.BytesIO(data))
    opened.load()
    return opened


def pixels_address(client: DICOMwebClient, origin: str) -> str:
    return origin + str(client.retrieve_instance_metadata(*INSTANCE)["7FE00010"]["BulkDataURI"])


def expected_frame(number: int) -> bytes:
    return bytes(ct(number).PixelData)


def _delete_study(client: DICOMwebClient, origin: str) -> None:
    client.delete_study("1.2.7")
    assert client.search_for_studies(search_filters={"StudyInstanceUID": "1.2.7"}) == []


def _delete_series(client: DICOMwebClient, origin: str) -> None:
    client.delete_series("1.2.8", "1.2.8.1")
    assert client.search_for_series("1.2.8") == []


def _delete_instance(client: DICOMwebClient, origin: str) -> None:
    client.delete_instance("1.2.9", "1.2.9.1", "1.2.9.1.1")
    with pytest.raises(requests.HTTPError, match="410"):
        client.retrieve_instance("1.2.9", "1.2.9.1", "1.2.9.1.1")


def _iter_bulkdata(client: DICOMwebClient, origin: str) -> None:
    assert list(client.iter_bulkdata(pixels_address(client, origin))) == [expected_frame(2)]


def _retrieve_bulkdata(client: DICOMwebClient, origin: str) -> None:
    address = pixels_address(client, origin)
    assert client.retrieve_bulkdata(address) == [expected_frame(2)]
    assert client.retrieve_bulkdata(address, ("application/octet-stream",)) == [expected_frame(2)]
    # PS3.18 8.6.1.3 knows ranges of a single part only; the client asks for multipart even so.
    assert expected_frame(2)[:100] in client.retrieve_bulkdata(address, byte_range=(0, 99))[0]


def _retrieve_frames(client: DICOMwebClient, origin: str) -> None:
    assert client.retrieve_instance_frames(*INSTANCE, [1]) == [expected_frame(2)]
    octets = (("application/octet-stream", EXPLICIT),)
    assert client.retrieve_instance_frames(*INSTANCE, [1], octets) == [expected_frame(2)]
    dataset = pydicom.dcmread(str(get_testdata_file("examples_ybr_color.dcm")))
    uids = (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
    first, third = client.retrieve_instance_frames(*uids, [1, 3])
    shape = (dataset.Rows, dataset.Columns, 3)
    decoded = dataset.pixel_array
    for found, frame in ((first, 0), (third, 2)):
        difference = np.frombuffer(found, "u1").reshape(shape).astype(int) - decoded[frame].astype(int)
        assert abs(difference).max() <= 2  # JPEG decoders round differently


def _iter_frames(client: DICOMwebClient, origin: str) -> None:
    assert list(client.iter_instance_frames(*INSTANCE, [1])) == [expected_frame(2)]


def _frames_rendered(client: DICOMwebClient, origin: str) -> None:
    found = picture(client.retrieve_instance_frames_rendered(*INSTANCE, [1]))
    assert (found.size, found.mode) == ((128, 128), "L")
    png = client.retrieve_instance_frames_rendered(*INSTANCE, [1], ("image/png",), {"window": "40,400,linear"})
    assert picture(png).format == "PNG"


def _instance_rendered(client: DICOMwebClient, origin: str) -> None:
    assert picture(client.retrieve_instance_rendered(*INSTANCE)).format == "JPEG"
    small = client.retrieve_instance_rendered(*INSTANCE, ("image/png",), {"viewport": "32,32"})
    assert picture(small).size == (32, 32)


def _series_rendered(client: DICOMwebClient, origin: str) -> None:
    assert client.retrieve_series_rendered(*SERIES)
    assert client.retrieve_series_rendered(*SERIES, ("image/jpeg",))


def _retrieve_instance(client: DICOMwebClient, origin: str) -> None:
    same(client.retrieve_instance(*INSTANCE), 2)
    same(client.retrieve_instance(*INSTANCE, (("application/dicom", "*"),)), 2)


def _retrieve_several(retrieve: Callable[..., Any], *uids: str) -> None:
    for media_types in (
        None,
        ("application/dicom",),
        (("application/dicom", "*"),),
        (("application/dicom", EXPLICIT),),
    ):
        found = list(retrieve(*uids, media_types=media_types))
        assert len(found) == SLICES
        for number, dataset in enumerate(found, start=1):
            same(dataset, number)


def _metadata(found: list[dict[str, Any]]) -> None:
    assert [one["00080018"]["Value"] for one in found] == [[f"1.2.3.1.{number}"] for number in range(1, SLICES + 1)]
    assert [one["00200013"]["Value"] for one in found] == [[number] for number in range(1, SLICES + 1)]


def _instance_metadata(client: DICOMwebClient, origin: str) -> None:
    found = client.retrieve_instance_metadata(*INSTANCE)
    assert pydicom.Dataset.from_json(found, lambda uri: None).PatientID == "1CT1"


def _search(search: Callable[..., list[dict[str, Any]]], tag: str, uid: str, **keys: Any) -> None:
    found = search(search_filters={"StudyInstanceUID": "1.2.3"}, **keys)
    assert uid in [one[tag]["Value"][0] for one in found]
    assert search(limit=1, offset=0, **keys) == search(**keys)[:1]
    assert search(fuzzymatching=True, search_filters={"PatientName": "compressed*"}, **keys)
    fields = search(fields=["PatientComments", "00081030"], search_filters={"StudyInstanceUID": "1.2.3"}, **keys)
    assert "00104000" in fields[0]
    assert search(limit=2, get_remaining=True, **keys) == search(**keys)


def _store(client: DICOMwebClient, origin: str) -> None:
    for study, given in (("1.2.20", "1.2.20"), ("1.2.21", None)):
        answer = client.store_instances([ct(number, study) for number in (1, 2)], given)
        assert len(answer.ReferencedSOPSequence) == 2
        assert "FailedSOPSequence" not in answer
        assert len(client.search_for_instances(study)) == 2
        found = client.retrieve_instance(study, f"{study}.1", f"{study}.1.2")
        assert found.to_json_dict() == ct(2, study).to_json_dict()


def _retry(client: DICOMwebClient, origin: str) -> None:
    client.set_http_retry_params(retry=True, max_attempts=2)
    assert client.search_for_studies(limit=1)


def _chunks(client: DICOMwebClient, origin: str) -> None:
    """What it stores then comes in a chunked body, too."""
    client.set_chunk_size(1000)
    answer = client.store_instances([ct(1, "1.2.22")])
    assert len(answer.ReferencedSOPSequence) == 1
    assert client.retrieve_instance("1.2.22", "1.2.22.1", "1.2.22.1.1").PixelData == ct(1, "1.2.22").PixelData


CALLS: dict[str, Callable[[DICOMwebClient, str], None]] = {
    "delete_instance": _delete_instance,
    "delete_series": _delete_series,
    "delete_study": _delete_study,
    "iter_bulkdata": _iter_bulkdata,
    "iter_instance_frames": _iter_frames,
    "iter_series": lambda client, _: _retrieve_several(client.iter_series, *SERIES),
    "iter_study": lambda client, _: _retrieve_several(client.iter_study, "1.2.3"),
    "retrieve_bulkdata": _retrieve_bulkdata,
    "retrieve_instance": _retrieve_instance,
    "retrieve_instance_frames": _retrieve_frames,
    "retrieve_instance_frames_rendered": _frames_rendered,
    "retrieve_instance_metadata": _instance_metadata,
    "retrieve_instance_rendered": _instance_rendered,
    "retrieve_series": lambda client, _: _retrieve_several(client.retrieve_series, *SERIES),
    "retrieve_series_metadata": lambda client, _: _metadata(client.retrieve_series_metadata(*SERIES)),
    "retrieve_series_rendered": _series_rendered,
    "retrieve_study": lambda client, _: _retrieve_several(client.retrieve_study, "1.2.3"),
    "retrieve_study_metadata": lambda client, _: _metadata(client.retrieve_study_metadata("1.2.3")),
    "search_for_instances": lambda client, _: _search(client.search_for_instances, "00080018", INSTANCE[2]),
    "search_for_series": lambda client, _: _search(client.search_for_series, "0020000E", SERIES[1]),
    "search_for_studies": lambda client, _: _search(client.search_for_studies, "0020000D", "1.2.3"),
    "set_chunk_size": _chunks,
    "set_http_retry_params": _retry,
    "store_instances": _store,
}
_OF_THE_NETWORK = {
    name
    for name, _ in inspect.getmembers(DICOMwebClient, inspect.isfunction)
    if not name.startswith(("_", "lookup_"))  # those look into pydicom's dictionary
}


def test_no_call_of_the_client_is_left_out() -> None:
    assert set(CALLS) == _OF_THE_NETWORK


@pytest.mark.parametrize("call", sorted(CALLS))
def test_the_client_can(call: str, client: DICOMwebClient, origin: str) -> None:
    CALLS[call](client, origin)
