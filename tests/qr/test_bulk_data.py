"""Values of instances: found by their way down, and nothing is left open."""

import os

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.qr.bulk_data import NoSuchValue, parse_way
from tests.storage import made

PATH = "/dicomweb/studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.1.1/bulkdata"


def test_a_way_is_tags_with_numbers_of_items_between() -> None:
    assert parse_way("7FE00010") == [0x7FE00010]
    assert parse_way("00081110/12/0042001a") == [0x00081110, 12, 0x0042001A]


@pytest.mark.parametrize("text", ["", "/", "7FE0001", "00081110/0", "00081110/x/00420011", "0/00081110", "PixelData"])
def test_what_is_no_way_names_no_value(text: str) -> None:
    with pytest.raises(NoSuchValue):
        parse_way(text)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("accept", ["*/*", "application/octet-stream", 'multipart/related; type="*/*"'])
def test_an_answer_that_nobody_reads_to_its_end_leaves_nothing_open(client: Client, folders: None, accept: str) -> None:
    made.receive(pixels=bytes(1 << 20))
    made.index()
    client.force_login(User.objects.create_superuser("admin"))
    before = len(os.listdir("/proc/self/fd"))
    for way, status in [("7FE00010", 200), ("7FE00099", 404)] * 5:
        answer = client.get(f"{PATH}/{way}", HTTP_ACCEPT=accept)
        assert answer.status_code == status
        if status == 200:
            next(iter(answer))
        answer.close()
    assert len(os.listdir("/proc/self/fd")) <= before
