"""The rows of an order, top to bottom: found by what identifies them, made when they are not there, changed."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from apps.worklist.attributes import BY_NAME, Level
from apps.worklist.models import (
    ImagingServiceRequest,
    OrderChanges,
    RequestedProcedure,
    ScheduledProcedureStep,
    StepStatus,
    Visit,
    WorklistPatient,
)
from apps.worklist.order import InvalidOrder, Order, columns
from dicom.errors import InvalidFields
from dicom.values import name_key, new_uid

Changes = dict[str, list[Any]]  # attribute: [before, after]
Row = WorklistPatient | Visit | ImagingServiceRequest | RequestedProcedure | ScheduledProcedureStep

# A person is another one when these differ; a form or a message that says so may have the wrong patient ID.
_PERSON: Final[Mapping[str, Callable[[str], str]]] = {
    "patient_name": name_key,
    "patient_birth_date": str,
    "patient_sex": str,
}


BEGUN: Final = (StepStatus.STARTED, StepStatus.COMPLETED, StepStatus.DISCONTINUED)


class Disagreement(InvalidFields):
    """What was given and what is there exclude each other; `errors` says what, by name of the attribute."""

    http_status = 409


def create(order: Order, *, update_patient: bool) -> tuple[ScheduledProcedureStep, Changes]:
    """A step and what it needs above; and what that changed in rows that were there: they keep what the order leaves
    empty."""
    order = order.without_empty()
    changes: Changes = {}
    patient = _patient(order, changes, update_patient=update_patient)
    visit = _visit(order, patient, changes)
    request = _request(order, patient, visit, changes)
    procedure = _procedure(order, request, changes)
    identity = order.scheduled_procedure_step_id
    if identity and procedure.steps.filter(scheduled_procedure_step_id=identity).exists():
        raise Disagreement({"scheduled_procedure_step_id": "exists already"})
    now = timezone.now()
    step = ScheduledProcedureStep.objects.create(
        requested_procedure=procedure, created_at=now, changed_at=now, **_first(order, Level.STEP)
    )
    if not identity:
        _number(step, "scheduled_procedure_step_id", "S")
    return step, changes


def change(step: ScheduledProcedureStep, order: Order, *, update_patient: bool) -> Changes:
    """Makes the rows say what the order says: another patient, another accession number, other IDs only as long as no
    step below them has begun."""
    procedure = step.requested_procedure
    request = procedure.imaging_service_request
    changes: Changes = {}
    _refuse_emptied(order)
    _refuse_moves(step, order)
    _refuse_taken(step, order)
    _move(request, order, changes, update_patient=update_patient)
    _update(request, order, Level.REQUEST, changes)
    _update(procedure, order, Level.PROCEDURE, changes)
    _update(step, order, Level.STEP, changes)
    if changes:
        step.changed_at = timezone.now()
        step.save(update_fields=["changed_at"])
    return changes


def _patient(order: Order, changes: Changes, *, update_patient: bool) -> WorklistPatient:
    patient, made = WorklistPatient.objects.get_or_create(
        patient_id=order.patient_id or "",
        issuer_of_patient_id=order.issuer_of_patient_id or "",
        defaults=_first(order, Level.PATIENT),
    )
    if not made:
        if not update_patient:
            _refuse_another_person(patient, order)
        _update(patient, order, Level.PATIENT, changes)
    return patient


def _visit(order: Order, patient: WorklistPatient, changes: Changes) -> Visit | None:
    if not order.of(Level.VISIT) and not order.other_attributes.get(Level.VISIT):
        return None
    visit, made = Visit.objects.get_or_create(
        patient=patient, admission_id=order.admission_id or "", defaults=_first(order, Level.VISIT)
    )
    if not made:
        _update(visit, order, Level.VISIT, changes)
    return visit


def _request(order: Order, patient: WorklistPatient, visit: Visit | None, changes: Changes) -> ImagingServiceRequest:
    known = _request_of(order.accession_number, order.issuer_of_accession_number) or _request_of_study(order)
    if known is not None:
        if known.patient_id != patient.pk:
            name = "accession_number" if order.accession_number else "study_instance_uid"
            raise Disagreement({name: "belongs to another patient"})
        if visit is not None and known.visit_id != visit.pk:
            known.visit = visit
            known.save(update_fields=["visit"])
            _revise(known)
        _update(known, order, Level.REQUEST, changes)
        return known
    made = ImagingServiceRequest.objects.create(patient=patient, visit=visit, **_first(order, Level.REQUEST))
    if not order.accession_number:
        _number(made, "accession_number", "A")
    return made


def _request_of(accession_number: str | None, issuer: str | None) -> ImagingServiceRequest | None:
    if not accession_number:
        return None
    return ImagingServiceRequest.objects.filter(
        accession_number=accession_number, issuer_of_accession_number=issuer or ""
    ).first()


def _request_of_study(order: Order) -> ImagingServiceRequest | None:
    """Without an accession number, the one whose procedure has the study."""
    if order.accession_number or not order.study_instance_uid:
        return None
    return ImagingServiceRequest.objects.filter(procedures__study_instance_uid=order.study_instance_uid).first()


def _procedure(order: Order, request: ImagingServiceRequest, changes: Changes) -> RequestedProcedure:
    known = _procedure_of(order, request)
    if known is not None:
        if order.study_instance_uid not in (None, known.study_instance_uid):
            raise Disagreement({"study_instance_uid": "is another one in this requested procedure"})
        _update(known, order, Level.PROCEDURE, changes)
        return known
    if order.study_instance_uid and RequestedProcedure.objects.filter(study_instance_uid=order.study_instance_uid):
        raise Disagreement({"study_instance_uid": "belongs to another requested procedure"})
    values = _first(order, Level.PROCEDURE)
    made = RequestedProcedure.objects.create(
        imaging_service_request=request, **{**values, "study_instance_uid": order.study_instance_uid or new_uid()}
    )
    if not order.requested_procedure_id:
        _number(made, "requested_procedure_id", "P")
    return made


def _procedure_of(order: Order, request: ImagingServiceRequest) -> RequestedProcedure | None:
    """By its ID, else by its study."""
    if order.requested_procedure_id:
        return request.procedures.filter(requested_procedure_id=order.requested_procedure_id).first()
    if order.study_instance_uid:
        return request.procedures.filter(study_instance_uid=order.study_instance_uid).first()
    return None


def _move(request: ImagingServiceRequest, order: Order, changes: Changes, *, update_patient: bool) -> None:
    """The request's patient and visit after a change: the same with other data, or others."""
    old = request.patient
    identity = {
        name: getattr(old, name) if getattr(order, name) is None else getattr(order, name)
        for name in ("patient_id", "issuer_of_patient_id")
    }
    given = replace(order, **identity, patient_name=order.patient_name or _known_name(identity) or old.patient_name)
    given = _with_what_is_known(request, given)
    patient = _patient(given, changes, update_patient=update_patient)
    visit = request.visit
    if visit is None or patient.pk != old.pk or order.admission_id not in (None, visit.admission_id):
        visit = _visit(given, patient, changes)
    else:
        _update(visit, given, Level.VISIT, changes)
    same = patient.pk == old.pk and visit == request.visit
    request.patient, request.visit = patient, visit  # as they are now, if they are the same
    if same:
        return
    for name, new in identity.items():
        if new != getattr(old, name):
            changes[name] = [getattr(old, name), new]
    request.save(update_fields=["patient", "visit"])
    _revise(request)


