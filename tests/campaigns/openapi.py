"""Requests made from the description of the interface, well formed and not, against a running node: none ends in a 5xx.

`python -m tests.campaigns.openapi --examples 1000`: so many for each operation.
"""

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from schemathesis.core.result import Ok

from tests.node import Node, wait_for

FILES: Final = ("CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "SC_rgb_jpeg_gdcm.dcm", "liver_1frame.dcm")
_ACCEPTS: Final = (
    "",
    "*/*",
    "application/dicom+json",
    "application/dicom+xml",
    'multipart/related; type="application/dicom"',
    'multipart/related; type="application/dicom"; transfer-syntax=*',
    'multipart/related; type="application/octet-stream"; transfer-syntax=*',
    "multipart/related; type=application/octet-stream",
    'multipart/related; type="application/dicom+xml"',
    'multipart/related; type="image/jpeg"',
    "application/dicom; transfer-syntax=1.2.840.10008.1.2.5",
    "application/octet-stream",
    "application/zip",
    "image/jpeg",
    "image/png;q=0.3, image/gif",
    "text/html",
    'a;b="c,d',
)
_WINDOWS: Final = ("40,400,linear", "40,0,linear", "nan,1,sigmoid", "1e400,1,linear-exact", "a,b", "1,1")
_REST: Final = "/api/"  # which speaks JSON only
_NAMES_OF_URI: Final = {"study": "study", "series": "series", "object": "instance"}
_WAYS: Final = ("7FE00010", "00100010", "00081140/0/00081155", "00081140/999999/00081155", "x")
_CREATED: Final = ("/api/worklist/", "/api/worklist/bulk/", "/api/procedure-steps/")
_LONG: Final = {"patient_id": "1", "patient_name": "Roe^Richard", "modality": "CT"}  # in bodies of many fields
ITEM: Final[dict[str, Any]] = {
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Roe^Richard"}]},
    "00100020": {"vr": "LO", "Value": ["1"]},
    "00101030": {"vr": "DS", "Value": [71.5]},
    "00080051": {"vr": "SQ", "Value": [{"00400031": {"vr": "UT", "Value": ["CLINIC"]}}]},
    "00380060": {"vr": "LO", "Value": ["of no field"]},
    "00400100": {
        "vr": "SQ",
        "Value": [
            {
                "00080060": {"vr": "CS", "Value": ["CT"]},
                "00400001": {"vr": "AE", "Value": ["CT1", "CT2"]},
                "00400002": {"vr": "DA", "Value": ["20261125"]},
                "00400020": {"vr": "CS", "Value": ["ARRIVED"]},
            }
        ],
    },
}
PERFORMED: Final[dict[str, Any]] = {
    "00080060": {"vr": "CS", "Value": ["CT"]},
    "00400241": {"vr": "AE", "Value": ["CT1"]},
    "00400244": {"vr": "DA", "Value": ["20261125"]},
    "00400245": {"vr": "TM", "Value": ["101500"]},
    "00400252": {"vr": "CS", "Value": ["IN PROGRESS"]},
    "00400253": {"vr": "SH", "Value": ["P1"]},
    "00400270": {"vr": "SQ", "Value": [{"0020000D": {"vr": "UI", "Value": ["1.2.3"]}}]},
    "00400340": {"vr": "SQ", "Value": [{"0020000E": {"vr": "UI", "Value": ["1.2.3.1"]}, "00181030": {"vr": "LO"}}]},
}
_VIEWPORTS: Final = ("64,64", "0,0", "1000000000,1000000000", "64,64,0,0,10,10", "64,64,-5,-5,1e9,1e9", "x")


# Where text, a number or a list is foreseen.
_ODD: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 2**63, 1e308, [], {}, [[]], [None], {"vr": "SQ", "Value": [{}]}, {"vr": "LO", "Value": [{}]}),
    *("", " ", "\0", "\\", "^", "=", "x" * 300, "*", "20260230", "2026-11-25T08:30:00+99:00", "\u202e\u0301", "1" * 70),
)


