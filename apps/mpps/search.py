"""Filters as addresses have them -> performed steps, the latest first."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from django.db.models import Q

from apps.accounts.principal import Principal
from apps.accounts.rest import Filters, Params, filtered
from apps.lookups import Kind, condition
from apps.mpps.models import PerformedProcedureStep, PerformedStatus, ScheduledStepAttributes
from apps.worklist.search import moment
from dicom import matching
from dicom.errors import InvalidValue

_COLUMNS: Final[Mapping[str, tuple[str, Kind, str]]] = {
    "patient_id": ("LO", Kind.KEY, "patient_id"),
    "patient_name": ("PN", Kind.ALPHABETIC_NAME, "patient_name"),
    "performed_procedure_step_id": ("SH", Kind.KEY, "performed_procedure_step_id"),
    "performed_station_ae_title": ("AE", Kind.KEY, "performed_station_ae_title"),
    "station": ("AE", Kind.KEY, "performed_station_ae_title"),
    "modality": ("CS", Kind.KEY, "modality"),
    "performed_procedure_step_start_date": ("DA", Kind.DATE, "performed_procedure_step_start_date"),
    "sop_instance_uid": ("UI", Kind.UID, "sop_instance_uid"),
}
_OF_SCHEDULED: Final[Mapping[str, tuple[str, Kind, str]]] = {
    "study_instance_uid": ("UI", Kind.UID, "study_instance_uid"),
    "accession_number": ("SH", Kind.KEY, "accession_number"),
    "scheduled_procedure_step_id": ("SH", Kind.KEY, "scheduled_procedure_step_id"),
}


def _matching(vr: str, kind: Kind, column: str, values: Sequence[str]) -> Q:
    texts = [part for value in values for part in (value.split(",") if vr in ("CS", "UI") else [value])]
    key = matching.parse(vr, "\\".join(text for text in texts if text.strip()))
    if isinstance(key, matching.Either) and len(key.keys) > 100:
        raise InvalidValue("more than 100 patterns")
    return condition(key, kind=kind, column=column)


def _of_scheduled(vr: str, kind: Kind, column: str, values: Sequence[str]) -> Q:
    found = _matching(vr, kind, column, values)
    return Q(pk__in=ScheduledStepAttributes.objects.filter(found).values("performed")) if found else Q()


def _status(values: Sequence[str]) -> Q:
    names = {name.strip().upper().replace("_", " ") for value in values for name in value.split(",")} - {""}
    if wrong := sorted(names - set(PerformedStatus.values)):
        raise InvalidValue(f"{wrong[0][:16]} is none of {', '.join(PerformedStatus.values)}")
    return Q(status__in=sorted(names)) if names else Q()


def _step(values: Sequence[str]) -> Q:
    keys = [value for value in values if value.strip()]
    if not all(key.isascii() and key.isdigit() and len(key) < 19 for key in keys):
        raise InvalidValue("the id of a step of the worklist")
    rows = ScheduledStepAttributes.objects.filter(step__in=[int(key) for key in keys])
    return Q(pk__in=rows.values("performed")) if keys else Q()


def _changed_since(values: Sequence[str]) -> Q:
    since = moment(values)
    return Q(changed_at__gte=since) if since else Q()


FILTERS: Final[Filters] = {
    **{name: partial(_matching, *column) for name, column in _COLUMNS.items()},
    **{name: partial(_of_scheduled, *column) for name, column in _OF_SCHEDULED.items()},
    "status": _status,
    "step": _step,
    "changed_since": _changed_since,
}


def page(params: Params, *, principal: Principal, limit: int, before: int | None) -> list[PerformedProcedureStep]:
    """One more than `limit` where there are more. Raises InvalidRequest, naming every filter that is wrong."""
    found = filtered(params, FILTERS)
    if before is not None:
        found &= Q(pk__lt=before)
    steps = PerformedProcedureStep.objects.visible_to(principal).filter(found).order_by("-pk")
    return list(steps.prefetch_related("scheduled")[: limit + 1])
