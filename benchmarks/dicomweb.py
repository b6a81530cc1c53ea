"""DICOMweb: what a viewer asks, over one warm connection; every answer is looked at, off the clock."""

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from benchmarks import data
from benchmarks.clients import Elapsed
from benchmarks.data import ImageSet, Values
from benchmarks.lab import FRAMES, Contender, Lab, Scenario
from benchmarks.peers import Archive, Orthanc
from benchmarks.processes import PeerMissing
from benchmarks.web import Answer, Connection

Sets = Sequence[ImageSet]

JSON: Final = "application/dicom+json"
DICOM: Final = 'multipart/related; type="application/dicom"'
FRAME: Final = 'multipart/related; type="application/octet-stream"'
JPEG: Final = "image/jpeg"
PIXELS: Final = 2 * 512 * 512  # bytes of a frame
_AT_ONCE: Final = 8  # frames of the multi-frame image


@dataclass(frozen=True, slots=True)
class Ask:
    """A request below the root of DICOMweb, and what a good answer to it is."""

    path: str
    accept: str
    good: Callable[[Answer], bool]
    content: bytes = b""
    content_type: str = ""


def connected(server: Archive, capacity: int = 1 << 20) -> Connection:
    """Signed in already, as a viewer is that has shown its list of studies."""
    connection = Connection(server.http_port, server.headers, capacity)
    _answered(connection, server, Ask("/studies?limit=1", JSON, lambda answer: True))
    return connection


def _answered(connection: Connection, server: Archive, ask: Ask) -> float:
    """How many seconds it took. Raises PeerMissing when the answer is not what it should be."""
    path = server.dicomweb + ask.path
    answer = connection.ask(path, accept=ask.accept, content=ask.content, content_type=ask.content_type)
    if answer.status != 200 or not ask.good(answer):
        said = bytes(answer.content[:500])
        raise PeerMissing(f"{server.name} answers {path} with {answer.status}, {len(answer.content)} bytes: {said!r}")
    return answer.seconds


def web(
    lab: Lab,
    name: str,
    *,
    title: str,
    amount: float,
    asks: Callable[[Sets], Sequence[Ask]],
    unit: str = "requests/s",
    first: Callable[[Sets], Sequence[Ask]] = lambda sets: (),
    prepare: Callable[[], Sets] = tuple,
    capacity: int = 1 << 20,
) -> Scenario:
    """The asks of a round, one after the other on one connection, after those of `first`, which are not timed."""

    def work(server: Archive, sets: Sets) -> Elapsed:
        wanted = asks(sets)
        with connected(server, capacity) as connection:
            for ask in first(sets):
                _answered(connection, server, ask)
            return Elapsed(sum(_answered(connection, server, ask) for ask in wanted), 0.0)

    return Scenario(
        name=name,
        title=title,
        unit=unit,
        amount=amount,
        baseline=Orthanc.name,
        contenders=tuple(Contender(server.name, partial(work, server), server.program) for server in lab.archives),
        prepare=prepare,
    )


def _study(images: ImageSet) -> str:
    return f"/studies/{images.study_instance_uids[0]}"


def _series(images: ImageSet) -> str:
    return f"{_study(images)}/series/{images.series_instance_uids[0]}"


def _instance(images: ImageSet, number: int) -> str:
    return f"{_series(images)}/instances/{images.sop_instance_uids[number]}"


def _is_list(length: int) -> Callable[[Answer], bool]:
    return lambda answer: len(json.loads(answer.plain())) == length


def _is_multipart(parts: int, bytes_each: int) -> Callable[[Answer], bool]:
    """So many parts, of this size but for their heads and what a header may differ in."""

    def good(answer: Answer) -> bool:
        more = len(answer.content) - parts * bytes_each
        return -2048 * parts < more < 2048 * parts and answer.parts() == parts

    return good


def _is_jpeg(answer: Answer) -> bool:
    return bytes(answer.content[:2]) == b"\xff\xd8" and bytes(answer.content[-2:]) == b"\xff\xd9"


def retrieve(lab: Lab, name: str, *, title: str, transfer_syntax: str = "") -> Scenario:
    images, size = lab.study, len(data.ct_512k().content)
    accept = f"{DICOM}; transfer-syntax={transfer_syntax}" if transfer_syntax else DICOM
    ask = Ask(_study(images), accept, _is_multipart(len(images), size))
    return web(
        lab,
        name,
        title=f"WADO-RS study of {len(images)} x 512 KB CT, {title}",
        unit="instances/s",
        amount=len(images) * lab.size.repeats,
        asks=lambda _: [ask] * lab.size.repeats,
        capacity=(size + 1024) * len(images),
    )