@schemathesis.serializer("application/dicom", "multipart/related")
def _as_it_is(context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else b""


@dataclass(slots=True)
class Outcome:
    statuses: Counter[str] = field(default_factory=Counter)  # "get /studies 200"
    failures: list[str] = field(default_factory=list)


def files() -> list[str]:
    return [str(get_testdata_file(name)) for name in FILES]


def known(session: requests.Session, base: str) -> list[dict[str, str]]:
    """The unique keys of what the node holds, as parts of an address."""
    found = session.get(f"{base}/instances", params={"limit": "50"}, timeout=30).json()
    tags = {"study": "0020000D", "series": "0020000E", "instance": "00080018"}
    return [{name: answer[tag]["Value"][0] for name, tag in tags.items()} for answer in found]


@dataclass(frozen=True, slots=True)
class Chance:
    """What is asked for of an instance we hold, where the description leaves it open."""

    uids: dict[str, str]
    held: bool
    frames: str
    way: str
    accept: str
    window: str
    viewport: str
    body: bytes
    key: int  # of an order or of a link
    version: str
    mutation: tuple[int, Any] | None  # of the body: which part, and what it becomes


def orders(session: requests.Session, base: str) -> int:
    """Makes a few, and performed steps, some for studies that the node holds, so that there are links too; how many."""
    studies = {uids["study"] for uids in known(session, f"{base}/dicomweb")}
    for number, uid in enumerate((*sorted(studies), None, None)):
        order = {"patient_id": str(number), "patient_name": "Roe^Richard", "study_instance_uid": uid, "modality": "CT"}
        session.post(f"{base}/api/worklist/", json=order, timeout=30).raise_for_status()
        report = {"patient_id": str(number), "performed_station_ae_title": "CT1", "modality": "CT"}
        session.post(f"{base}/api/procedure-steps/", json=report, timeout=30).raise_for_status()
    wait_for(lambda: session.get(f"{base}/api/study-links/", timeout=30).json()["results"], what="studies met orders")
    return len(studies) + 2


def _chances(held: list[dict[str, str]], bodies: list[bytes], keys: int) -> st.SearchStrategy[Chance]:
    cut = st.builds(lambda data, size: data[:size], st.sampled_from(bodies), st.integers(0, 2000))
    return st.builds(
        Chance,
        uids=st.sampled_from(held),
        held=st.sampled_from([True, True, True, False]),
        frames=st.sampled_from(["1", "1", "1,1", "0", "2", "999999999999"]),
        way=st.sampled_from(_WAYS),
        accept=st.sampled_from(_ACCEPTS),
        window=st.sampled_from(_WINDOWS),
        viewport=st.sampled_from(_VIEWPORTS),
        body=st.one_of(st.binary(max_size=300), cut, st.sampled_from(bodies)),
        key=st.integers(1, keys),
        version=st.sampled_from(["*", '"1"', '"1.1.1.1"', 'W/"2.1.1.1", "1.1.1.1"', "", '"']),
        mutation=st.none() | st.tuples(st.integers(0, 99), st.sampled_from(_ODD)),
    )


def _request(case: Any, chance: Chance) -> dict[str, Any]:
    """Arguments of `requests.Session.request`, but for the address of the node."""
    parts = {name: str(value) for name, value in (case.path_parameters or {}).items()}
    if chance.held:
        ours = {**chance.uids, "frames": chance.frames, "way": chance.way, "key": str(chance.key)}
        parts |= {name: ours[name] for name in parts if name in ours}
    query = dict(case.query or {})
    if chance.held and "objectUID" in query:
        query |= {f"{name}UID": chance.uids[part] for name, part in _NAMES_OF_URI.items()}
    query |= {name: getattr(chance, name) for name in ("window", "viewport") if name in query}
    headers = {"Accept": chance.accept} if chance.accept and not case.path.startswith(_REST) else {}
    named = {name: str(value) for name, value in (case.headers or {}).items()}
    headers |= {name: value for name, value in named.items() if value.isascii() and value.isprintable()}
    if "If-Match" in headers:
        headers["If-Match"] = chance.version
    data = None
    if case.method.lower() in ("post", "put", "patch"):
        headers["Content-Type"] = str(case.media_type)
        data = _body(case, chance)
    if case.media_type == "multipart/related":
        headers["Content-Type"] = 'multipart/related; type="application/dicom"; boundary=b'
    path = case.path.format(**{name: quote(value, safe="/") for name, value in parts.items()})
    return {"method": case.method, "url": path, "params": query, "headers": headers, "data": data}


def _body(case: Any, chance: Chance) -> bytes:
    if case.media_type == "multipart/related":
        return b"--b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n--b--\r\n" % chance.body
    body = case.body
    if chance.held and case.path in _CREATED:
        performed = "procedure-steps" in case.path
        whole = _LONG | ({"performed_station_ae_title": "CT1"} if performed else {})
        if case.media_type == "application/dicom+json":
            body = PERFORMED if performed else ITEM
        else:
            body = _plausible(body, whole)
    if "json" in str(case.media_type) and isinstance(body, list | dict):
        return json.dumps(_mutated(body, chance.mutation)).encode()
    return chance.body


def _plausible(body: Any, whole: dict[str, str]) -> Any:
    """Of so many generated texts one is always wrong: what is taken, with a few of them."""
    if isinstance(body, list):
        return [_plausible(each, whole) for each in body[:3]]
    return {**dict(list(body.items())[-2:]), **whole} if isinstance(body, dict) else body


def _mutated(document: Any, mutation: tuple[int, Any] | None) -> Any:
    if mutation is None:
        return document
    at, odd = mutation
    inner = document.get("Value") if isinstance(document, dict) else None
    if inner and at % 3:  # an element of a data set
        return {**document, "Value": _mutated(inner, mutation)}
    if not isinstance(document, list | dict):
        return odd
    if isinstance(document, list):
        return [*document, odd] if not document else [_mutated(document[0], mutation), *document[1:]]
    name = sorted(document)[at % len(document)] if document else "patient_id"
    return {**document, name: _mutated(document[name], (at // 2, odd)) if at % 2 and name in document else odd}


def run(url: str, auth: tuple[str, str], *, examples: int, number: int = 0, below: str = "/") -> Outcome:
    """`number` seeds what is generated; only of addresses `below`."""
    session = requests.Session()
    session.headers["Connection"] = "close"  # a server that stops waits for nobody
    session.auth = auth
    document = session.get(f"{url}/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"}, timeout=30)
    schema = schemathesis.openapi.from_dict(document.json())
    held = known(session, f"{url}/dicomweb")
    chances = _chances(held, [Path(name).read_bytes() for name in files()[:2]], orders(session, url))
    limits = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    outcome = Outcome()

    def once(case: Any, chance: Chance) -> None:
        request = _request(case, chance)
        if case.method.lower() == "delete" and chance.held and not case.path.startswith(_REST):
            return  # the others need what there is
        answer = session.request(**{**request, "url": url + request["url"]}, timeout=60, allow_redirects=False)
        name = f"{case.method.lower()} {case.path}"
        outcome.statuses[f"{name} {answer.status_code}"] += 1
        if answer.status_code >= 500:
            said = f"{answer.request.url} {request['headers']} {answer.text[:200]}"
            outcome.failures.append(f"{name} {answer.status_code} {said}")

    for operation in (found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)):
        if not operation.path.startswith(below):
            continue
        limits(seed(number)(given(case=operation.as_strategy(), chance=chances)(once)))()
    return outcome


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.openapi", description=__doc__)
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--below", default="/", help="Only addresses that begin like this.")
    options = parser.parse_args(arguments)
    sys.stdout.write(f"seed {options.seed}\n")
    with tempfile.TemporaryDirectory() as folder, Node(Path(folder)) as node:
        node.start("standalone")
        node.manage("import", *files())
        url = f"http://{node.host}:{node.http_port}"
        outcome = run(
            url, ("admin", node.admin_password), examples=options.examples, number=options.seed, below=options.below
        )
    for name, count in sorted(outcome.statuses.items()):
        sys.stdout.write(f"{count:6} {name}\n")
    for failure in outcome.failures:
        sys.stdout.write(f"FAILED {failure}\n")
    sys.stdout.write(f"{sum(outcome.statuses.values())} requests, {len(outcome.failures)} with a 5xx\n")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