def _with_what_is_known(request: ImagingServiceRequest, given: Order) -> Order:
    """A patient ID that is corrected, to one that nobody has: still the same person, with all that is known of her and
    of her visit. Another name is another person."""
    if _known_name({name: getattr(given, name) for name in ("patient_id", "issuer_of_patient_id")}):
        return given
    if name_key(given.patient_name or "") != name_key(request.patient.patient_name):
        return given
    rows: dict[Level, Row] = {Level.PATIENT: request.patient}
    if request.visit is not None:
        rows[Level.VISIT] = request.visit
    known: dict[str, Any] = {
        name: getattr(rows[attribute.level], name)
        for name, attribute in BY_NAME.items()
        if attribute.level in rows and getattr(given, name) is None
    }
    others = {level: {**row.other_attributes, **given.other_attributes.get(level, {})} for level, row in rows.items()}
    return replace(given, **known, other_attributes={**given.other_attributes, **others})


def _known_name(identity: Mapping[str, str]) -> str:
    """Of whom a patient ID names: who moves a step to him need not repeat it."""
    return WorklistPatient.objects.filter(**identity).values_list("patient_name", flat=True).first() or ""


def _refuse_emptied(order: Order) -> None:
    """What identifies, and whom a step is for, is never taken away."""
    needed = [name for name, attribute in BY_NAME.items() if attribute.required or name == "accession_number"]
    errors = {
        name: "is needed" for name in needed if getattr(order, name) == "" and name != "scheduled_station_ae_title"
    }
    if errors:
        raise InvalidOrder(errors)


def _refuse_moves(step: ScheduledProcedureStep, order: Order) -> None:
    """What was done stays whose it was, also when a sibling of it is what is changed."""
    rows = _rows(step)
    moved = [
        name
        for name, attribute in BY_NAME.items()
        if attribute.identifies
        and getattr(order, name) is not None
        and (row := rows[attribute.level]) is not None
        and getattr(order, name) != getattr(row, name)
    ]
    refused = {}
    for name in moved:
        if (begun := _begun(step, BY_NAME[name].level)) is not None:
            refused[name] = f"cannot change: step {begun.scheduled_procedure_step_id} is {begun.status}"
    if refused:
        raise Disagreement(refused)