def metadata_cold(lab: Lab) -> Scenario:
    """Of a series that has just come."""
    supply = data.Supply(data.ct_512k(), lab.size.slices, lab.folder / "images")
    return web(
        lab,
        "dicomweb-metadata-cold",
        title=f"WADO-RS metadata of a new series of {lab.size.slices}",
        unit="series/s",
        amount=1,
        prepare=lambda: [lab.loaded(supply.renewed())],
        asks=lambda sets: [_metadata(sets[0])],
        capacity=8 << 20,
    )


def metadata_warm(lab: Lab) -> Scenario:
    ask = _metadata(lab.series)
    return web(
        lab,
        "dicomweb-metadata-warm",
        title=f"WADO-RS metadata of a series of {lab.size.slices}, asked for before",
        unit="series/s",
        amount=lab.size.repeats,
        first=lambda _: [ask],
        asks=lambda _: [ask] * lab.size.repeats,
        capacity=8 << 20,
    )


def _metadata(images: ImageSet) -> Ask:
    return Ask(f"{_series(images)}/metadata", JSON, _is_list(len(images)))


def search(
    lab: Lab, name: str, *, title: str, query: str, matches: Callable[[Values], bool], most: int = 100, repeats: int
) -> Scenario:
    assert lab.many
    found = sum(matches(data.one_of_many("", number)) for number in range(lab.size.studies))
    ask = Ask(f"/studies?{query}", JSON, _is_list(min(found, most)))
    return web(
        lab,
        name,
        title=f"QIDO-RS {title}, {lab.size.studies:,} studies",
        amount=repeats,
        asks=lambda _: [ask] * repeats,
    )


def frames(lab: Lab) -> Scenario:
    """The first ones of a study, one request each."""
    wanted = lab.size.rendered
    good = _is_multipart(1, PIXELS)
    return web(
        lab,
        "dicomweb-frame",
        title="WADO-RS frame of a CT, 512 KB",
        amount=wanted,
        asks=lambda _: [Ask(f"{_instance(lab.study, number)}/frames/1", FRAME, good) for number in range(wanted)],
    )


