"""Files that come into the index late, when something has been decided about their like, or is just being."""

import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from apps.accounts.principal import system
from apps.storage import archive, records, reindex
from apps.storage.index import index_batch
from apps.storage.models import ArchiveRecord, DeletedInstance, Instance, QuarantinedInstance
from apps.storage.received import Received
from apps.storage.spool import spool
from apps.storage.store import store
from tests.storage.made import provenance, receive
from tests.storage.rows import difference, rows

pytestmark = pytest.mark.django_db(transaction=True)

ADMIN = system("admin")


def take(name: str, policy: str = "keep_first") -> Received:
    """A version of one instance."""
    return receive(source=provenance(policy=policy), series_description=name)


def index(*files: Received) -> None:
    for one in files:
        index_batch([one], spool())


def row(version: Received) -> QuarantinedInstance:
    return QuarantinedInstance.objects.get(name=version.name)


def reindexed() -> dict[str, Any]:
    reindex.clear()
    assert not reindex.reindex(lambda done: None).failed
    return rows()


def test_a_study_is_deleted_with_the_file_that_an_indexer_is_about_to_put_in_the_place_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late, first = take("same"), take("same")
    index(first)
    settled = threading.Event()

    def stop_before_the_commit(step: str) -> bool:
        if step == "index.settled":
            settled.set()
            time.sleep(1)
        return False

    monkeypatch.setattr("apps.storage.index.failpoint", stop_before_the_commit)

    def arrive() -> None:
        try:
            index(late)
        finally:
            connection.close()

    indexer = threading.Thread(target=arrive)
    indexer.start()
    assert settled.wait(30)
    archive.delete(principal=ADMIN, study_instance_uid="1.2.3")
    indexer.join()
    assert not Instance.objects.exists()
    deleted = DeletedInstance.objects.get()
    assert deleted.name == late.name
    assert store().exists(deleted.path)
    archive.restore(principal=ADMIN, deletion=deleted.record)
    assert store().exists(Instance.objects.get().path)


@pytest.fixture
def replaced() -> tuple[Received, str]:
    """A version that an administrator has replaced by another; and the name of the record."""
    first, second = take("first"), take("second")
    index(first, second)
    archive.accept(principal=ADMIN, name=second.name)
    return first, ArchiveRecord.objects.get().name


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_record_that_is_lost_or_damaged_keeps_no_image_out_and_blanks_no_name(
    replaced: tuple[Received, str], damage: Any
) -> None:
    first, record = replaced
    assert row(first).resolved_by == "admin"
    records._decider.cache_clear()
    damage(Path(settings.ARCHIVE, records._path(record)))
    third = take("third")
    index(third)
    assert (row(first).resolved_by, row(third).state) == ("admin", "open")


def test_who_decided_is_whose_record_has_that_time(replaced: tuple[Received, str]) -> None:
    at = records.read(replaced[1]).at
    assert records.who_decided(at) == "admin"
    assert records.who_decided(at + 1) == ""


def test_a_version_that_is_discarded_keeps_its_policy_from_an_index_that_did_not_know_it() -> None:
    oldest, forced, newest = take("oldest"), take("forced", "make_current"), take("newest")
    index(oldest, forced, newest)
    archive.accept(principal=ADMIN, name=newest.name)
    QuarantinedInstance.objects.update(duplicate_policy=None)  # as the migration leaves it
    archive.discard(principal=ADMIN, name=forced.name)
    archive.purge(principal=ADMIN, before=timedelta(0))
    before = rows()
    assert row(oldest).state == "open"
    assert [line for line in difference(before, reindexed()) if "duplicate_policy" not in line] == []
