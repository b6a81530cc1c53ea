"""`manage.py listener`: rows of a deployment made by a script."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from apps.audit.models import AuditEvent
from apps.network.models import ConfigVersion, Listener
from apps.network.rules import Rules
from dicom.sop_classes import Service

pytestmark = pytest.mark.django_db


def listener(*arguments: Any) -> str:
    out = StringIO()
    call_command("listener", *arguments, stdout=out)
    return out.getvalue()


def test_a_row_is_made_with_what_it_offers_and_told_to_the_listeners() -> None:
    before = ConfigVersion.objects.get().version
    said = listener("query", "PACS@0.0.0.0:11113", "--services", "find,move", "--balancers", "10.0.0.1,10.1.0.0/16")
    row = Listener.objects.get(name="query")
    assert (row.ae_title, row.host, row.port, row.services) == ("PACS", "0.0.0.0", 11113, ["find", "move"])
    assert row.balancers.split() == ["10.0.0.1", "10.1.0.0/16"]
    assert ConfigVersion.objects.get().version > before
    assert said.strip() == "Listener query: PACS@0.0.0.0:11113, offers find, move"
    assert AuditEvent.objects.filter(action="add", object_kind="listener", object_uid="query").exists()


def test_a_new_row_offers_everything_and_a_changed_one_keeps_what_is_not_named() -> None:
    listener("store", "PACS@[::]:104")
    assert Listener.objects.get(name="store").services == [str(service) for service in Service]
    listener("store", "--services=store")
    listener("store", "ARCHIVE@127.0.0.1:105")
    row = Listener.objects.get(name="store")
    assert (row.ae_title, row.host, row.port, row.services) == ("ARCHIVE", "127.0.0.1", 105, ["store"])


def test_a_row_is_closed_opened_and_deleted() -> None:
    listener("store", "PACS@127.0.0.1:104")
    listener("store", "--disable")
    assert Rules.load().listener("store") is None
    listener("store")
    assert Rules.load().listener("store") is not None
    listener("store", "--delete")
    assert not Listener.objects.filter(name="store").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["new"], "There is no listener 'new'"),
        (["new", "--delete"], "There is no listener 'new'"),
        (["new", "PACS"], "AET@HOST:PORT"),
        (["new", "PACS@127.0.0.1:104", "--services", "dance"], "A list of services"),
        (["new", "PACS@127.0.0.1:104", "--balancers", "lb.example"], "neither an address nor a network"),
        (["new", "A-TITLE-THAT-IS-TOO-LONG@127.0.0.1:104"], "16"),
    ],
)
def test_what_cannot_be_is_said(arguments: list[str], why: str) -> None:
    with pytest.raises(CommandError, match=why):
        listener(*arguments)
    assert not Listener.objects.filter(name="new").exists()


def test_a_field_that_the_environment_decides_stays() -> None:
    Listener.objects.create(name="default", ae_title="PACS", host="127.0.0.1", port=104, locked=["port"])
    with pytest.raises(CommandError, match="environment"):
        listener("default", "PACS@127.0.0.1:105")
