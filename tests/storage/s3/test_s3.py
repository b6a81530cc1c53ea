"""Files of the archive in a bucket."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ReadTimeoutError
from django.test import Client
from pytest_django import Settings

from apps.accounts.principal import system
from apps.failpoints import FailpointError, arm
from apps.storage import archive as the_archive
from apps.storage import examining, reindex
from apps.storage.archive import Gone
from apps.storage.index import STEPS, index_batch
from apps.storage.indexer import Unavailable
from apps.storage.models import DamagedFile, DeletedInstance, FailedFile, Instance, QuarantinedInstance
from apps.storage.s3 import S3Store
from apps.storage.spool import spool
from apps.storage.store import Away, store
from tests.node import free_port, wait_for
from tests.qr.files import keep
from tests.storage.made import data_set, index, receive
from tests.storage.rows import difference, rows
from tests.storage.s3.bucket import BUCKET, PREFIX, Server

pytestmark = pytest.mark.django_db(transaction=True)

ADMIN = system("test")


def forget_copies(settings: Settings) -> None:
    shutil.rmtree(Path(settings.DATA) / "cache", ignore_errors=True)


def copies(settings: Settings) -> list[str]:
    return sorted(path.name for path in (Path(settings.DATA) / "cache" / "archive").glob("??/*"))


def data(sop_instance_uid: str) -> bytes:
    with the_archive.open(Instance.objects.get(sop_instance_uid=sop_instance_uid)) as opened:
        return os.pread(opened.fd, opened.size, opened.dataset_offset)


def test_an_image_is_in_the_bucket_whole_before_the_spool_lets_it_go(bucket: Server, archive: Path) -> None:
    kept = keep(1, 2, 3)
    assert spool().waiting() == []
    places = Instance.objects.order_by("name").values_list("path", flat=True)
    assert bucket.images() == [f"{PREFIX}/{place}" for place in places]
    for key, uid in zip(bucket.images(), sorted(kept), strict=True):
        assert bucket.content(key).endswith(kept[uid])
    assert not archive.exists()


def test_what_was_stored_here_is_read_from_the_disk_and_elsewhere_from_the_bucket(
    bucket: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = keep(1, 2)
    with monkeypatch.context() as patched:
        patched.setattr(S3Store, "_download", lambda *_: pytest.fail("it is here"))
        assert {uid: data(uid) for uid in kept} == kept
    forget_copies(settings)
    assert {uid: data(uid) for uid in kept} == kept
    assert copies(settings) == sorted(Instance.objects.values_list("name", flat=True))


def test_many_who_want_the_same_file_fetch_it_once(
    bucket: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(1)
    row = Instance.objects.get()
    forget_copies(settings)
    fetched = []
    download = S3Store._download

    def count(self: S3Store, place: str, take: Callable[[bytes], bool]) -> bool:
        fetched.append(place)
        return download(self, place, take)

    monkeypatch.setattr(S3Store, "_download", count)

    def read(_: int) -> bytes:
        fd = store().open(row.path)
        try:
            return os.pread(fd, row.size, row.dataset_offset)
        finally:
            os.close(fd)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(read, range(16)))) == 1
    assert fetched == [row.path]


def test_without_room_for_a_copy_a_file_is_read_all_the_same(bucket: Server, settings: Settings) -> None:
    kept = keep(1)
    forget_copies(settings)
    settings.MINIMUM_FREE = 1 << 60
    assert {uid: data(uid) for uid in kept} == kept
    assert copies(settings) == []


def test_copies_are_bounded(bucket: Server, settings: Settings) -> None:
    settings.ARCHIVE_CACHE = 64 * 1024
    for number in range(1, 9):
        keep(number, series="1.2.3.7", pixels=bytes(16 * 1024))
    held = sum(path.stat().st_size for path in (Path(settings.DATA) / "cache" / "archive").glob("??/*"))
    assert 0 < held <= 80 * 1024
    assert len(bucket.images()) == 8


def test_a_file_that_changed_in_the_bucket_is_not_served(bucket: Server, settings: Settings) -> None:
    kept = keep(1)
    (key,) = bucket.images()
    content = bytearray(bucket.content(key))
    content[-1] ^= 1
    bucket.replace(key, bytes(content))
    forget_copies(settings)
    with pytest.raises(OSError, match="differs"):
        data(next(iter(kept)))
    assert copies(settings) == []


def test_a_file_that_is_lost_is_gone_and_a_bucket_that_is_lost_is_not(
    bucket: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = keep(1)
    row = Instance.objects.get()
    forget_copies(settings)
    bucket.empty()
    with pytest.raises(Gone):
        data(next(iter(kept)))
    assert not store().exists(row.path)
    monkeypatch.setattr(S3Store, "_bucket", "elsewhere")
    with pytest.raises(Away):
        store().exists(row.path)
    with pytest.raises(Away):
        data(next(iter(kept)))
    assert "NoSuchBucket" in store().trouble()


def test_a_connection_that_breaks_in_the_middle_goes_on_where_it_was(bucket: Server) -> None:
    keep(1, pixels=bytes(range(256)) * 20_000)
    place = Instance.objects.get().path
    there = store()
    assert isinstance(there, S3Store)
    taken: list[bytes] = []
    broken: list[int] = []

    def breaks_once(piece: bytes) -> bool:
        if taken and not broken:
            broken.append(len(taken))
            raise ReadTimeoutError(endpoint_url="there")
        taken.append(piece)
        return True

    def breaks(piece: bytes) -> bool:
        raise ReadTimeoutError(endpoint_url="there")

    assert there._download(place, breaks_once)
    assert broken == [1]
    assert b"".join(taken) == bucket.content(bucket.images()[0])
    with pytest.raises(Away):
        there._download(place, breaks)


@pytest.mark.parametrize("step", STEPS)
def test_wherever_the_indexer_stops_nothing_is_lost_or_twice(bucket: Server, step: str) -> None:
    taken = [receive(sop=f"1.2.3.1.1.{number}") for number in range(3)]
    taken.append(receive(sop="1.2.3.1.1.0", series_description="another version"))
    arm(f"{step}:raise")
    try:
        with pytest.raises(FailpointError):
            index_batch(taken, spool())
    finally:
        arm("")
    index()
    assert spool().waiting() == []
    assert Instance.objects.count() == 3
    assert QuarantinedInstance.objects.count() == 1
    assert len(bucket.images()) == 4


def test_an_object_that_somebody_has_deleted_is_missed_when_its_data_set_comes_again(bucket: Server) -> None:
    kept = keep(1, 2, 3)
    gone = Instance.objects.get(sop_instance_uid="1.2.3.1.2")
    store().purge(gone.path)
    assert keep(1, 2, 3) == kept
    assert len(bucket.images()) == 3
    now = Instance.objects.get(sop_instance_uid="1.2.3.1.2")
    assert (now.path != gone.path, data("1.2.3.1.2")) == (True, kept["1.2.3.1.2"])
    assert DamagedFile.objects.get().fault == "The file is missing"


def test_while_the_bucket_is_away_images_wait_and_none_is_put_aside(
    bucket: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
        settings.STORAGES = dict(settings.STORAGES)
        away.setattr(store(), "_clients", {})
        receive()
        with pytest.raises(Unavailable, match="does not answer"):
            index()
        assert "Could not connect" in store().trouble()
    assert len(spool().waiting()) == 1
    assert not FailedFile.objects.exists()
    settings.STORAGES = dict(settings.STORAGES)
    index()
    assert (len(spool().waiting()), Instance.objects.count()) == (0, 1)


def test_a_file_that_was_damaged_in_the_spool_is_put_aside_and_the_others_go_on(bucket: Server) -> None:
    good = receive(sop="1.2.3.1.1.1")
    bad = receive(sop="1.2.3.1.1.2")
    path = spool().ready / bad.name
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    index()
    assert list(Instance.objects.values_list("name", flat=True)) == [good.name]
    assert "differs from what was received" in FailedFile.objects.get(name=bad.name).reason
    assert len(bucket.images()) == 1


def test_the_same_again_leaves_one_object(bucket: Server) -> None:
    keep(1)
    keep(1)
    assert len(bucket.images()) == 1


def test_deleted_and_purged_it_is_gone_from_the_bucket_and_the_disk(bucket: Server, settings: Settings) -> None:
    keep(1, 2)
    assert the_archive.delete(principal=ADMIN, study_instance_uid="1.2.3") == 2
    assert len(bucket.images()) == 2
    assert the_archive.restore(principal=ADMIN, deletion=DeletedInstance.objects.all()[0].record) == 2
    the_archive.delete(principal=ADMIN, study_instance_uid="1.2.3")
    assert the_archive.purge(principal=ADMIN, before=timedelta(0)) == 2
    assert bucket.images() == []
    assert copies(settings) == []
    assert len(bucket.keys()) == 4  # delete, restore, delete, purge: the records of decisions stay


def test_the_index_is_made_again_from_the_bucket_alone(bucket: Server, settings: Settings) -> None:
    keep(1, 2, 3)
    receive(sop="1.2.3.1.1", series="1.2.3.1", series_description="another version")
    keep(4, series="1.2.3.2", study="1.2.4")
    the_archive.delete(principal=ADMIN, study_instance_uid="1.2.4")
    before = rows()
    forget_copies(settings)
    reindex.clear()
    report = reindex.reindex(lambda _: None)
    assert (report.failed, report.decisions) == ([], 1)
    assert difference(before, rows()) == []
    assert QuarantinedInstance.objects.count() == 1


def test_of_a_large_image_its_header_alone_is_read_for_the_index(
    bucket: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(1, pixels=bytes(4 << 20))
    row = Instance.objects.get()
    local = store().read(row.path)
    forget_copies(settings)
    ranges = []
    asked = S3Store._range

    def count(self: S3Store, place: str, offset: int, size: int) -> tuple[bytes, int]:
        ranges.append(size)
        return asked(self, place, offset, size)

    monkeypatch.setattr(S3Store, "_range", count)
    far = store().read(row.path)
    assert (far.digest, far.size, far.pixel_offset) == (local.digest, local.size, local.pixel_offset)
    assert far.header.dump() == local.header.dump()
    assert sum(ranges) <= 1 << 17


def test_a_file_larger_than_one_request_goes_in_parts(bucket: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.storage.s3._WHOLE", 5 << 20)
    whole = data_set(pixels=os.urandom(12 << 20))
    receive(whole)
    index()
    (key,) = bucket.images()
    assert bucket.content(key).endswith(whole)


def test_a_file_is_examined_in_the_bucket_and_not_by_the_copy(bucket: Server, settings: Settings) -> None:
    keep(1, 2)
    first, second = Instance.objects.order_by("name")
    assert examining.examine(first, found_by="test") == ""
    changed = bytearray(bucket.content(bucket.images()[1]))
    changed[-1] ^= 1
    bucket.replace(bucket.images()[1], bytes(changed))
    assert "differs" in examining.examine(second, found_by="test", from_disk=True)
    bucket.client.delete_object(Bucket=BUCKET, Key=bucket.images()[0])
    assert len(copies(settings)) == 2
    assert examining.examine(first, found_by="test") == examining.MISSING


def test_while_the_bucket_is_away_no_file_counts_as_damaged_and_no_decision_is_made(
    bucket: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(1, 2)
    row = Instance.objects.order_by("name")[0]
    before = rows()
    forget_copies(settings)
    monkeypatch.setattr(S3Store, "_bucket", "elsewhere")
    for act in (
        lambda: examining.examine(row, found_by="test"),
        lambda: the_archive.delete(
            principal=ADMIN, study_instance_uid="1.2.3", sop_instance_uids=[row.sop_instance_uid]
        ),
        lambda: reindex.reindex(lambda _: None),
    ):
        with pytest.raises(Away):
            act()
    assert not DamagedFile.objects.exists()
    assert difference(before, rows()) == []
    monkeypatch.undo()


def test_while_the_bucket_is_away_the_web_says_so_and_not_that_images_are_gone(
    bucket: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch, admin_client: Client
) -> None:
    keep(1)
    forget_copies(settings)
    with monkeypatch.context() as away:
        away.setattr(S3Store, "_bucket", "elsewhere")
        for path in ("", "/metadata", "/rendered", "/series/1.2.3.1/instances/1.2.3.1.1/frames/1"):
            answer = admin_client.get(f"/dicomweb/studies/1.2.3{path}", headers={"Accept": "*/*"})
            assert (path, answer.status_code) == (path, 503)
            assert answer.headers["Retry-After"]
        answer = admin_client.delete("/dicomweb/studies/1.2.3")
        assert answer.status_code == 503
    assert admin_client.get("/dicomweb/studies/1.2.3/metadata").status_code == 200


def test_what_is_expected_is_fetched_before_its_turn(bucket: Server, settings: Settings) -> None:
    kept = keep(1, 2, 3)
    forget_copies(settings)
    for row in Instance.objects.all():
        the_archive.expect(row)
    wait_for(lambda: len(copies(settings)) == 3, what="the copies")
    assert {uid: data(uid) for uid in kept} == kept
