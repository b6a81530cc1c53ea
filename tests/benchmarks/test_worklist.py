"""The synthetic orders fit the tables as they are, and the benchmark's questions find them."""

import random
from datetime import date

import pytest

from apps.worklist.models import ScheduledProcedureStep
from benchmarks import worklist
from benchmarks.worklist_orders import fill
from tests.worklist.conftest import Serve, serve

__all__ = ["serve"]
TODAY = date(2026, 11, 25)


@pytest.mark.django_db(transaction=True)
def test_each_kind_of_question_is_answered(serve: Serve) -> None:
    fill(2000, today=TODAY)
    assert ScheduledProcedureStep.objects.with_order().count() == 2000
    crowd = worklist.Crowd(serve().port, 1, 2000, TODAY)
    measured = crowd.run(1)
    crowd.close()
    assert set(measured.took) <= set(worklist.kinds(2000, TODAY))
    assert measured.took and not measured.failed


def test_questions_are_identifiers() -> None:
    for drawn in worklist.kinds(2000, TODAY).values():
        assert worklist.identifier(drawn(random.Random(1)))
