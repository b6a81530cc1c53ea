"""While one instance is answered, the next is opened and read; what becomes of either does no harm to the other."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from apps.storage.archive import OpenInstance
from apps.storage.attempts import store_each
from apps.storage.scu import Sender
from apps.storage.sources import ForeignFile, Source
from dicom.dimse import PIECE, Association, associate
from dicom.encoding import encode_elements
from dicom.errors import InvalidDataSet
from dicom.part10 import meta_group
from tests.node import wait_for
from tests.qr.receiver import Receiver
from tests.storage.made import CT, EXPLICIT, IMPLICIT, data_set


@dataclass(frozen=True)
class Watched:
    """A file that says when it is opened and closed, and may fail."""

    file: ForeignFile
    error: Exception | None = None
    opened: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    @property
    def sop_class_uid(self) -> str:
        return self.file.sop_class_uid

    @property
    def sop_instance_uid(self) -> str:
        return self.file.sop_instance_uid

    @property
    def transfer_syntax_uid(self) -> str:
        return self.file.transfer_syntax_uid

    @contextmanager
    def open(self) -> Iterator[OpenInstance]:
        self.opened.set()
        if self.error is not None:
            raise self.error
        with self.file.open() as opened:
            yield opened
        self.closed.set()


def written(folder: Path, number: int, *, pixels: bytes = b"\1\2\3\4", sop_class: str = CT) -> Watched:
    path = folder / f"{number}.dcm"
    uid = f"1.2.3.1.1.{number}"
    meta = meta_group(sop_class_uid=sop_class, sop_instance_uid=uid, transfer_syntax_uid=EXPLICIT, provenance=None)
    path.write_bytes(meta + data_set(sop=uid, number=str(number), pixels=pixels, sop_class=sop_class))
    return Watched(ForeignFile.read(path))


def sender(receiver: Receiver, *sop_classes: str) -> Sender:
    return Sender(
        host="127.0.0.1",
        port=receiver.port,
        called_ae_title="ANY",
        calling_ae_title="PACS",
        kinds={(sop_class, EXPLICIT) for sop_class in sop_classes or (CT,)},
    )


def associated(receiver: Receiver) -> Association:
    return associate(
        "127.0.0.1", receiver.port, calling_ae_title="PACS", called_ae_title="ANY", contexts=[(CT, [EXPLICIT])]
    )


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def once_opened(sources: list[Watched], status: int = 0) -> Callable[[int, Association], int]:
    """An answer that is not given before the next one was opened."""

    def answer(number: int, assoc: Association) -> int:
        if number + 1 < len(sources):
            assert sources[number + 1].opened.wait(60)
        return status

    return answer


def test_the_next_instance_is_opened_while_the_one_before_is_answered(tmp_path: Path) -> None:
    sources = [written(tmp_path, number) for number in range(4)]
    with Receiver(once_opened(sources)) as receiver, sender(receiver) as sending:
        assert [outcome.status for outcome in sending.send_each(sources)] == [0] * 4
    for arrived, source in zip(receiver.arrived, sources, strict=True):
        assert arrived.sop_instance_uid == source.sop_instance_uid
        assert source.file.path.read_bytes().endswith(arrived.data_set)


def test_small_and_large_instances_follow_each_other_unharmed(tmp_path: Path) -> None:
    sizes = (4, PIECE + 1000, 4, 100_000, PIECE + 5000, 2)
    sources = [written(tmp_path, number, pixels=os.urandom(size)) for number, size in enumerate(sizes)]
    with Receiver(once_opened(sources)) as receiver, sender(receiver) as sending:
        assert [outcome.status for outcome in sending.send_each(sources)] == [0] * len(sizes)
    for arrived, source in zip(receiver.arrived, sources, strict=True):
        assert source.file.path.read_bytes().endswith(arrived.data_set)


def test_a_failure_of_one_instance_is_its_own(tmp_path: Path) -> None:
    sources = [written(tmp_path, number) for number in range(3)]
    with Receiver(once_opened(sources, 0xA700)) as receiver, sender(receiver) as sending:
        outcomes = list(sending.send_each(sources))
    assert [(outcome.sop_instance_uid, outcome.status) for outcome in outcomes] == [
        (source.sop_instance_uid, 0xA700) for source in sources
    ]


@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone"), InvalidDataSet("Data set ends within (0010,0010)")])
def test_an_instance_that_cannot_be_opened_does_no_harm_to_the_one_before(tmp_path: Path, error: Exception) -> None:
    sources = [written(tmp_path, number) for number in range(3)]
    sources[1] = Watched(sources[1].file, error)
    with Receiver(once_opened(sources)) as receiver, sender(receiver) as sending:
        assert [outcome.status for outcome in sending.send_each(sources)] == [0, 0x0110, 0]
    assert [arrived.sop_instance_uid for arrived in receiver.arrived] == ["1.2.3.1.1.0", "1.2.3.1.1.2"]


def test_a_bug_in_opening_the_next_is_raised_in_its_turn(tmp_path: Path) -> None:
    sources = [written(tmp_path, number) for number in range(2)]
    sources[1] = Watched(sources[1].file, ZeroDivisionError())
    with Receiver() as receiver, sender(receiver) as sending:
        outcomes = sending.send_each(sources)
        assert next(outcomes).status == 0
        with pytest.raises(ZeroDivisionError):
            next(outcomes)


def test_where_the_next_cannot_be_fetched_the_one_before_still_has_its_outcome(tmp_path: Path) -> None:
    def fetched() -> Iterator[Source]:
        yield written(tmp_path, 0)
        raise LookupError("the database is away")

    with Receiver() as receiver, sender(receiver) as sending:
        outcomes = sending.send_each(fetched())
        assert next(outcomes).status == 0
        with pytest.raises(LookupError):
            next(outcomes)


def test_a_file_that_disappears_when_it_was_read_is_sent_and_before_fails_alone(tmp_path: Path) -> None:
    sources = [written(tmp_path, number) for number in range(3)]

    def answer(number: int, assoc: Association) -> int:
        assert number or sources[1].closed.wait(60)
        for source in sources[1:]:
            source.file.path.unlink(missing_ok=True)
        return 0

    with Receiver(answer) as receiver, sender(receiver) as sending:
        assert [outcome.status for outcome in sending.send_each(sources)] == [0, 0, 0x0110]


def test_what_was_made_ready_for_a_lost_association_is_made_ready_again_for_the_next(tmp_path: Path) -> None:
    sources = [written(tmp_path, number) for number in range(4)]

    def answer(number: int, assoc: Association) -> int:
        if number == 1:
            assert sources[2].opened.wait(60)
            assoc.abort()
        return 0

    with Receiver(answer) as receiver, sender(receiver) as sending:
        assert [outcome.status for outcome in sending.send_each(sources)] == [0] * 4
    for arrived, source in zip(receiver.arrived, (sources[n] for n in (0, 1, 1, 2, 3)), strict=True):
        assert source.file.path.read_bytes().endswith(arrived.data_set)


def test_an_instance_that_ends_each_association_is_lost_alone(tmp_path: Path) -> None:
    sources = [written(tmp_path, number) for number in range(5)]

    def answer(number: int, assoc: Association) -> int:
        if receiver.arrived[-1].sop_instance_uid == "1.2.3.1.1.2":
            assoc.abort()
        return 0

    with Receiver(answer) as receiver, sender(receiver) as sending:
        outcomes = list(sending.send_each(sources))
    assert [(outcome.status, outcome.lost) for outcome in outcomes] == [
        (0, False),
        (0, False),
        (0x0110, True),
        (0, False),
        (0, False),
    ]


def test_a_receiver_that_ends_the_association_after_each_instance_gets_all(tmp_path: Path) -> None:
    sources = [written(tmp_path, number) for number in range(6)]

    def answer(number: int, assoc: Association) -> int:
        threading.Timer(0.05, assoc.abort).start()
        return 0

    with Receiver(answer) as receiver, sender(receiver) as sending:
        statuses = []
        for source in sources:
            statuses.append(sending.send(source).status)
            wait_for(lambda: sending._open[0].peer_is_gone())
    assert statuses == [0] * 6
    assert sending.associations == 6


def test_the_association_of_another_sop_class_is_opened_only_when_it_is_needed(tmp_path: Path) -> None:
    classes = [f"1.2.3.{number}" for number in range(100)]  # more than one association has contexts for
    sources = [
        written(tmp_path, number, sop_class=sop_class)
        for number, sop_class in enumerate((classes[0], classes[-1], classes[0], "9.9.9"))
    ]
    with Receiver(sop_classes=tuple(classes)) as receiver, sender(receiver, *classes) as sending:
        assert [outcome.status for outcome in sending.send_each(sources)] == [0, 0, 0, 0x0122]


@pytest.mark.parametrize("size", [4, PIECE + 1000])
def test_what_was_made_ready_and_is_not_wanted_any_more_is_closed(tmp_path: Path, size: int) -> None:
    sources = [written(tmp_path, number, pixels=bytes(size)) for number in range(3)]
    with Receiver(once_opened(sources)) as receiver, associated(receiver) as assoc:
        before = descriptors()
        with closing(store_each(assoc, sources)) as outcomes:
            assert next(outcomes).status == 0
        assert descriptors() == before
        assert [arrived.sop_instance_uid for arrived in receiver.arrived] == ["1.2.3.1.1.0"]
        assert assoc.ended is None


def test_half_an_image_is_not_sent(tmp_path: Path) -> None:
    sources = [written(tmp_path, number, pixels=bytes(1000)) for number in range(3)]
    whole = sources[1].file.path.read_bytes()
    sources[1].file.path.write_bytes(whole[:-10])
    with Receiver() as receiver, sender(receiver) as sending:
        outcomes = list(sending.send_each(sources))
    assert [outcome.status for outcome in outcomes] == [0, 0x0110, 0]
    assert outcomes[1].comment == "Data set ends within (7FE0,0010)"
    assert len(receiver.arrived) == 2


def test_a_files_uids_are_those_of_its_data_set_wherever_they_stand(tmp_path: Path) -> None:
    elements = [(0x00100010, "PN", b"Doe^John"), (0x00080016, "UI", CT.encode()), (0x00080018, "UI", b"1.2.3.4")]
    for syntax in (EXPLICIT, IMPLICIT):
        for ordered in (sorted(elements), elements):
            meta = meta_group(
                sop_class_uid="9.9", sop_instance_uid="9.9.9", transfer_syntax_uid=syntax, provenance=None
            )
            path = tmp_path / "file.dcm"
            path.write_bytes(meta + b"".join(encode_elements([element], syntax) for element in ordered))
            read = ForeignFile.read(path)
            assert (read.sop_class_uid, read.sop_instance_uid) == (CT, "1.2.3.4")