def frames_of_many(lab: Lab) -> Scenario:
    """From all over the image."""
    instance, good = _instance(lab.multiframe, 0), _is_multipart(1, PIXELS)
    numbers = range(1, FRAMES, FRAMES // _AT_ONCE)[:_AT_ONCE]
    return web(
        lab,
        "dicomweb-frame-multiframe",
        title=f"WADO-RS frame of an image of {FRAMES} x 512 KB",
        amount=len(numbers),
        asks=lambda _: [Ask(f"{instance}/frames/{number}", FRAME, good) for number in numbers],
    )


def rendered(lab: Lab) -> Scenario:
    """Others in each round (as long as there are some), so that nobody has made them before."""
    count = lab.size.rendered
    places = iter(range(0, len(lab.study) * 1000, count))

    def prepare() -> Sets:
        at = next(places) % (len(lab.study) - count)
        return [replace(lab.study, sop_instance_uids=lab.study.sop_instance_uids[at : at + count])]

    return web(
        lab,
        "dicomweb-rendered",
        title="WADO-RS rendered CT as JPEG, each for the first time",
        amount=count,
        prepare=prepare,
        asks=lambda sets: [Ask(f"{_instance(sets[0], number)}/rendered", JPEG, _is_jpeg) for number in range(count)],
    )


def rendered_again(lab: Lab) -> Scenario:
    ask = Ask(f"{_instance(lab.study, len(lab.study) - 1)}/rendered", JPEG, _is_jpeg)
    return web(
        lab,
        "dicomweb-rendered-again",
        title="WADO-RS rendered CT as JPEG, the same again",
        amount=lab.size.rendered,
        first=lambda _: [ask],
        asks=lambda _: [ask] * lab.size.rendered,
    )


def store(lab: Lab) -> Scenario:
    count = lab.size.ct_512k
    supply = data.Supply(data.ct_512k(), count, lab.folder / "images")
    boundary = secrets.token_hex(16)

    def stored(answer: Answer) -> bool:
        return len(json.loads(answer.plain())["00081199"]["Value"]) == count

    return web(
        lab,
        "dicomweb-stow",
        title=f"STOW-RS of {count} x 512 KB CT in one request",
        unit="instances/s",
        amount=count,
        prepare=lambda: [supply.renewed()],
        asks=lambda sets: [
            Ask("/studies", JSON, stored, b"".join(_body(sets[0], boundary)), f"{DICOM}; boundary={boundary}")
        ],
    )


def _body(images: ImageSet, boundary: str) -> Iterator[bytes]:
    for path in images.paths:
        yield f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        yield path.read_bytes()
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def viewers(lab: Lab) -> Scenario:
    """Each on its own connection and with its own study: what is in it, its metadata, then frame after frame."""

    def work(server: Archive, _: Sets) -> Elapsed:
        failures: list[Exception] = []
        connections = [connected(server) for _ in lab.viewed]
        threads = [
            threading.Thread(target=_view, args=(connection, server, images, failures))
            for connection, images in zip(connections, lab.viewed, strict=True)
        ]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - begin
        if failures:
            raise failures[0]
        return Elapsed(seconds, 0.0)

    return Scenario(
        name="dicomweb-viewers",
        title=f"{lab.size.viewers} viewers at once, each opens a study of {lab.size.viewed} x 512 KB CT",
        unit="studies/s",
        amount=lab.size.viewers,
        baseline=Orthanc.name,
        contenders=tuple(Contender(server.name, partial(work, server), server.program) for server in lab.archives),
    )


def _view(connection: Connection, server: Archive, images: ImageSet, failures: list[Exception]) -> None:
    good = _is_multipart(1, PIXELS)
    asks = [Ask(f"{_study(images)}/series", JSON, _is_list(1)), _metadata(images)]
    asks += [Ask(f"{_instance(images, number)}/frames/1", FRAME, good) for number in range(len(images))]
    try:
        with connection:
            for ask in asks:
                _answered(connection, server, ask)
    except (PeerMissing, OSError) as error:
        failures.append(error)


def _offset(lab: Lab) -> int:
    return lab.size.studies * 3 // 4


SCENARIOS: dict[str, Callable[[Lab], Scenario]] = {
    "dicomweb-study": lambda lab: retrieve(lab, "dicomweb-study", title="Explicit VR Little Endian"),
    "dicomweb-study-stored": lambda lab: retrieve(lab, "dicomweb-study-stored", title="as stored", transfer_syntax="*"),
    "dicomweb-metadata-cold": metadata_cold,
    "dicomweb-metadata-warm": metadata_warm,
    "dicomweb-qido": lambda lab: search(
        lab, "dicomweb-qido", title="the first 100", query="limit=100", matches=lambda _: True, repeats=5
    ),
    "dicomweb-qido-offset": lambda lab: search(
        lab,
        "dicomweb-qido-offset",
        title=f"100 from {_offset(lab):,} on",
        query=f"limit=100&offset={_offset(lab)}",
        matches=lambda _: True,
        repeats=3,
    ),
    "dicomweb-qido-patient-id": lambda lab: search(
        lab,
        "dicomweb-qido-patient-id",
        title="by patient ID",
        query="PatientID=P0000321",
        matches=lambda values: values.patient_id == "P0000321",
        repeats=20,
    ),
    "dicomweb-qido-name": lambda lab: search(
        lab,
        "dicomweb-qido-name",
        title="by name prefix",
        query="PatientName=C0003*",
        matches=lambda values: values.patient_name.startswith("C0003"),
        repeats=20,
    ),
    "dicomweb-qido-date": lambda lab: search(
        lab,
        "dicomweb-qido-date",
        title="by date range",
        query="StudyDate=20200301-20200303&limit=100",
        matches=lambda values: "20200301" <= values.study_date <= "20200303",
        repeats=20,
    ),
    "dicomweb-qido-accession": lambda lab: search(
        lab,
        "dicomweb-qido-accession",
        title="by accession number",
        query="AccessionNumber=A0000321",
        matches=lambda values: values.accession_number == "A0000321",
        repeats=20,
    ),
    "dicomweb-frame": frames,
    "dicomweb-frame-multiframe": frames_of_many,
    "dicomweb-rendered": rendered,
    "dicomweb-rendered-again": rendered_again,
    "dicomweb-stow": store,
    "dicomweb-viewers": viewers,
}
