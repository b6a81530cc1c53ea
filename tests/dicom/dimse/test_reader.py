"""The reader by itself: whatever the reads of the socket bring, the messages are the same."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom.dimse import Limits, ProtocolError, Timeouts
from dicom.dimse.errors import ConnectionLost
from dicom.dimse.reader import NothingYet, Reader
from dicom.dimse.transport import Stream
from tests.campaigns.wire import COMMAND, LAST, P_DATA, p_data, pdu, pdv


class Scripted(Stream):
    """A stream whose reads bring what the test says; of those that do not wait, every other finds nothing."""

    def __init__(self, reads: Iterator[bytes]) -> None:
        self._reads = reads
        self._rest = b""
        self._nothing = False

    def receive(self, view: memoryview, *, wait: bool = True, more: bool = False) -> int:
        self._nothing = not self._nothing and not wait
        if self._nothing:
            raise BlockingIOError
        if not self._rest:
            self._rest = next(self._reads, b"")
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def reader_of(reads: Iterator[bytes], **limits: int) -> Reader:
    reader = Reader(Scripted(reads), timeouts=Timeouts(), limits=Limits(**limits))
    reader.accepted = {1, 3}
    return reader


def insist(call: Callable[[], Any]) -> Any:
    while True:
        try:
            return call()
        except NothingYet:
            continue


def data_set(reader: Reader) -> bytes:
    got, last = bytearray(), False
    while not last:
        parts: list[memoryview] = []
        last = reader.data(parts)
        for part in parts:
            got += part
            part.release()
    return bytes(got)


def encoded(message: tuple[bytes, list[tuple[bytes, bool]]]) -> bytes:
    """A command, and the fragments of its data set: each in a PDU of its own, or in the one before."""
    command, fragments = message
    half = len(command) // 2
    pdus = [pdv(1, COMMAND, command[:half]), pdv(1, COMMAND | LAST, command[half:])]
    for number, (fragment, together) in enumerate(fragments):
        item = pdv(1, LAST if number == len(fragments) - 1 else 0, fragment)
        if together:
            pdus[-1] += item
        else:
            pdus.append(item)
    return b"".join(pdu(P_DATA, items) for items in pdus)


fragments = st.lists(st.tuples(st.binary(max_size=60), st.booleans()), min_size=1, max_size=12)
messages = st.lists(st.tuples(st.binary(max_size=30), fragments), min_size=1, max_size=6)


@settings(max_examples=200, deadline=None)
@given(messages, st.lists(st.integers(1, 300), min_size=1, max_size=40), st.booleans())
def test_messages_are_the_same_however_the_bytes_come(
    sent: list[tuple[bytes, list[tuple[bytes, bool]]]], sizes: list[int], impatient: bool
) -> None:
    stream = b"".join(map(encoded, sent))

    def reads() -> Iterator[bytes]:
        at = turn = 0
        while at < len(stream):
            size = sizes[turn % len(sizes)]
            yield stream[at : at + size]
            at, turn = at + size, turn + 1

    reader = reader_of(reads(), buffer=200)
    for command, parts in sent:
        reader.blocking = not impatient
        assert insist(reader.command) == (1, command)
        reader.blocking = True
        assert data_set(reader) == b"".join(part for part, _ in parts)


def test_a_long_data_set_in_random_reads_is_whole() -> None:
    dice = random.Random(7)
    payload = dice.randbytes(3_000_000)
    stream, at = bytearray(p_data(1, COMMAND | LAST, b"command")), 0
    while at < len(payload):
        size = dice.choice([1, 2, 50, 4000, 16378, 100_000])
        stream += p_data(1, LAST if at + size >= len(payload) else 0, payload[at : at + size])
        at += size

    def reads() -> Iterator[bytes]:
        at = 0
        while at < len(stream):
            size = dice.choice([1, 6, 11, 12, 13, 1000, 60_000])
            yield bytes(stream[at : at + size])
            at += size

    reader = reader_of(reads(), buffer=50_000)
    assert bytes(reader.command()[1]) == b"command"
    assert data_set(reader) == payload


def test_no_slice_is_overwritten_while_its_list_is_in_use() -> None:
    first = p_data(1, COMMAND | LAST, b"command") + p_data(1, 0, b"a" * 100) + p_data(1, LAST, b"b" * 100)[:9]
    reader = reader_of(iter([first, p_data(1, LAST, b"b" * 100)[9:]]), buffer=400)
    reader.command()
    parts: list[memoryview] = []
    assert not reader.data(parts)
    assert b"".join(parts) == b"a" * 100


@pytest.mark.parametrize("together", [True, False])
def test_a_pdu_over_the_cap_is_refused_whether_it_is_whole_or_not(together: bool) -> None:
    long = p_data(1, LAST, bytes(1000))
    reads = (
        [p_data(1, COMMAND | LAST, b"command") + long] if together else [p_data(1, COMMAND | LAST, b"command"), long]
    )
    reader = reader_of(iter(reads), pdu_cap=1000, maximum_length=500)
    reader.command()
    with pytest.raises(ProtocolError, match="P-DATA-TF PDU of 1006 bytes"):
        data_set(reader)


def test_the_end_of_the_stream_is_a_lost_connection() -> None:
    with pytest.raises(ConnectionLost):
        reader_of(iter([b"\4\0"])).command()


def test_a_list_holds_no_more_slices_than_one_write_takes() -> None:
    stream = p_data(1, COMMAND | LAST, b"command") + p_data(1, 0, b"ab") * 5000 + p_data(1, LAST, b"ab")
    reader = reader_of(iter([stream[:4000], stream[4000:]]), buffer=1 << 20)
    reader.command()
    longest, last = 0, False
    while not last:
        parts: list[memoryview] = []
        last = reader.data(parts)
        longest = max(longest, len(parts))
    assert 0 < longest <= 1024
