"""Receiving with an index that is full already: `python -m benchmarks.ingest_growth [--instances N] [--database URL]`.

Two servers of ours side by side, one empty, one with synthetic rows; the same images to both, round by round.
"""

import argparse
import contextlib
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import psycopg

from benchmarks.__main__ import play
from benchmarks.lab import Lab, Size
from benchmarks.peers import Ours, Server
from benchmarks.report import HEAD, machine, rows
from benchmarks.scenarios import receive

PER_STUDY = 40  # instances, in two series
# As different makers' UIDs: one scattered over the index, so that its pages are no longer in order.
UID = "'1.2.' || (n * 2654435761 % 4294967296) || '.' || n"


class Cursor(Protocol):
    def execute(self, query: str, /) -> Any: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...


@contextlib.contextmanager
def cursor(url: str) -> Iterator[Cursor]:
    """One transaction on either database."""
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as lite:
            yield lite.cursor()
            lite.commit()
    else:
        with psycopg.connect(url) as connection:
            yield connection.cursor()


def columns(db: Cursor, table: str, *, lite: bool) -> dict[str, str]:
    """Names and types of the columns that must have a value."""
    if lite:
        db.execute(f"PRAGMA table_info({table})")
        return {row[1]: row[2].lower() for row in db.fetchall() if row[3] and row[1] != "id"}
    db.execute(
        f"SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '{table}' "
        "AND is_nullable = 'NO' AND is_identity = 'NO'"
    )
    return {name: kind for name, kind in db.fetchall() if name != "id"}


def nothing(kind: str, name: str) -> str:
    """A value of this type that says nothing."""
    if "json" in kind or name == "sources" or name.endswith("_sequence"):
        return "'[]'" if name.endswith("_sequence") else "'{}'"
    if "int" in kind:
        return "0"
    if "bool" in kind:
        return "false"
    return "'2024-01-01 00:00:00+00:00'" if "time" in kind else "''"


def insert(db: Cursor, table: str, count: int, values: dict[str, str], *, lite: bool) -> None:
    """`count` rows numbered n from 1, `values` as SQL of n, everything else empty."""
    given = {name: values.get(name) or nothing(kind, name) for name, kind in columns(db, table, lite=lite).items()}
    given |= {name: value for name, value in values.items() if name not in given}
    db.execute(
        f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) "
        f"INSERT INTO {table} ({', '.join(given)}) SELECT {', '.join(given.values())} "
        f"FROM (SELECT CAST(n AS bigint) AS n FROM numbers) numbered ORDER BY n"
    )


def fill(url: str, instances: int) -> None:
    """Patients with two studies, studies with two series."""
    lite = url.startswith("sqlite")
    studies = max(1, instances // PER_STUDY)
    day = "'20' || (10 + n % 15) || '0' || (1 + n % 9) || (10 + n % 18)"
    date = f"substr({day}, 1, 4) || '-' || substr({day}, 5, 2) || '-' || substr({day}, 7, 2)"
    if not lite:
        date = f"CAST({date} AS date)"
    with cursor(url) as db:
        patient = {
            "patient_id": "'S' || (n * 2654435761 % 4294967296) || '-' || n",
            "patient_name": "'Family' || n % 5000 || '^Given'",
            "patient_name_key": "'family' || n % 5000 || '^given'",
        }
        insert(db, "storage_patient", max(1, studies // 2), patient, lite=lite)
        study = {
            "study_instance_uid": UID,
            "patient_id": "(n + 1) / 2" if studies > 1 else "1",
            "study_date": day,
            "study_date_value": date,
            "accession_number": "'S' || n",
            "modalities_in_study": "'CT'",
            "number_of_study_related_series": "2",
            "number_of_study_related_instances": str(PER_STUDY),
        }
        insert(db, "storage_study", studies // 2 * 2, study, lite=lite)
        series = {
            "series_instance_uid": UID,
            "study_id": "(n + 1) / 2",
            "modality": "'CT'",
            "number_of_series_related_instances": str(PER_STUDY // 2),
        }
        insert(db, "storage_series", studies // 2 * 4, series, lite=lite)
        instance = {
            "sop_instance_uid": UID,
            "series_id": f"(n - 1) / {PER_STUDY // 2} + 1",
            "name": "(1700000000000000000 + n) || '-main-1-' || n",
            "path": "'00/00/' || n",
            "digest": "substr('00000000' || (n * 2654435761 % 4294967296) || n || '00000000000000000000000000', 1, 64)",
        }
        insert(db, "storage_instance", studies // 2 * PER_STUDY * 2, instance, lite=lite)
    with cursor(url) as db:
        db.execute("ANALYZE")


class Grown(Ours):
    """Ours, its index filled before the start; `fill_with` says how far."""

    fill_with = 0

    def start(self) -> None:
        self.manage("prepare")
        url = self.environment.get("DATABASE_URL") or f"sqlite:///{self.folder / 'data' / 'pacs.sqlite3'}"
        if self.fill_with:
            fill(url, self.fill_with)
        super().start()


def database(url: str, name: str) -> dict[str, str]:
    """DATABASE_URL of a database of this name, made anew on the server of `url`."""
    if not url:
        return {}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        connection.execute(f"CREATE DATABASE {name}".encode())
    return {"DATABASE_URL": url.rpartition("/")[0] + f"/{name}"}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest_growth", description=__doc__)
    parser.add_argument("--instances", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--database", default="", metavar="URL", help="a PostgreSQL server; SQLite when not given")
    parser.add_argument("--folder", type=Path, help="where servers and images live during the run")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="pacs-growth-", dir=chosen.folder) as folder:
        lab = Lab(Path(folder), Size(), frozenset())
        empty = Grown(lab.folder / "empty", environment=database(chosen.database, "pacs_empty"))
        full = Grown(lab.folder / "full", environment=database(chosen.database, "pacs_full"))
        full.fill_with = chosen.instances
        try:
            for label, server in (("empty", empty), ("full", full)):
                server.start()
                lab.started[label] = server
            print("\n".join([machine(), "", *HEAD]), flush=True)
            servers: dict[str, Server] = {"empty": empty, f"{chosen.instances:,} instances": full}
            for kind, associations in (("8k", 1), ("8k", 4), ("512k", 1)):
                scenario = receive(
                    lab, "grown", kind=kind, associations=associations, servers=servers, baseline="empty"
                )
                print("\n".join(rows(play(scenario, chosen.runs))), flush=True)
        finally:
            lab.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
