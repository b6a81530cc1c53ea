"""WIRE rule 4 and the framing around it: however a message is cut, it is one message, and each peer gets
what it takes."""

import itertools
import os
import random
import struct
import tempfile
from collections.abc import Iterator, Sequence

import pytest

from dicom.dimse import (
    Association,
    AssociationAborted,
    Data,
    DataSetTooLong,
    FileSlice,
    Limits,
    Message,
    SourceFailed,
    associate,
)
from dicom.dimse.transport import Buffer
from tests.campaigns.wire import COMMAND, LAST, P_DATA, Line, associate_rq, p_data, pdu, pdv, store_rq
from tests.dicom.dimse.conftest import Serve
from tests.dicom.dimse.sides import CT_IMAGE_STORAGE, EXPLICIT, Recorder, Running, wait_for

CONTEXT = (CT_IMAGE_STORAGE, [EXPLICIT])
PAYLOAD = random.Random(1).randbytes(300_001)


def associated(running: Running, maximum: int = 16384) -> Line:
    line = Line(running.address)
    line.send(associate_rq([CONTEXT], maximum=maximum))
    line.read()
    return line


def pieces(data: bytes, size: int) -> Iterator[tuple[bytes, int]]:
    for at in range(0, len(data), size):
        yield data[at : at + size], LAST if at + size >= len(data) else 0


def test_command_and_data_may_share_a_pdu(serve: Serve) -> None:
    running = serve()
    with associated(running) as line:
        line.send(pdu(P_DATA, pdv(1, COMMAND | LAST, store_rq("1.2.3")) + pdv(1, 0, b"ab") + pdv(1, LAST, b"cd")))
        assert line.status() == 0
    assert running.acceptor.store.data == {"1.2.3": b"abcd"}


def test_commands_may_be_split_over_pdus_and_data_follow_in_the_same_pdu(serve: Serve) -> None:
    running = serve()
    with associated(running) as line:
        command = store_rq("1.2.3")
        fragments = [pdv(1, COMMAND | last, piece) for piece, last in pieces(command, 7)]
        for fragment in fragments[:-1]:
            line.send(pdu(P_DATA, fragment))
        line.send(pdu(P_DATA, fragments[-1] + pdv(1, LAST, b"abcd")))
        assert line.status() == 0
    assert running.acceptor.store.data == {"1.2.3": b"abcd"}


def test_two_messages_may_share_a_pdu(serve: Serve) -> None:
    running = serve()
    with associated(running) as line:
        body = b"".join(
            pdv(1, COMMAND | LAST, store_rq(uid, message_id=n)) + pdv(1, LAST, uid.encode())
            for n, uid in enumerate(("1.2.3", "1.2.4"), 1)
        )
        line.send(pdu(P_DATA, body))
        assert [line.status(), line.status()] == [0, 0]
    assert running.acceptor.store.data == {"1.2.3": b"1.2.3", "1.2.4": b"1.2.4"}


def test_an_empty_last_fragment_ends_the_data_set(serve: Serve) -> None:
    running = serve()
    with associated(running) as line:
        line.send(p_data(1, COMMAND | LAST, store_rq("1.2.3")) + p_data(1, 0, b"abcd") + p_data(1, LAST, b""))
        assert line.status() == 0
    assert running.acceptor.store.data == {"1.2.3": b"abcd"}


def test_pdus_somewhat_longer_than_offered_are_read(serve: Serve) -> None:
    running = serve(limits=Limits(maximum_length=16384))
    with associated(running) as line:
        line.send(p_data(1, COMMAND | LAST, store_rq("1.2.3")) + p_data(1, LAST, PAYLOAD))
        assert line.status() == 0
    assert running.acceptor.store.data == {"1.2.3": PAYLOAD}


@pytest.mark.parametrize("maximum_length", [0, 4 << 20])
def test_a_pdu_of_the_length_we_offered_is_read_however_long(serve: Serve, maximum_length: int) -> None:
    running = serve(limits=Limits(maximum_length=maximum_length))
    payload = PAYLOAD * 10
    with associated(running) as line:
        line.send(p_data(1, COMMAND | LAST, store_rq("1.2.3")) + p_data(1, LAST, payload))
        assert line.status() == 0
    assert running.acceptor.store.data == {"1.2.3": payload}


@pytest.mark.parametrize("size", [2, 50, 1000, 16378, 131060, 262138])
@pytest.mark.parametrize("chunk", [1000, 65536, 1 << 20])
def test_a_data_set_arrives_whole_however_it_is_cut(serve: Serve, size: int, chunk: int) -> None:
    payload = PAYLOAD[: size * 3000 + 1]
    running = serve(limits=Limits(buffer=40_000))
    stream = p_data(1, COMMAND | LAST, store_rq("1.2.3"))
    stream += b"".join(p_data(1, last, piece) for piece, last in pieces(payload, size))
    with associated(running) as line:
        for at in range(0, len(stream), chunk):
            line.send(stream[at : at + chunk])
        assert line.status() == 0
    assert running.acceptor.store.data == {"1.2.3": payload}


