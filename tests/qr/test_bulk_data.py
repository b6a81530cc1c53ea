"""Values of instances: found by their way down, and nothing is left open."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.qr.bulk_data import BulkValue, NoSuchValue, parse_way
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
