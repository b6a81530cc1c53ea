"""The cache on disk: bounded, shared by processes, and never in anybody's way."""

import errno
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings as Settings

from apps import failpoints
from apps.storage.cache import Cache

MIB = 1 << 20


@pytest.fixture(autouse=True)
def data(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA = tmp_path
    settings.MINIMUM_FREE = 0
    return tmp_path


@pytest.fixture
def full_disk() -> Iterator[None]:
    failpoints.arm("cache.full:skip:3")
    yield
    failpoints.arm("")


def files(data: Path) -> list[Path]:
    return [path for path in data.rglob("*") if path.is_file() and path.name != ".sweeping"]


def age(data: Path, key: str, seconds: float) -> None:
    (path,) = data.rglob(key)
    then = time.time() - seconds
    os.utime(path, (then, then))


def content(cache: Cache, key: str) -> bytes | None:
    file = cache.read(key)
    if file is None:
        return None
    with file:
        return file.read()


def test_what_was_written_is_read_until_another_revision_is_asked_for() -> None:
    cache = Cache("pictures", MIB)
    with cache.write("7-1-small", [b"a pic", b"ture"]) as file:
        assert file.read() == b"a picture"
    assert content(cache, "7-1-small") == b"a picture"
    assert content(cache, "7-2-small") is None
    assert content(Cache("thumbnails", MIB), "7-1-small") is None


def test_what_is_made_step_by_step_is_there_when_it_is_kept(data: Path) -> None:
    cache = Cache("metadata", MIB)
    with cache.making("7-1") as entry:
        entry.add(b"one")
        entry.add(b"two")
        assert content(cache, "7-1") is None
        entry.keep()
    assert content(cache, "7-1") == b"onetwo"
    with cache.making("8-1") as entry:
        entry.add(b"one")
    assert content(cache, "8-1") is None
    assert len(files(data)) == 1


def test_a_maker_that_fails_leaves_nothing(data: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Cache("pictures", MIB).write("7-1", pieces())
    assert not files(data)


def test_the_least_recently_used_goes_first_and_the_rest_fits(data: Path) -> None:
    cache = Cache("pictures", MIB)
    for number in range(200):
        cache.write(f"{number}-1", [bytes(16_384)]).close()
        age(data, f"{number}-1", 10_000 - number)
        if number > 20:
            assert content(cache, "20-1") is not None  # being read keeps it
        assert sum(path.stat().st_size for path in files(data)) <= MIB
    assert content(cache, "0-1") is None
    assert content(cache, "199-1") is not None


def test_many_small_entries_count_as_what_they_take_on_disk(data: Path) -> None:
    cache = Cache("pictures", MIB)
    for number in range(400):
        cache.write(f"{number}-1", [b"x"]).close()
    assert len(files(data)) <= MIB // 4096


def test_a_new_process_looks_at_what_others_have_left(data: Path) -> None:
    for number in range(100):
        Cache("pictures", 100 * MIB).write(f"{number}-1", [bytes(16_384)]).close()
    Cache("pictures", MIB).write("new-1", [b"x"]).close()
    assert sum(path.stat().st_size for path in files(data)) <= MIB


def test_the_entries_of_an_owner_go_but_for_those_of_its_revision() -> None:
    cache = Cache("pictures", MIB)
    for key in ("7-1-a", "7-2-a", "7-2-b", "77-1-a"):
        cache.write(key, [b"x"]).close()
    cache.remove("7", but="7-2-")
    left = [key for key in ("7-1-a", "7-2-a", "7-2-b", "77-1-a") if content(cache, key)]
    assert left == ["7-2-a", "7-2-b", "77-1-a"]
    cache.remove("8")


def test_the_folder_may_be_removed_at_any_time(data: Path) -> None:
    cache = Cache("pictures", MIB)
    cache.write("7-1", [b"x"]).close()
    shutil.rmtree(data / "cache")
    assert content(cache, "7-1") is None
    cache.sweep()
    cache.write("7-1", [b"y"]).close()
    assert content(cache, "7-1") == b"y"


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_costs_the_entry_and_not_the_request(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache("pictures", MIB)
    pieces = [b"one", b"two", b"three", b"four"]
    with cache.write("7-1", pieces) as file:
        assert file.read() == b"onetwothreefour"
    assert not files(data)
    failpoints.arm("cache.full:skip")
    with cache.making("7-1") as entry:
        assert not entry.add(b"one")
        entry.keep()
    assert not files(data)
    assert len(caplog.records) == 1
    assert os.strerror(errno.ENOSPC) in caplog.text


def test_what_intake_leaves_free_is_left_alone(data: Path, settings: Settings) -> None:
    settings.MINIMUM_FREE = 1 << 60
    with Cache("pictures", MIB).write("7-1", [b"one", b"two"]) as file:
        assert file.read() == b"onetwo"
    assert not files(data)


@pytest.mark.parametrize("key", ["", "../7", "a/b", ".7-1", "7\0", "x" * 201])
def test_keys_are_names(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        Cache("pictures", MIB).read(key)


def _entry(key: str) -> list[bytes]:
    return [key.encode(), bytes(10_000), key.encode()]


def _write_and_read(number: int) -> list[str]:
    """Keys whose entries were not what they should be."""
    cache = Cache("pictures", MIB // 2)
    wrong = []
    for turn in range(200):
        key, other = f"{turn % 40}-1", f"{(turn + number) % 40}-1"
        with cache.write(key, _entry(key)) as file:
            if file.read() != b"".join(_entry(key)):
                wrong.append(key)
        if content(cache, other) not in (None, b"".join(_entry(other))):
            wrong.append(other)
    return wrong


def test_several_processes_write_read_and_make_room_at_once(data: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.map(_write_and_read, range(4)) == [[]] * 4
    assert not [path for path in files(data) if path.name.startswith(".")]
    assert sum(path.stat().st_size for path in files(data)) <= MIB // 2
