"""A year of scheduled steps on thirty stations, on either database; alone: `... worklist_orders STEPS TODAY`."""

import os
import random
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Any

import django
from django.db import connection
from django.db.models import Model

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pacs.settings")
    django.setup()

from apps.worklist.models import (
    ImagingServiceRequest,
    RequestedProcedure,
    ScheduledProcedureStep,
    Visit,
    WorklistPatient,
)
from benchmarks.synthetic import GIVEN, UID_ROOT
from benchmarks.worklist_values import MODALITIES, STATIONS, accession_number, family, patient_id

DAYS = 365
_AT_ONCE = 5000


def _patient(number: int) -> WorklistPatient:
    rng = random.Random(f"patient {number}")
    name = f"{family(rng)}^{''.join(rng.choice(part) for part in GIVEN)}"
    if number % 20 == 0:
        name = name.replace("a", "ä", 1)
    born = date(1930, 1, 1) + timedelta(rng.randrange(32000))
    return WorklistPatient(
        pk=number,
        patient_id=patient_id(number),
        issuer_of_patient_id="HOSPITAL",
        patient_name=name.title(),
        patient_name_key=name.replace("ä", "a"),
        patient_birth_date=f"{born:%Y%m%d}",
        patient_birth_date_value=born,
        patient_sex=rng.choice("FM"),
    )


def _request(number: int, patients: int) -> ImagingServiceRequest:
    patient = random.Random(f"request {number}").randrange(1, patients + 1)
    doctor = f"dr{number % 300}^an"
    return ImagingServiceRequest(
        pk=number,
        patient_id=patient,
        visit_id=patient if patient % 4 == 0 else None,
        accession_number=accession_number(number),
        requesting_physician=doctor.title(),
        requesting_physician_key=doctor,
        referring_physician_name=doctor.title(),
        referring_physician_name_key=doctor,
    )


def _procedure(number: int) -> RequestedProcedure:
    code = {
        "00080100": {"vr": "SH", "Value": [f"C{number % 200}"]},
        "00080102": {"vr": "SH", "Value": ["99RIS"]},
        "00080104": {"vr": "LO", "Value": [f"Procedure {number % 200}"]},
    }
    return RequestedProcedure(
        pk=number,
        imaging_service_request_id=number,
        requested_procedure_id=f"P{number:08}",
        study_instance_uid=f"{UID_ROOT}.{number}",
        requested_procedure_description=f"Procedure {number % 200}",
        requested_procedure_code_sequence=[code],
        requested_procedure_priority=("ROUTINE", "HIGH", "STAT")[number % 3],
    )


def _step(number: int, first: date, now: datetime) -> ScheduledProcedureStep:
    rng = random.Random(f"step {number}")
    day, at = first + timedelta(rng.randrange(DAYS)), time(7 + rng.randrange(12), rng.choice((0, 15, 30, 45)))
    station = rng.randrange(len(STATIONS))
    return ScheduledProcedureStep(
        pk=number,
        requested_procedure_id=number,
        scheduled_procedure_step_id=f"S{number:08}",
        modality=MODALITIES[station],
        scheduled_station_ae_title=STATIONS[station],
        scheduled_procedure_step_start_date=f"{day:%Y%m%d}",
        scheduled_procedure_step_start_date_value=day,
        scheduled_procedure_step_start_time=f"{at:%H%M%S}",
        scheduled_procedure_step_start_time_value=at,
        scheduled_procedure_step_description=f"Procedure {number % 200}",
        scheduled_procedure_step_location=f"Room {station}",
        created_at=now,
        changed_at=now,
    )


def fill(steps: int, *, today: date) -> None:
    """A request and a procedure for each step, two and a half of them a patient; a quarter of the patients in a bed.
    Today is in the middle of the year."""
    patients = max(1, steps * 2 // 5)
    first, now = today - timedelta(DAYS // 2), datetime.now(UTC)
    kinds: tuple[tuple[type[Model], int, Callable[[int], Any]], ...] = (
        (WorklistPatient, patients, _patient),
        (Visit, patients, lambda number: Visit(pk=number, patient_id=number, admission_id=f"ADM{number:07}")),
        (ImagingServiceRequest, steps, lambda number: _request(number, patients)),
        (RequestedProcedure, steps, _procedure),
        (ScheduledProcedureStep, steps, lambda number: _step(number, first, now)),
    )
    for model, number, make in kinds:
        rows: Iterator[Any] = (make(each) for each in range(1, number + 1) if model is not Visit or each % 4 == 0)
        while batch := list(islice(rows, _AT_ONCE)):
            model._default_manager.bulk_create(batch)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


if __name__ == "__main__":
    fill(int(sys.argv[1]), today=date.fromisoformat(sys.argv[2]))
