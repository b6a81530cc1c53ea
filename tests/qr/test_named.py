"""What an address of DICOMweb names: found by a statement that is written once, with the same answer as any other."""

from dataclasses import replace

import pytest

from apps.accounts.principal import Kind, Principal
from apps.qr import retrieve
from apps.qr.retrieve import named
from dicom.sop_classes import Service
from tests.qr import rows

pytestmark = pytest.mark.django_db

VIEWER = Principal(kind=Kind.USER, name="doctor", services=frozenset({Service.GET}))


@pytest.fixture(autouse=True)
def studies() -> None:
    for uid in ("1.2.1", "1.2.2"):
        rows.study(rows.patient(uid), uid, series=("CT", "MR"), images=3)


def found(principal: Principal = VIEWER, **uids: str) -> list[str]:
    return [row.sop_instance_uid for row in named(principal, uids)]


@pytest.mark.parametrize("page", [500, 2])
def test_all_of_a_level_is_found_in_its_order(monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(retrieve, "PAGE", page)
    for study in ("1.2.1", "1.2.2"):
        both = [f"{study}.{series}.{number}" for series in (1, 2) for number in (1, 2, 3)]
        assert found(StudyInstanceUID=study) == both
        assert found(StudyInstanceUID=study, SeriesInstanceUID=f"{study}.2") == both[3:]
        assert found(StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1", SOPInstanceUID=both[1]) == [both[1]]


def test_uids_that_do_not_belong_together_name_nothing() -> None:
    assert found(StudyInstanceUID="1.2.1", SeriesInstanceUID="1.2.2.1") == []
    assert found(StudyInstanceUID="StudyInstanceUID") == []


def test_who_may_see_nothing_finds_nothing_where_he_did_before() -> None:
    assert found(StudyInstanceUID="1.2.1")
    assert found(replace(VIEWER, services=frozenset()), StudyInstanceUID="1.2.1") == []
