"""What is sent leaves no faster than it may, evenly, however many send; on a clock of the test's own."""

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dicom.dimse import Association, AssociationEnded, FileSlice, Pace, associate
from tests.dicom.dimse.conftest import Serve
from tests.dicom.dimse.sides import CT_IMAGE_STORAGE, EXPLICIT, Running, wait_for

RATE = 1 << 20


@dataclass
class Clock:
    """Time goes on when somebody sleeps, and only then."""

    now: float = 1000.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self.lock:
            self.now += seconds


@dataclass
class Watched(Pace):
    """Remembers when how much left."""

    def __init__(self, rate: int) -> None:
        self.time = Clock()
        super().__init__(rate, clock=self.time, sleep=self.time.sleep)
        self.left: list[tuple[float, int]] = []

    def turn(self, size: int, wanted: object) -> bool:
        may = super().turn(size, wanted)  # type: ignore[arg-type]
        self.left.append((self.time.now, size))
        return may

    def most_in(self, seconds: float) -> int:
        """Bytes in the fullest window of that length."""
        return max(sum(size for at, size in self.left if start <= at < start + seconds) for start, _ in self.left[::20])


def calling(server: Running, pace: Pace) -> Association:
    return associate(
        "127.0.0.1",
        server.port,
        calling_ae_title="US",
        called_ae_title="THEM",
        contexts=[(CT_IMAGE_STORAGE, [EXPLICIT])],
        pace=pace,
    )


def store(assoc: Association, data: bytes | FileSlice, uid: str = "1.2.3") -> int:
    context = assoc.accepted_context(CT_IMAGE_STORAGE)
    return assoc.c_store(context=context, sop_class_uid=CT_IMAGE_STORAGE, sop_instance_uid=uid, data=data).status


@pytest.mark.parametrize("whole", [True, False])
def test_one_large_instance_leaves_evenly(serve: Serve, tmp_path: Path, whole: bool) -> None:
    server, pace = serve(), Watched(RATE)
    content = os.urandom(5 * RATE)
    (tmp_path / "large").write_bytes(content)
    descriptor = os.open(tmp_path / "large", os.O_RDONLY)
    began = pace.time.now
    with calling(server, pace) as assoc:
        assert store(assoc, content if whole else FileSlice(descriptor, 0, len(content))) == 0
    os.close(descriptor)
    assert server.acceptor.store.data["1.2.3"] == content
    assert 4.5 < pace.time.now - began < 5.5
    assert pace.most_in(1.0) < 1.4 * RATE
    assert max(size for _, size in pace.left) <= RATE // 8 + 1000


def test_several_associations_share_the_rate(serve: Serve) -> None:
    server, pace = serve(), Watched(RATE)
    began = pace.time.now

    def send(number: int) -> None:
        with calling(server, pace) as assoc:
            for image in range(4):
                assert store(assoc, bytes(RATE // 4), f"1.2.{number}.{image}") == 0

    threads = [threading.Thread(target=send, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(server.acceptor.store.data) == 12
    # Time of the clock is what all of them have slept.
    assert pace.most_in(1.0) < 1.4 * RATE
    assert sum(size for _, size in pace.left) > 3 * RATE
    assert pace.time.now - began > 2.5


def test_a_rate_that_is_changed_holds_for_the_instance_on_its_way(serve: Serve) -> None:
    server, pace = serve(), Watched(RATE // 8)

    def lifted(seconds: float) -> None:
        pace.time.now += seconds
        if len(pace.left) > 10:
            pace.rate = 0

    pace._sleep = lifted
    with calling(server, pace) as assoc:
        assert store(assoc, bytes(20 * RATE)) == 0
    assert len(server.acceptor.store.data["1.2.3"]) == 20 * RATE
    assert pace.time.now < 1010


def test_who_waits_for_his_turn_can_be_stopped(serve: Serve) -> None:
    server, pace = serve(), Pace(1024)
    assoc = calling(server, pace)
    errors: list[AssociationEnded] = []

    def send() -> None:
        try:
            store(assoc, bytes(RATE))
        except AssociationEnded as error:
            errors.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    wait_for(lambda: pace._free_at > pace._clock() + 0.5)
    assoc.abort()
    thread.join(60)
    assert [error.outcome for error in errors] == ["aborted"]


def test_without_a_rate_nothing_is_cut_smaller_than_the_peer_asks() -> None:
    assert Pace().piece == 0
    assert [Pace(rate).piece for rate in (1, 1 << 14, 1 << 30)] == [1 << 10, 1 << 11, 1 << 14]
