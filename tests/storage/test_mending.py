"""The same instance, sent again while its file is broken, takes the place of that."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.accounts.principal import system
from apps.failpoints import FailpointError, arm
from apps.jobs import queue, runner
from apps.storage import archive, intake, placement
from apps.storage.index import index_batch
from apps.storage.models import DamagedFile, Instance, QuarantinedInstance
from apps.storage.spool import spool
from apps.storage.store import store
from tests.storage import made

pytestmark = pytest.mark.django_db(transaction=True)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


def verify() -> None:
    queue.submit(kind="verify", principal=system("test"), arguments={"rate": 0})
    runner.run_due()


def kept(uid: str = "1.5.1") -> bytes:
    with archive.open(Instance.objects.get(sop_instance_uid=uid)) as opened:
        return bytes(memoryview(Path(f"/proc/self/fd/{opened.fd}").read_bytes())[opened.dataset_offset :])


@pytest.mark.parametrize("harm", [flip, Path.unlink])
def test_a_broken_file_gives_its_place_to_the_same_data_set(harm: Callable[[Path], None]) -> None:
    made.receive(sop="1.5.1", pixels=b"\1\2" * 8)
    made.index()
    before, content = Instance.objects.get(), kept()
    harm(placement.path_of(before.path))
    verify()
    assert DamagedFile.objects.get().is_open
    made.receive(sop="1.5.1", pixels=b"\1\2" * 8)
    made.index()
    now = Instance.objects.get()
    assert (now.name != before.name, now.digest, kept()) == (True, before.digest, content)
    assert not DamagedFile.objects.filter(is_open=True).exists()
    assert not placement.path_of(before.path).exists()
    verify()
    assert not DamagedFile.objects.filter(is_open=True).exists()


def shorten(path: Path) -> None:
    path.chmod(0o600)
    os.truncate(path, path.stat().st_size - 2)


@pytest.mark.parametrize(
    ("harm", "fault"), [(Path.unlink, "The file is missing"), (shorten, "The file has {kept} bytes of {size}")]
)
def test_a_file_that_nobody_has_missed_yet_is_missed_when_its_data_set_comes_again(
    harm: Callable[[Path], None], fault: str
) -> None:
    made.receive(sop="1.5.1", pixels=b"\1\2" * 8)
    made.receive(sop="1.5.2")
    made.index()
    before, content = Instance.objects.get(sop_instance_uid="1.5.1"), kept("1.5.1")
    size = placement.path_of(before.path).stat().st_size
    harm(placement.path_of(before.path))
    for _ in range(2):
        made.receive(sop="1.5.1", pixels=b"\1\2" * 8)
    made.receive(sop="1.5.2")
    made.index()
    now = Instance.objects.get(sop_instance_uid="1.5.1")
    assert (now.name != before.name, now.digest, kept("1.5.1")) == (True, before.digest, content)
    noted = DamagedFile.objects.get()
    assert (noted.name, noted.is_open) == (before.name, False)
    assert (noted.fault, noted.found_by) == (
        fault.format(kept=size - 2, size=size),
        "the same data set, sent again",
    )
    assert Instance.objects.count() == 2
    assert len(list(store().places())) == 2


def test_a_worker_that_dies_before_it_has_looked_looks_when_it_is_back() -> None:
    made.receive(sop="1.5.1")
    made.index()
    placement.path_of(Instance.objects.get().path).unlink()
    again = made.receive(sop="1.5.1")
    intake.hand_over()
    arm("index.committed:raise")
    try:
        with pytest.raises(FailpointError):
            index_batch([again], spool())
    finally:
        arm("")
    made.index()
    assert kept()


def test_it_stands_where_the_broken_one_stood_among_the_versions() -> None:
    made.receive(sop="1.5.1")
    made.index()
    made.receive(sop="1.5.1", name="Other^Name")
    made.index()
    first = Instance.objects.get()
    flip(placement.path_of(first.path))
    verify()
    made.receive(sop="1.5.1")
    made.index()
    assert Instance.objects.get().digest == first.digest
    assert QuarantinedInstance.objects.get().digest != first.digest
    made.receive(sop="1.5.1", name="Third^Name")
    made.index()
    assert Instance.objects.get().digest == first.digest
    assert QuarantinedInstance.objects.count() == 2


def test_a_sound_file_stays_and_what_comes_again_is_not_kept() -> None:
    made.receive(sop="1.5.1")
    made.index()
    before = Instance.objects.get()
    made.receive(sop="1.5.1")
    made.index()
    assert Instance.objects.get().name == before.name