def test_bytes_that_come_one_by_one_make_the_same_message(serve: Serve) -> None:
    running = serve()
    stream = pdu(P_DATA, pdv(1, COMMAND | LAST, store_rq("1.2.3")) + pdv(1, 0, b"abc")) + p_data(1, LAST, b"d")
    with associated(running) as line:
        for at in range(len(stream)):
            line.send(stream[at : at + 1])
        assert line.status() == 0
    assert running.acceptor.store.data == {"1.2.3": b"abcd"}


def received_pdus(line: Line) -> tuple[bytes, bytes, list[int]]:
    """Command set, data set and PDU lengths of one message."""
    parts: dict[int, bytearray] = {COMMAND: bytearray(), 0: bytearray()}
    lengths = []
    while True:
        got = line.read()
        assert got.kind == P_DATA
        lengths.append(len(got.body))
        length, _, flags = struct.unpack_from(">IBB", got.body)
        assert length == len(got.body) - 4
        parts[flags & COMMAND] += got.body[6:]
        if flags == LAST:
            return bytes(parts[COMMAND]), bytes(parts[0]), lengths


@pytest.mark.parametrize(
    ("maximum", "longest"), [(64, 64), (4096, 4096), (4097, 4096), (65536, 65536), (0, 262144), (7, 7)]
)
def test_the_peers_maximum_length_is_honoured_even_when_tiny_and_0_is_unlimited(
    serve: Serve, maximum: int, longest: int
) -> None:
    data = PAYLOAD[:3000] if maximum in (7, 64) else PAYLOAD

    def answer(assoc: Association, message: Message) -> None:
        assoc.respond(message, 0xFF00, data_set=data)

    running = serve(services={CT_IMAGE_STORAGE: ([EXPLICIT], answer)})
    with associated(running, maximum=maximum) as line:
        line.send(p_data(1, COMMAND | LAST, store_rq("1.2.3")) + p_data(1, LAST, b"abcd"))
        command, got, lengths = received_pdus(line)
    assert got == data
    assert command[:4] == b"\0\0\0\0"
    assert max(lengths) <= longest
    assert max(lengths) >= min(longest - 1, 262138)
    if maximum > 7:
        assert all(length % 2 == 0 for length in lengths[:-1])


@pytest.mark.parametrize(
    "form",
    [
        "bytes",
        "view",
        "file",
        "part of a file",
        "chunks",
        "big chunks",
        "files and chunks",
        "nothing",
        "no chunks",
    ],
)
@pytest.mark.parametrize("maximum_length", [1000, 262144, 0])
def test_every_form_of_data_arrives_as_it_is(serve: Serve, form: str, maximum_length: int) -> None:
    big = PAYLOAD * 9 if maximum_length != 1000 else PAYLOAD
    with tempfile.TemporaryFile() as file:
        file.write(big)
        file.flush()
        fd = file.fileno()
        cut = [big[at : at + 777] for at in range(0, len(big), 777)]
        forms: dict[str, tuple[Data, bytes]] = {
            "bytes": (big, big),
            "view": (memoryview(big)[1:], big[1:]),
            "file": (FileSlice(fd, 0, len(big)), big),
            "part of a file": (FileSlice(fd, 1001, 200_000), big[1001:201_001]),
            "chunks": (cut, big),
            "big chunks": (iter([big, b"", big]), big + big),
            "files and chunks": (
                [b"head", FileSlice(fd, 5, len(big) - 5), FileSlice(fd, 0, 3), big, b"tail", FileSlice(fd, 0, 7)],
                b"head" + big[5:] + big[:3] + big + b"tail" + big[:7],
            ),
            "nothing": (b"", b""),
            "no chunks": ([], b""),
        }
        data, expected = forms[form]
        running = serve(limits=Limits(maximum_length=maximum_length))
        with associate(*running.address, calling_ae_title="ME", called_ae_title="YOU", contexts=[CONTEXT]) as assoc:
            context = assoc.context_for(CT_IMAGE_STORAGE)
            assert context is not None
            response = assoc.c_store(
                context=context, sop_class_uid=CT_IMAGE_STORAGE, sop_instance_uid="1.2.3", data=data
            )
        assert response.status == 0
    assert running.acceptor.store.data["1.2.3"] == expected


