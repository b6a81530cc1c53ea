"""Values of instances: found by their way down, and nothing is left open."""

import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from django.contrib.auth.models import User
from django.test import Client

from apps.qr.bulk_data import BulkValue, NoSuchValue, parse_way
from tests.node import Node
from tests.qr.web import CT, OTHER, RLE, url
from tests.storage import made

PATH = "/dicomweb/studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.1.1/bulkdata"


def test_a_way_is_tags_with_numbers_of_items_between() -> None:
    assert parse_way("7FE00010") == [0x7FE00010]
    assert parse_way("00081110/12/0042001a") == [0x00081110, 12, 0x0042001A]


@pytest.mark.parametrize("text", ["", "/", "7FE0001", "00081110/0", "00081110/x/00420011", "0/00081110", "PixelData"])
def test_what_is_no_way_names_no_value(text: str) -> None:
    with pytest.raises(NoSuchValue):
        parse_way(text)


@pytest.mark.parametrize("accept", ["*/*", "application/octet-stream", 'multipart/related; type="*/*"'])
def test_an_answer_that_nobody_reads_to_its_end_is_closed(
    client: Client, folders: None, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    closed: list[BulkValue] = []
    monkeypatch.setattr(BulkValue, "close", lambda value: closed.append(value))
    made.receive(pixels=bytes(1 << 20))
    made.index()
    client.force_login(User.objects.create_superuser("admin"))
    answer = client.get(f"{PATH}/7FE00010", HTTP_ACCEPT=accept)
    next(iter(answer))
    assert closed == []
    answer.close()
    assert closed
    assert client.get(f"{PATH}/7FE00099", HTTP_ACCEPT=accept).status_code == 404


INSTANCE = "/studies/1.2.3.5/series/1.2.3.5.1/instances/1.2.3.5.1.1"


@pytest.mark.live
def test_the_client_gets_the_bulk_data_that_metadata_names(web: Node, dicomweb: DICOMwebClient) -> None:
    for study in ("1.2.3.5", str(pydicom.dcmread(RLE).StudyInstanceUID)):
        for instance in dicomweb.retrieve_study_metadata(study):
            address = instance["7FE00010"]["BulkDataURI"]
            (value,) = dicomweb.retrieve_bulkdata(f"http://{web.host}:{web.http_port}{address}")
            path = CT if study == "1.2.3.5" else RLE
            assert value == pydicom.dcmread(path).pixel_array.tobytes()


@pytest.mark.live
def test_a_value_comes_whole_or_in_part(web: Node, session: requests.Session) -> None:
    address = url(web, f"{INSTANCE}/bulkdata/7FE00010")
    whole = session.get(address, headers={"Accept": "application/octet-stream"})
    assert whole.content == pydicom.dcmread(CT).PixelData
    assert whole.headers["Content-Length"] == str(len(whole.content))
    part = session.get(address, headers={"Accept": "application/octet-stream", "Range": "bytes=1001-2002"})
    assert (part.status_code, part.content) == (206, whole.content[1001:2003])
    assert part.headers["Content-Range"] == f"bytes 1001-2002/{len(whole.content)}"
    beyond = session.get(address, headers={"Accept": "application/octet-stream", "Range": "bytes=99999999-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(whole.content)}")


@pytest.mark.live
def test_big_endian_values_come_in_little_endian_wherever_one_begins(web: Node, session: requests.Session) -> None:
    study = pydicom.dcmread(RLE)
    address = url(
        web,
        f"/studies/{study.StudyInstanceUID}/series/{study.SeriesInstanceUID}/instances/{OTHER}/bulkdata/7FE00010",
    )
    pixels = study.pixel_array.tobytes()
    for start, stop in ((0, len(pixels)), (3, 4), (1, 10), (5, len(pixels) - 3)):
        headers = {"Accept": "application/octet-stream", "Range": f"bytes={start}-{stop - 1}"}
        assert session.get(address, headers=headers).content == pixels[start:stop]


@pytest.mark.parametrize("way", ["7FE00099", "00080018/0/00080018", "PixelData", "x", "00081140/0"])
@pytest.mark.live
def test_a_value_that_is_not_there_is_404(web: Node, session: requests.Session, way: str) -> None:
    assert session.get(url(web, f"{INSTANCE}/bulkdata/{way}")).status_code == 404
