"""A decoder that fails in any way costs one request, which says so."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.qr.frames import OpenFrames
from dicom import pixels
from dicom.elements import EXPLICIT_LITTLE
from dicom.encoding import ElementIn, encode_elements
from dicom.errors import CannotReencode
from dicom.pixels import HelperPool
from tests.dicom.test_frames import encapsulated, header, items
from tests.storage import made

RLE = "1.2.840.10008.1.2.5"
PATH = "/dicomweb/studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.1.1/frames"
MISBEHAVING = """
import ctypes, os, signal, sys
sys.path.insert(0, os.getcwd())
from dicom import pixels_worker

def misbehave(source, output, indexes, **_):
    if indexes[0] == 0: os.kill(os.getpid(), signal.SIGSEGV)
    if indexes[0] == 1: ctypes.PyDLL(None).sleep(1000)  # and keeps the interpreter's lock
    if indexes[0] == 2: bytearray(10 << 30)
    if indexes[0] == 3: raise KeyError("codec")
    if indexes[0] == 4: return
    os.write(output, bytes([indexes[0]]) * 4 * len(indexes))

pixels_worker.JOBS["frames"] = misbehave
pixels_worker.main(sys.argv[1:])
"""


@pytest.fixture
def client(client: Client, folders: None) -> Client:
    """Of an archive with one image of ten frames of 2 x 2 pixels."""
    identity: list[ElementIn] = [
        (0x00080016, "UI", made.CT.encode() + b"\0"),
        (0x00080018, "UI", b"1.2.3.1.1.1\0"),
        (0x00100020, "LO", b"P1"),
        (0x0020000D, "UI", b"1.2.3\0"),
        (0x0020000E, "UI", b"1.2.3.1\0"),
    ]
    described = header(rows=2, columns=2, frames="10")[1:]
    value = encapsulated(items(b"", *[b"compressed"] * 10))
    pixel_data = value[value.index(b"\xe0\x7f\x10\0") :]
    raw = encode_elements([*identity, *described], EXPLICIT_LITTLE) + pixel_data
    made.receive(raw, transfer_syntax_uid=RLE)
    made.index()
    client.force_login(User.objects.create_superuser("admin"))
    return client


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HelperPool]:
    script = tmp_path / "misbehaving.py"
    script.write_text(MISBEHAVING)
    pool = HelperPool(command=[sys.executable, str(script)], slots=tmp_path / "slots", machine_size=1)
    monkeypatch.setattr(pixels, "_pool", pool)
    yield pool
    pool.close()


@pytest.mark.parametrize(
    ("frame", "title"),
    [(1, "crashed"), (2, "too long"), (3, "more memory"), (4, "KeyError"), (5, "fewer bytes")],
)
def test_a_decoder_that_fails_is_an_error_with_a_reason(
    client: Client, pool: HelperPool, monkeypatch: pytest.MonkeyPatch, frame: int, title: str
) -> None:
    monkeypatch.setattr("apps.qr.frames._DECODE_SECONDS", 2 if title == "too long" else 60)
    answer = client.get(f"{PATH}/{frame}")
    assert answer.status_code == 406
    assert title in answer.json()["title"]
    monkeypatch.setattr("apps.qr.frames._DECODE_SECONDS", 60)
    assert client.get(f"{PATH}/6", HTTP_ACCEPT="application/octet-stream").content == b"\5\5\5\5"


def test_without_a_free_decoder_the_answer_is_to_come_again(
    client: Client, pool: HelperPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.qr.frames._DECODE_SECONDS", 0.1)
    with pool._slot(0):
        answer = client.get(f"{PATH}/6")
    assert (answer.status_code, "became free" in answer.json()["title"]) == (503, True)


def test_frames_are_decoded_a_few_at_a_time_and_what_fails_later_breaks_the_answer_off(
    client: Client, pool: HelperPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.qr.frames._BATCH", 8)
    monkeypatch.setattr("apps.qr.frames._LARGE", 4)
    monkeypatch.setattr("apps.qr.api.frames._AT_ONCE", 0)
    answer = client.get(f"{PATH}/6,7,8,9,10")
    assert b"".join(answer).count(b"\5\5\5\5") == 1 + 1
    broken = client.get(f"{PATH}/6,7,1")
    pieces = iter(broken)
    assert next(pieces).startswith(b"\r\n--")
    assert next(pieces) == b"\5\5\5\5"
    with pytest.raises(CannotReencode, match="crashed"):
        list(pieces)


@pytest.mark.parametrize("frames", ["6", "6,7", "1", "11"])
@pytest.mark.parametrize("accept", ["*/*", "*/*;transfer-syntax=*"])
def test_an_answer_that_nobody_reads_to_its_end_is_closed(
    client: Client, pool: HelperPool, monkeypatch: pytest.MonkeyPatch, frames: str, accept: str
) -> None:
    monkeypatch.setattr("apps.qr.api.frames._AT_ONCE", 0)
    opened: list[OpenFrames] = []
    closed: list[OpenFrames] = []

    class Watched(OpenFrames):
        def begin(self, heads: Sequence[bytes], end: bytes) -> None:
            opened.append(self)
            super().begin(heads, end)

        def close(self) -> None:
            closed.append(self)
            super().close()

    monkeypatch.setattr("apps.qr.api.frames.OpenFrames", Watched)
    answer = client.get(f"{PATH}/{frames}", HTTP_ACCEPT=accept)
    if answer.status_code == 200:
        next(iter(answer))
        assert not closed
    answer.close()
    assert set(closed) == set(opened)
