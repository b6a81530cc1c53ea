"""The index says the same, whatever the order in which files come into it."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from apps.storage import reindex
from apps.storage.index import index_batch
from apps.storage.received import Received
from apps.storage.spool import Spool, spool
from tests.storage.made import EXPLICIT, IMPLICIT, provenance, receive
from tests.storage.rows import difference, rows

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass(frozen=True)
class Arrival:
    values: dict[str, Any]
    syntax: str
    policy: str


def arrivals(rng: random.Random, count: int) -> list[Arrival]:
    """Few UIDs and values, so that everything collides with everything."""
    made = []
    for _ in range(count):
        series = rng.choice("1123")
        values = {
            "study": f"1.2.{rng.choice('1112')}" if rng.random() < 0.2 else f"1.2.{'2' if series == '3' else '1'}",
            "series": f"1.2.3.{series}",
            "sop": f"1.2.3.4.{series}.{rng.randrange(3)}" if rng.random() < 0.9 else "1.2.3.4.9",
            "patient_id": rng.choice(["P1", "P1", "P1", "P2", ""]),
            "issuer": rng.choice([None, None, "H"]),
            "name": rng.choice(["Doe^John", "DOE^JOHN^", "Roe^Jane", "", None]),
            "sex": rng.choice(["M", "F", "", None]),
            "birth_date": rng.choice(["19700101", "1970", None]),
            "study_description": rng.choice(["a", "b", "", None]),
            "series_description": rng.choice(["x", "y", None]),
            "accession": rng.choice(["A1", "A2", None]),
            "modality": rng.choice(["CT", "CT", "MR", None]),
            "number": rng.choice("12"),
            "referring": rng.choice([None, "Ref^One", "ref^one"]),
        }
        policy = "make_current" if rng.random() < 0.1 else "keep_first"
        made.append(Arrival(values, rng.choice([EXPLICIT, EXPLICIT, IMPLICIT]), policy))
    return made


def take_in(monkeypatch: pytest.MonkeyPatch, arrived: list[Arrival]) -> list[Received]:
    names = iter(f"{1_700_000_000_000_000_000 + n * 1_000_000_000:019d}-main-1-{n}" for n in range(len(arrived)))
    monkeypatch.setattr(Spool, "new_name", lambda *_: next(names))
    taken = [
        receive(transfer_syntax_uid=one.syntax, source=provenance(policy=one.policy, issuer="D"), **one.values)
        for one in arrived
    ]
    monkeypatch.undo()
    return taken


def index_all(received: list[Received], rng: random.Random) -> None:
    """In batches of any size."""
    rest = received
    while rest:
        size = rng.choice([1, 2, 3, 10])
        index_batch(rest[:size], spool())
        rest = rest[size:]


@pytest.mark.parametrize("seed", range(12))
def test_shuffled_arrivals_give_the_rows_of_ordered_ones(
    seed: int, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    arrived = arrivals(rng, rng.choice([4, 8, 16]))
    said = []
    for attempt in ("ordered", "shuffled", "again"):
        settings.SPOOL = tmp_path / attempt / "spool"
        settings.ARCHIVE = tmp_path / attempt / "archive"
        reindex.clear()
        received = take_in(monkeypatch, arrived)
        if attempt != "ordered":
            rng.shuffle(received)
        index_all(received, rng)
        said.append(rows())
    assert difference(said[0], said[1]) == []
    assert difference(said[0], said[2]) == []


@pytest.mark.parametrize("seed", range(6))
def test_reindex_gives_the_rows_there_were(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed + 1000)
    received = take_in(monkeypatch, arrivals(rng, 14))
    rng.shuffle(received)
    index_all(received, rng)
    before = rows()
    reindex.clear()
    report = reindex.reindex(lambda done: None)
    assert not report.failed
    assert difference(before, rows()) == []
