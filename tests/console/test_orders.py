"""In which order the list of studies has them."""

import pytest

from apps.accounts.principal import system
from apps.console import studies
from apps.console.studies import Filters
from tests.qr import rows

pytestmark = pytest.mark.django_db

DATES = {"1": "20240101", "2": "", "3": "20240301", "4": "yesterday", "5": "20240201", "6": "20240301"}


@pytest.fixture(autouse=True)
def _archive() -> None:
    of = rows.patient()
    for uid, study_date in DATES.items():
        rows.study(of, uid, series=(), study_date=study_date)
    of.studies.update(number_of_study_related_instances=1)


@pytest.mark.parametrize("page", [1, 2, 3, 4, 5, 50])
@pytest.mark.parametrize(("order", "expected"), [("-date", ["6", "3", "5", "1", "4", "2"]), ("date", list("153624"))])
def test_studies_without_a_date_come_last_whichever_way(
    monkeypatch: pytest.MonkeyPatch, page: int, order: str, expected: list[str]
) -> None:
    monkeypatch.setattr(studies, "PAGE", page)
    seen, number, more = [], 1, True
    while more:
        found = studies.find(Filters(order=order, page=number), system("test"))
        seen += [study.study_instance_uid for study in found.studies]
        number, more = number + 1, found.more
    assert seen == expected
    assert studies.find(Filters(order=order, page=1000), system("test")).studies == []


@pytest.mark.parametrize("order", ["date", "-date"])
def test_a_range_of_dates_has_those_with_a_date_alone(order: str) -> None:
    found = studies.find(Filters(order=order, since="2024-01-15", until="2024-02-28"), system("test"))
    assert [study.study_instance_uid for study in found.studies] == ["5"]
