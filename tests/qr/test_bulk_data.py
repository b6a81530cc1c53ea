"""Values of instances: found by their way down, and nothing is left open."""

import gc

import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from django.contrib.auth.models import User
from django.test import Client
from pydicom.encaps import generate_fragments, generate_frames

from apps.qr.bulk_data import BulkValue, NoSuchValue, parse_way
from tests.node import Node
from tests.qr.web import CT, OTHER, RLE, RLE_LOSSLESS, url
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
    gc.collect()  # what other tests have left unread
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


ALL = 'multipart/related; type="application/octet-stream"'


@pytest.mark.live
@pytest.mark.parametrize("path", ["", "/series/1.2.3.5.1", "/series/1.2.3.5.1/instances/1.2.3.5.1.1"])
@pytest.mark.parametrize("accept", [ALL, 'multipart/related; type="*/*"', "*/*"])
def test_all_values_come_with_the_addresses_that_metadata_has(
    web: Node, session: requests.Session, path: str, accept: str
) -> None:
    metadata = session.get(url(web, f"/studies/1.2.3.5{path}/metadata")).json()
    wanted = {one["BulkDataURI"] for one in metadata[0].values() if "BulkDataURI" in one}
    answer = session.get(url(web, f"/studies/1.2.3.5{path}/bulkdata"), headers={"Accept": accept})
    assert answer.status_code == 200
    found = located(answer)
    assert found.keys() == wanted
    (pixels,) = [body for address, body in found.items() if address.endswith("7FE00010")]
    assert pixels == pydicom.dcmread(CT).PixelData
    assert session.get(url(web, f"/studies/1.2.3.5{path}/bulkdata"), headers={"Accept": "image/png"}).status_code == 406


def located(answer: requests.Response) -> dict[str, bytes]:
    """Bodies of parts by Content-Location."""
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
    pieces = [part.partition(b"\r\n\r\n") for part in answer.content.split(b"\r\n--" + boundary)[1:-1]]
    return {head.decode().partition("Content-Location: ")[2].split("\r\n")[0]: body for head, _, body in pieces}


@pytest.mark.live
def test_compressed_pixels_come_decoded_or_as_they_are_stored(web: Node, session: requests.Session) -> None:
    rle = pydicom.dcmread(RLE)
    path = f"/studies/{rle.StudyInstanceUID}/series/{rle.SeriesInstanceUID}/instances/{rle.SOPInstanceUID}/bulkdata"
    decoded = session.get(url(web, f"{path}/7FE00010"), headers={"Accept": "application/octet-stream"})
    assert decoded.content == rle.pixel_array.tobytes()
    for syntax in ("*", RLE_LOSSLESS):
        accept = f"application/octet-stream; transfer-syntax={syntax}"
        stored = session.get(url(web, f"{path}/7FE00010"), headers={"Accept": accept})
        assert stored.headers["Content-Type"] == f"application/octet-stream; transfer-syntax={RLE_LOSSLESS}"
        assert list(generate_fragments(stored.content))[1] == next(generate_frames(rle.PixelData, number_of_frames=1))
    other = {"Accept": "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.90"}
    assert session.get(url(web, f"{path}/7FE00010"), headers=other).status_code == 406
    whole = session.get(url(web, path), headers={"Accept": f"{ALL}; transfer-syntax=*"})
    assert list(located(whole).values()) == [stored.content]


def test_a_document_comes_as_what_it_is(client: Client, folders: None) -> None:
    pdf = b"%PDF-1.4 as it were" + bytes(3000)
    element = b"\x42\0\x11\0OB\0\0" + len(pdf).to_bytes(4, "little") + pdf
    sop_class = "1.2.840.10008.5.1.4.1.1.104.1"
    made.receive(made.data_set(sop_class=sop_class) + element, sop_class=sop_class)
    made.index()
    client.force_login(User.objects.create_superuser("admin"))
    answer = client.get(f"{PATH}/00420011")
    assert answer.headers["Content-Type"] == "application/pdf"
    assert b"".join(answer) == pdf
    for accept in ("application/octet-stream", 'multipart/related; type="application/octet-stream"'):
        assert client.get(f"{PATH}/00420011", HTTP_ACCEPT=accept).headers["Content-Type"].startswith(accept)


def test_where_there_are_no_large_values_it_is_404(client: Client, folders: None) -> None:
    made.receive()
    made.index()
    client.force_login(User.objects.create_superuser("admin"))
    metadata = client.get(f"{PATH.removesuffix('/bulkdata')}/metadata").json()
    status = 200 if any("BulkDataURI" in element for element in metadata[0].values()) else 404
    assert client.get(PATH).status_code == status
    assert client.get("/dicomweb/studies/9.9/bulkdata").status_code == 404


@pytest.mark.parametrize(("vr", "unit"), [("OV", 8), ("OD", 8), ("OF", 4), ("OL", 4), ("SV", 8), ("UV", 8)])
def test_wide_numbers_come_in_little_endian(client: Client, folders: None, vr: str, unit: int) -> None:
    numbers = bytes(range(256)) * 8
    head = b"\x7f\xe1\x10\x10" + vr.encode() + b"\0\0" + len(numbers).to_bytes(4, "big")
    big = "1.2.840.10008.1.2.2"
    made.receive(made.data_set(transfer_syntax_uid=big) + head + numbers, transfer_syntax_uid=big)
    made.index()
    client.force_login(User.objects.create_superuser("admin"))
    got = b"".join(client.get(f"{PATH}/7FE11010"))
    assert got == b"".join(numbers[at : at + unit][::-1] for at in range(0, len(numbers), unit))