def _begun(step: ScheduledProcedureStep, level: Level) -> ScheduledProcedureStep | None:
    """A step below the row of a level that has begun."""
    procedure = step.requested_procedure
    scope = {
        Level.STEP: Q(pk=step.pk),
        Level.PROCEDURE: Q(requested_procedure=procedure),
    }.get(level, Q(requested_procedure__imaging_service_request=procedure.imaging_service_request))
    return ScheduledProcedureStep.objects.filter(scope, status__in=BEGUN).order_by("pk").first()


def _rows(step: ScheduledProcedureStep) -> Mapping[Level, Row | None]:
    request = step.requested_procedure.imaging_service_request
    return {
        Level.PATIENT: request.patient,
        Level.VISIT: request.visit,
        Level.REQUEST: request,
        Level.PROCEDURE: step.requested_procedure,
        Level.STEP: step,
    }


def _refuse_taken(step: ScheduledProcedureStep, order: Order) -> None:
    """Identifiers that other rows have."""
    procedure = step.requested_procedure
    request = procedure.imaging_service_request
    number = request.accession_number if order.accession_number is None else order.accession_number
    issuer = order.issuer_of_accession_number
    other = _request_of(number, request.issuer_of_accession_number if issuer is None else issuer)
    siblings = RequestedProcedure.objects.exclude(pk=procedure.pk)
    steps = procedure.steps.exclude(pk=step.pk)
    taken: Mapping[str, QuerySet[RequestedProcedure] | QuerySet[ScheduledProcedureStep]] = {
        "requested_procedure_id": siblings.filter(
            imaging_service_request=request, requested_procedure_id=order.requested_procedure_id or ""
        ),
        "study_instance_uid": siblings.filter(study_instance_uid=order.study_instance_uid or ""),
        "scheduled_procedure_step_id": steps.filter(
            scheduled_procedure_step_id=order.scheduled_procedure_step_id or ""
        ),
    }
    errors = {name: "exists already" for name, rows in taken.items() if getattr(order, name) and rows.exists()}
    if other is not None and other.pk != request.pk:
        errors["accession_number"] = "exists already"
    if errors:
        raise Disagreement(errors)


def _refuse_another_person(patient: WorklistPatient, order: Order) -> None:
    differ = {
        name: f"the patient of this ID has another: {getattr(patient, name)}"
        for name, comparable in _PERSON.items()
        if (given := getattr(order, name))
        and getattr(patient, name)
        and comparable(given) != comparable(getattr(patient, name))
    }
    if differ:
        raise Disagreement(differ)


def _first(order: Order, level: Level) -> dict[str, Any]:
    """Columns of a new row."""
    found: dict[str, Any] = {"other_attributes": dict(order.other_attributes.get(level, {}))}
    for name, value in order.of(level).items():
        found |= _columns(name, value)
    return found


def _columns(name: str, value: Any) -> dict[str, Any]:
    attribute = BY_NAME.get(name)
    return columns(attribute, value) if attribute else {name: value or None}


def _update(row: Row, order: Order, level: Level, changes: Changes) -> None:
    """What the order says of this level and the row says otherwise."""
    changed: dict[str, Any] = {}
    for name, value in order.of(level).items():
        new = _columns(name, value)
        before = getattr(row, name)
        if before != new[name]:
            changes[name] = [before, new[name]]
            changed |= new
    others = {
        tag: item
        for tag, item in order.other_attributes.get(level, {}).items()
        if row.other_attributes.get(tag) != item
    }
    for tag, item in others.items():
        changes[f"step {tag}" if level is Level.STEP else tag] = [row.other_attributes.get(tag), item]
    if others:
        changed["other_attributes"] = {**row.other_attributes, **others}
    if changed:
        for name, value in changed.items():
            setattr(row, name, value)
        row.save(update_fields=list(changed))
        _revise(row)


def _revise(row: Row) -> None:
    """One more than whatever it is now: two changes at once are two."""
    type(row)._default_manager.filter(pk=row.pk).update(revision=F("revision") + 1)
    row.refresh_from_db(fields=["revision"])
    if not isinstance(row, ScheduledProcedureStep):
        _count_change()


def _count_change() -> None:
    """In a row that nobody else holds: it waits for no other transaction, and none for it."""
    free = OrderChanges.objects.select_for_update(skip_locked=True, no_key=True).order_by("pk")
    key = free.values_list("pk", flat=True).first()
    if key is None:
        OrderChanges.objects.create(number=1)
    else:
        OrderChanges.objects.filter(pk=key).update(number=F("number") + 1)


def _number(row: ImagingServiceRequest | RequestedProcedure | ScheduledProcedureStep, column: str, letter: str) -> None:
    """A number of our own, made of the row's key, that nobody else gave."""
    number = f"{letter}{row.pk:07}"
    while type(row)._default_manager.filter(**{column: number}).exists():
        number = f"{letter}{row.pk:07}-{secrets.token_hex(2)}"
    setattr(row, column, number)
    row.save(update_fields=[column])
