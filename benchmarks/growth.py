"""C-FIND on a large archive of synthetic rows in PostgreSQL: `python -m benchmarks.growth [--studies N] [--explain]`;
with `--qido` QIDO-RS over HTTP.

Queries go the way of the C-FIND handler: identifier, Query, keyset pages, encoded answers. For each kind: the time to
the first answer, and to the last of at most 500, over queries with other values each time. Without DATABASE_URL it
starts a PostgreSQL of its own; one that is given is filled when it is empty, and kept.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import django
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

ROOT = Path(__file__).resolve().parent.parent
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
MOST = 500  # answers taken of each query

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pacs.settings")
    if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        command = [str(ROOT / "script" / "postgres"), sys.executable, "-m", "benchmarks.growth", *sys.argv[1:]]
        sys.exit(subprocess.run(command, cwd=ROOT).returncode)
    django.setup()

from apps.accounts.principal import system  # noqa: E402  (models need the set-up)
from apps.qr.attributes import BY_KEYWORD, InformationModel  # noqa: E402
from apps.qr.query import Query, from_identifier  # noqa: E402
from apps.qr.results import Answers  # noqa: E402
from apps.storage.models import Patient, Study  # noqa: E402
from benchmarks.qido_growth import Parameters, report  # noqa: E402
from benchmarks.synthetic import FAMILY, UID_ROOT, fill  # noqa: E402
from dicom.encoding import encode_elements  # noqa: E402

Keys = dict[str, str]
_ASKED = {
    "PATIENT": "PatientName PatientID PatientBirthDate PatientSex NumberOfPatientRelatedStudies",
    "STUDY": "StudyDate StudyTime AccessionNumber ModalitiesInStudy StudyDescription PatientName PatientID StudyID "
    "PatientBirthDate PatientSex StudyInstanceUID NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances "
    "ReferringPhysicianName",
    "SERIES": "Modality SeriesDescription SeriesInstanceUID SeriesNumber NumberOfSeriesRelatedInstances",
    "IMAGE": "SOPClassUID SOPInstanceUID InstanceNumber",
}


@dataclass(frozen=True, slots=True)
class Question:
    """`drawn` makes the values anew for each query; `often`: what people wait for, the target is for these."""

    name: str
    level: str
    drawn: Callable[[random.Random], Keys]
    often: bool = True


def _days(rng: random.Random, length: int) -> str:
    year, month, day = rng.randrange(2016, 2025), rng.randrange(1, 13), rng.randrange(1, 30 - length)
    first, last = f"{year}{month:02}{day:02}", f"{year}{month:02}{day + length - 1:02}"
    return first if length == 1 else f"{first}-{last}"


def _family(rng: random.Random) -> str:
    return "".join(rng.choice(part) for part in FAMILY)


def _patient_id(rng: random.Random) -> str:
    first = Patient.objects.order_by("pk").values_list("pk", flat=True)[0]
    return Patient.objects.filter(pk__gte=first + rng.randrange(1000)).values_list("patient_id", flat=True)[0]


def _study_uid(rng: random.Random) -> str:
    return f"{UID_ROOT}.{rng.randrange(1, Study.objects.order_by('-pk').values_list('pk', flat=True)[0])}"


def _image(rng: random.Random) -> Keys:
    study = _study_uid(rng)
    return {"StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.1"}


QUESTIONS = (
    Question("patient ID", "STUDY", lambda rng: {"PatientID": _patient_id(rng)}),
    Question("patient ID", "PATIENT", lambda rng: {"PatientID": _patient_id(rng)}),
    Question("patient ID, three digits*", "STUDY", lambda rng: {"PatientID": f"{rng.randrange(1000):03}*"}),
    Question("accession number", "STUDY", lambda rng: {"AccessionNumber": f"A{rng.randrange(1, 10**5):010}"}),
    Question("family name*", "STUDY", lambda rng: {"PatientName": f"{_family(rng)}*"}),
    Question("family name*", "PATIENT", lambda rng: {"PatientName": f"{_family(rng)}*"}),
    Question("three letters*", "STUDY", lambda rng: {"PatientName": f"{_family(rng)[:3]}*"}),
    Question("one letter*", "STUDY", lambda rng: {"PatientName": f"{_family(rng)[:1]}*"}),
    Question("one letter*", "PATIENT", lambda rng: {"PatientName": f"{_family(rng)[:1]}*"}),
    Question("doctor*", "STUDY", lambda rng: {"ReferringPhysicianName": f"dr{rng.randrange(3000)}^*"}),
    Question("one day", "STUDY", lambda rng: {"StudyDate": _days(rng, 1)}),
    Question("one day, CT", "STUDY", lambda rng: {"StudyDate": _days(rng, 1), "ModalitiesInStudy": "CT"}),
    Question("a week, CT", "STUDY", lambda rng: {"StudyDate": _days(rng, 7), "ModalitiesInStudy": "CT"}),
    Question("a week, NM", "STUDY", lambda rng: {"StudyDate": _days(rng, 7), "ModalitiesInStudy": "NM"}),
    Question("26 days, MR", "STUDY", lambda rng: {"StudyDate": _days(rng, 26), "ModalitiesInStudy": "MR"}),
    Question("26 days, any of four", "STUDY", lambda rng: {"StudyDate": _days(rng, 26), "ModalitiesInStudy": "PT\\XA"}),
    Question("a year, PT", "STUDY", lambda rng: {"StudyDate": _year(rng), "ModalitiesInStudy": "PT"}),
    Question("a week, name*", "STUDY", lambda rng: {"StudyDate": _days(rng, 7), "PatientName": f"{_family(rng)[:2]}*"}),
    Question("name* and year", "STUDY", lambda rng: {"StudyDate": _year(rng), "PatientName": f"{_family(rng)}*"}),
    Question("series of a study", "SERIES", lambda rng: {"StudyInstanceUID": _study_uid(rng)}),
    Question("images of a series", "IMAGE", _image),
    Question("series of a day", "SERIES", lambda rng: {"StudyDate": _days(rng, 1), "Modality": "CT"}),
    Question("everything", "STUDY", lambda rng: {}, often=False),
    Question("everything", "PATIENT", lambda rng: {}, often=False),
    Question("everything", "SERIES", lambda rng: {}, often=False),
    Question("CT of any day", "STUDY", lambda rng: {"ModalitiesInStudy": "CT"}, often=False),
    Question("OT, which is not there", "STUDY", lambda rng: {"ModalitiesInStudy": "OT"}, often=False),
    Question("*inner part*", "STUDY", lambda rng: {"PatientName": f"*{_family(rng)[1:]}*"}, often=False),
    Question("*description*", "STUDY", lambda rng: {"StudyDescription": "*Knee*"}, often=False),
)


def _year(rng: random.Random) -> str:
    year = rng.randrange(2016, 2025)
    return f"{year}0101-{year}1231"


WEB: tuple[tuple[str, Callable[[random.Random], Parameters]], ...] = (
    ("patient ID", lambda rng: {"PatientID": _patient_id(rng)}),
    ("accession number", lambda rng: {"AccessionNumber": f"A{rng.randrange(1, 10**5):010}"}),
    ("family name*", lambda rng: {"PatientName": f"{_family(rng)}*", "limit": 100}),
    ("three letters*", lambda rng: {"PatientName": f"{_family(rng)[:3]}*", "limit": 100}),
    ("one letter*", lambda rng: {"PatientName": f"{_family(rng)[:1]}*", "limit": 100}),
    ("one day", lambda rng: {"StudyDate": _days(rng, 1), "limit": 100}),
    ("a week", lambda rng: {"StudyDate": _days(rng, 7), "limit": 100}),
    ("a week, CT", lambda rng: {"StudyDate": _days(rng, 7), "ModalitiesInStudy": "CT", "limit": 100}),
    ("a year", lambda rng: {"StudyDate": _year(rng), "limit": 100}),
    ("a year, page 100", lambda rng: {"StudyDate": _year(rng), "limit": 100, "offset": 9900}),
    ("everything, page 1", lambda rng: {"limit": 100}),
    ("everything, page 150", lambda rng: {"limit": 100, "offset": 15_000 + rng.randrange(100)}),
    ("everything, page 1,000", lambda rng: {"limit": 100, "offset": 99_900 + rng.randrange(100)}),
    ("everything, page 10,000", lambda rng: {"limit": 100, "offset": 999_900 - rng.randrange(100)}),
    ("CT of any day", lambda rng: {"ModalitiesInStudy": "CT", "limit": 100}),
)


def query(question: Question, keys: Keys) -> Query:
    texts = {**dict.fromkeys(_ASKED[question.level].split(), ""), **keys}
    elements = sorted((BY_KEYWORD[name].tag, BY_KEYWORD[name].vr, text.encode()) for name, text in texts.items())
    level = (0x00080052, "CS", question.level.encode())
    identifier = encode_elements(sorted([level, *elements]), EXPLICIT_LITTLE)
    root = InformationModel.PATIENT_ROOT if question.level == "PATIENT" else InformationModel.STUDY_ROOT
    return from_identifier(identifier, transfer_syntax_uid=EXPLICIT_LITTLE, model=root)


def answers(asked: Query) -> Answers:
    return Answers(asked, system("benchmark"), transfer_syntax_uid=EXPLICIT_LITTLE, retrieve_ae_title="PACS")


def measure(question: Question, runs: int) -> tuple[list[float], list[float], list[int]]:
    """Milliseconds to the first answer and to the last taken, and how many were taken."""
    firsts, lasts, numbers = [], [], []
    for run in range(runs):
        keys = question.drawn(random.Random(f"{question.name} {run}"))
        begin = time.perf_counter()
        found = iter(answers(query(question, keys)))
        first = next(found, None)
        firsts.append((time.perf_counter() - begin) * 1000)
        numbers.append((first is not None) + sum(1 for _ in islice(found, MOST - 1)))
        lasts.append((time.perf_counter() - begin) * 1000)
    return firsts, lasts, numbers


def percentile(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def explain(question: Question) -> None:
    with CaptureQueriesContext(connection) as captured:
        list(islice(answers(query(question, question.drawn(random.Random(1)))), 1))
    statement = captured.captured_queries[-1]["sql"]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {statement.replace('%', '%%')}")
        print(f"\n### {question.level} by {question.name}\n{statement}\n")
        print("\n".join(line for (line,) in cursor.fetchall()))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--studies", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=40, help="queries of each kind")
    parser.add_argument("--only", default="", help="part of the names of the kinds to run")
    parser.add_argument("--qido", action="store_true", help="QIDO-RS instead of C-FIND")
    parser.add_argument("--explain", action="store_true", help="print the plan of each kind instead")
    options = parser.parse_args()
    call_command("migrate", verbosity=0, run_syncdb=True)
    if not Study.objects.exists():
        begin = time.perf_counter()
        fill(options.studies)
        print(f"{options.studies:,} studies made in {time.perf_counter() - begin:.0f} s")
    if options.qido:
        kinds = [kind for kind in WEB if options.only in kind[0]]
        report(kinds, studies=Study.objects.count(), runs=options.runs, percentile=percentile)
        return
    chosen = [question for question in QUESTIONS if options.only in f"{question.level} by {question.name}"]
    if options.explain:
        for question in chosen:
            explain(question)
        return
    print(f"| C-FIND at {Study.objects.count():,} studies, ms | answers | first p50 | p95 | {MOST} p50 | p95 |")
    print("|---|---|---|---|---|---|")
    for question in chosen:
        measure(question, 2)
        firsts, lasts, numbers = measure(question, options.runs if question.often else max(3, options.runs // 10))
        figures = [percentile(values, part) for values in (firsts, lasts) for part in (0.5, 0.95)]
        cells = " | ".join(f"{figure:.1f}" for figure in figures)
        print(f"| {question.level} by {question.name} | {statistics.median(numbers):.0f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
