"""Rules and what a dry run found, as REST shows them."""

from collections.abc import Mapping
from typing import Any

from apps.routing.attributes import ATTRIBUTES, Attribute, Form
from apps.routing.conditions import LABELS, Operator, fits
from apps.routing.dry_run import Looked, Outcome
from apps.routing.models import RoutingRule
from apps.routing.rules import Draft


def rule(row: RoutingRule, *, position: int) -> dict[str, Any]:
    draft = Draft.of(row)
    return {
        "id": row.pk,
        "position": position,
        **draft.document(),
        "reads": [str(each) for each in draft.conditions],
        "missing": [each.name for each in draft.destinations if each.target is None],
        "in_force_since": row.in_force_since,
        "fired": row.fired,
        "images": row.images,
        "last_fired_at": row.last_fired_at,
        "last_error": row.last_error,
        "last_error_at": row.last_error_at,
        "version": str(row.revision),
    }


def outcome(found: Outcome) -> dict[str, Any]:
    return {
        "more": found.more,
        "number_of_studies": len(found.studies),
        "number_of_images": found.images,
        "to": found.to(),
        "studies": [_looked(each) for each in found.studies],
    }


def _looked(looked: Looked) -> dict[str, Any]:
    study = looked.study
    return {
        "study_instance_uid": study.study_instance_uid,
        "patient_id": study.patient.patient_id,
        "patient_name": study.patient.patient_name,
        "study_date": study.study_date,
        "study_description": study.study_description,
        "images": looked.images,
        "sends": [{"destination": each.destination, "images": each.images} for each in looked.sends],
        "keeps": [
            {"reason": each.reason, "destination": each.destination or None, "images": each.images}
            for each in looked.keeps
        ],
    }


def attribute(each: Attribute) -> Mapping[str, Any]:
    """With the operators that it takes."""
    operators = [operator for operator in Operator if fits(each, operator)]
    return {
        "attribute": each.name,
        "label": str(each.label),
        "form": str(Form(each.form)),
        "operators": [{"operator": str(operator), "label": str(LABELS[operator])} for operator in operators],
    }


def attributes() -> list[Mapping[str, Any]]:
    return [attribute(each) for each in ATTRIBUTES.values()]