def store(assoc: Association, data: Data) -> int:
    context = assoc.context_for(CT_IMAGE_STORAGE)
    assert context is not None
    return assoc.c_store(context=context, sop_class_uid=CT_IMAGE_STORAGE, sop_instance_uid="1.2.3", data=data).status


def test_a_file_that_cannot_be_read_leaves_the_association_alive_when_nothing_was_sent(serve: Serve) -> None:
    running = serve()
    with associate(*running.address, calling_ae_title="ME", called_ae_title="YOU", contexts=[CONTEXT]) as assoc:
        with tempfile.TemporaryFile() as file, pytest.raises(SourceFailed):
            store(assoc, FileSlice(file.fileno(), 0, 10))
        assert store(assoc, b"abcd") == 0
    assert running.acceptor.outcome() == "released"


def test_a_file_that_ends_too_early_aborts_so_that_the_peer_keeps_no_half_of_it(serve: Serve) -> None:
    running = serve()
    with tempfile.TemporaryFile() as file:
        file.write(PAYLOAD * 10)
        file.flush()
        size = os.fstat(file.fileno()).st_size
        with associate(*running.address, calling_ae_title="ME", called_ae_title="YOU", contexts=[CONTEXT]) as assoc:
            with pytest.raises(SourceFailed):
                store(assoc, FileSlice(file.fileno(), 0, size + 1))
            with pytest.raises(AssociationAborted):
                assoc.c_echo(context=assoc.contexts[1])
    assert running.acceptor.outcome() == "aborted by peer"
    assert running.acceptor.store.data == {}


def test_an_identifier_longer_than_the_cap_is_refused_and_the_association_lives(serve: Serve) -> None:
    def read(assoc: Association, message: Message) -> None:
        try:
            message.read(cap=1000)
        except DataSetTooLong:
            assoc.respond(message, 0xA700)
        else:
            assoc.respond(message, 0)

    running = serve(services={CT_IMAGE_STORAGE: ([EXPLICIT], read)})
    with associate(*running.address, calling_ae_title="ME", called_ae_title="YOU", contexts=[CONTEXT]) as assoc:
        assert [store(assoc, bytes(size)) for size in (1000, 1_000_000, 10)] == [0, 0xA700, 0]


def test_what_a_handler_leaves_unread_is_dropped(serve: Serve) -> None:
    def refuse(assoc: Association, message: Message) -> None:
        if message.command.message_id % 2:
            next(message.fragments())
        assoc.respond(message, 0xA700)

    running = serve(services={CT_IMAGE_STORAGE: ([EXPLICIT], refuse)})
    with associate(*running.address, calling_ae_title="ME", called_ae_title="YOU", contexts=[CONTEXT]) as assoc:
        assert [store(assoc, PAYLOAD) for _ in range(4)] == [0xA700] * 4


def test_slices_are_released_when_the_next_are_asked_for(serve: Serve) -> None:
    kept: list[memoryview] = []

    def keep(assoc: Association, message: Message) -> None:
        kept.extend(itertools.chain.from_iterable(message.fragments()))
        assoc.respond(message, 0)

    running = serve(services={CT_IMAGE_STORAGE: ([EXPLICIT], keep)})
    with associate(*running.address, calling_ae_title="ME", called_ae_title="YOU", contexts=[CONTEXT]) as assoc:
        assert store(assoc, PAYLOAD) == 0
    assert kept
    for view in kept:
        with pytest.raises(ValueError, match="released"):
            bytes(view)


def test_a_data_set_can_be_read_once(serve: Serve) -> None:
    def twice(assoc: Association, message: Message) -> None:
        message.read()
        with pytest.raises(RuntimeError, match="once"):
            message.read()
        assoc.respond(message, 0)

    running = serve(services={CT_IMAGE_STORAGE: ([EXPLICIT], twice)})
    with associate(*running.address, calling_ae_title="ME", called_ae_title="YOU", contexts=[CONTEXT]) as assoc:
        assert store(assoc, b"abcd") == 0


def test_a_response_leaves_in_one_write(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer with a delayed acknowledgement would make the second write wait."""
    running = serve(Recorder({CT_IMAGE_STORAGE: ([EXPLICIT], lambda a, m: a.respond(m, 0, data_set=b"abcd"))}))
    with associated(running) as line:
        wait_for(lambda: running.acceptor.associations)
        (assoc,) = running.acceptor.associations
        writes = []
        send = assoc._stream.send

        def count(buffers: Sequence[Buffer]) -> int:
            writes.append(len(buffers))
            return send(buffers)

        monkeypatch.setattr(assoc._stream, "send", count)
        line.send(p_data(1, COMMAND | LAST, store_rq("1.2.3")) + p_data(1, LAST, b"abcd"))
        assert received_pdus(line)[1] == b"abcd"
    assert len(writes) == 1
