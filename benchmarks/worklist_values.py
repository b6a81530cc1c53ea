"""What the orders of the worklist's benchmark are called, for who makes them and for who asks for them."""

import random

from benchmarks.synthetic import FAMILY

MODALITIES = ("CT",) * 6 + ("MR",) * 6 + ("DX",) * 6 + ("US",) * 6 + ("MG", "NM", "PT", "XA", "RF", "CR")
STATIONS = [f"{modality}{number:02}" for number, modality in enumerate(MODALITIES, start=1)]


def family(rng: random.Random) -> str:
    return "".join(rng.choice(part) for part in FAMILY)


def patient_id(number: int) -> str:
    return f"{number * 7919 % 1_000_003:06}"


def accession_number(number: int) -> str:
    return f"A{number:08}"
