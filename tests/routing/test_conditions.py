"""What conditions say of values as they stand in the index."""

from datetime import date
from typing import Any

import pytest

from apps.routing import conditions
from apps.routing.attributes import ATTRIBUTES
from apps.routing.conditions import Condition, matches
from apps.storage.models import Instance


def holds(attribute: str, operator: str, values: list[str], stored: Any) -> bool:
    errors: dict[str, str] = {}
    (read,) = conditions.check([{"attribute": attribute, "operator": operator, "values": values}], errors)
    assert not errors
    assert Condition.read(read.document()) == read
    return read.holds(stored)


def wrong(**said: Any) -> dict[str, str]:
    errors: dict[str, str] = {}
    conditions.check([said], errors)
    return errors


@pytest.mark.parametrize(
    ("attribute", "operator", "values", "stored", "expected"),
    [
        ("modality", "is", ["ct"], "CT", True),
        ("modality", "is", ["CT"], "MR", False),
        ("modality", "is_not", ["CT"], "MR", True),
        ("modality", "is_not", ["CT"], "", True),
        ("modality", "is_one_of", ["CT", "MR"], "MR", True),
        ("modality", "is_none_of", ["CT", "MR"], "MR", False),
        ("modalities_in_study", "is", ["SR"], "CT\\SR", True),
        ("modalities_in_study", "is_not", ["SR"], "CT\\SR", False),
        ("study_description", "contains", ["schädel"], "CT SCHADEL nativ", True),
        ("study_description", "begins_with", ["ct head"], "CT Head 2", True),
        ("study_description", "begins_with", ["head"], "CT Head", False),
        ("study_description", "matches", ["CT*native?"], "ct head nativeX", True),
        ("study_description", "matches", ["CT*[ab]"], "CT a", False),
        ("study_description", "is_empty", [], "", True),
        ("study_description", "is_not_empty", [], " ", False),
        ("called_ae_title", "is", ["PACS"], None, False),
        ("called_ae_title", "is_empty", [], None, True),
        ("calling_ae_title", "is", ["ct1"], "CT1", False),
        ("calling_ae_title", "begins_with", ["CT"], "CT1", True),
        ("referring_physician_name", "is", ["Doe, Jane"], "DOE^JANE^^", True),
        ("referring_physician_name", "begins_with", ["doe"], "Doe^Jane", True),
        ("patient_name", "is", ["Doe^Jane"], "Doe^Jane=杜^珍", True),
        ("study_date", "in_range", ["2026-11-01", "20261130"], date(2026, 11, 30), True),
        ("study_date", "in_range", ["2026-11-01", ""], date(2026, 10, 31), False),
        ("study_date", "is", ["2026-11-01"], None, False),
        ("content_date", "in_range", ["", "20261130"], "20261115", True),
        ("rows", "in_range", ["512", ""], 1024, True),
        ("number_of_frames", "in_range", ["2", ""], "1", False),
        ("number_of_frames", "in_range", ["2", ""], "", False),
    ],
)
def test_a_condition_holds_of_what_it_says(
    attribute: str, operator: str, values: list[str], stored: Any, expected: bool
) -> None:
    assert holds(attribute, operator, values, stored) is expected


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ({"attribute": "nothing", "operator": "is", "values": ["1"]}, "attribute"),
        ({"attribute": ["modality"], "operator": "is", "values": ["1"]}, "attribute"),
        ({"attribute": "modality", "operator": "like", "values": ["1"]}, "operator"),
        ({"attribute": "modality", "operator": [], "values": ["1"]}, "operator"),
        ({"attribute": "modality", "operator": "in_range", "values": ["1", "2"]}, "operator"),
        ({"attribute": "study_date", "operator": "contains", "values": ["1"]}, "operator"),
        ({"attribute": "modality", "operator": "is", "values": []}, "values"),
        ({"attribute": "modality", "operator": "is", "values": [" "]}, "values"),
        ({"attribute": "modality", "operator": "is", "values": "CT"}, "values"),
        ({"attribute": "modality", "operator": "is", "values": ["a\0b"]}, "values"),
        ({"attribute": "modality", "operator": "is_empty", "values": ["CT"]}, "values"),
        ({"attribute": "study_date", "operator": "is", "values": ["tomorrow"]}, "values"),
        ({"attribute": "study_date", "operator": "in_range", "values": ["20261130", "20261101"]}, "values"),
        ({"attribute": "study_date", "operator": "in_range", "values": ["", ""]}, "values"),
        ({"attribute": "rows", "operator": "in_range", "values": ["1e3", ""]}, "values"),
        ({"attribute": "study_description", "operator": "matches", "values": ["*a" * 30]}, "values"),
    ],
)
def test_what_cannot_stand_is_named_by_its_place(said: dict[str, Any], where: str) -> None:
    assert list(wrong(**said)) == [f"conditions[0].{where}"]


def test_a_pattern_that_goes_back_and_forth_ends_soon() -> None:
    assert not matches("a" * 256, "*a" * 20 + "b")
    assert matches("a" * 256 + "b", "*a" * 20 + "b")


@pytest.mark.django_db
def test_each_attribute_names_a_column_of_the_index() -> None:
    assert list(Instance.objects.values_list(*(each.path for each in ATTRIBUTES.values()))) == []
