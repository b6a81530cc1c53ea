"""Performed steps as flat JSON, and what is reported of them from such: data sets of N-CREATE and N-SET."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest
from apps.mpps import progress, scu
from apps.mpps.columns import TEXTS
from apps.mpps.models import PerformedProcedureStep
from apps.mpps.progress import Progress
from apps.worklist import codes
from apps.worklist.attributes import Attribute, Level, snake_case
from apps.worklist.models import ScheduledProcedureStep
from apps.worklist.order import checked_value
from dicom import jsonmodel, mpps
from dicom.dicomjson import Json, from_text
from dicom.dictionary import dictionary_vr, tag_of
from dicom.dictionary import keyword as keyword_of

SCHEDULED: Final = "scheduled_steps"
SERIES: Final = "series"
UID: Final = "sop_instance_uid"
_SCHEDULED: Final = f"{mpps.SCHEDULED_STEP_ATTRIBUTES:08X}"
_MOST_MISSING: Final = 100


def _attribute(keyword: str) -> Attribute:
    tag = tag_of(keyword)
    assert tag is not None
    name = snake_case(keyword)
    return Attribute(name=name, keyword=keyword, tag=tag, vr=dictionary_vr(tag), level=Level.STEP)


def _table(*keywords: str) -> Mapping[str, Attribute]:
    return {attribute.name: attribute for attribute in map(_attribute, keywords)}


_SETTABLE: Final = _table(
    "PerformedProcedureStepDescription",
    "PerformedProcedureTypeDescription",
    "PerformedProcedureStepEndDate",
    "PerformedProcedureStepEndTime",
    "CommentsOnThePerformedProcedureStep",
)
_FIXED: Final = {
    **_table("PatientName"),
    **{
        attribute.name: attribute
        for attribute in (_attribute(keyword_of(tag)) for tag in TEXTS.values())
        if attribute.name not in _SETTABLE
    },
}
CODES: Final = _table("ProcedureCodeSequence", "PerformedProtocolCodeSequence")
_REASON: Final = _attribute("PerformedProcedureStepDiscontinuationReasonCodeSequence")
# Of the one scheduled step that another system knows, or of none.
OF_SCHEDULED: Final = _table("StudyInstanceUID", "AccessionNumber", "RequestedProcedureID", "ScheduledProcedureStepID")
OF_SERIES: Final = _table(
    "SeriesInstanceUID",
    "SeriesDescription",
    "ProtocolName",
    "PerformingPhysicianName",
    "OperatorsName",
    "RetrieveAETitle",
)
CREATED: Final = {**_FIXED, **_SETTABLE}
CHANGED: Final = _SETTABLE
_REFERENCE: Final = _table("ReferencedSOPClassUID", "ReferencedSOPInstanceUID")

_Readers = Mapping[str, Callable[[Any], Json]]


def data_set(step: PerformedProcedureStep) -> Json:
    """All that was reported, and what the step is known by."""
    return {"00080018": {"vr": "UI", "Value": [step.sop_instance_uid]}, **step.attributes}


def rows(steps: Sequence[PerformedProcedureStep]) -> list[dict[str, Any]]:
    """With what of the images has arrived."""
    counts = progress.of([step.pk for step in steps])
    return [_row(step, counts.get(step.pk, Progress(0, 0))) for step in steps]


def whole(step: PerformedProcedureStep) -> dict[str, Any]:
    return rows([step])[0] | {"missing": progress.missing(step.pk, most=_MOST_MISSING)}


def _row(step: PerformedProcedureStep, count: Progress) -> dict[str, Any]:
    return {
        "id": step.pk,
        UID: step.sop_instance_uid,
        "status": step.status,
        "version": str(step.revision),
        **{name: jsonmodel.text(step.attributes, attribute.tag) for name, attribute in CREATED.items()},
        **{
            name: [codes.shown(item) for item in jsonmodel.items(step.attributes, attribute.tag)]
            for name, attribute in CODES.items()
        },
        "discontinuation_reason": step.discontinuation_reason,
        "needs_reconciliation": step.needs_reconciliation,
        SCHEDULED: [_scheduled(item) for item in step.scheduled.all()],
        "progress": {"received": count.received, "referred": count.referred, "text": str(count)},
        "created_at": step.created_at,
        "changed_at": step.changed_at,
        "ended_at": step.ended_at,
    }


def _scheduled(item: Any) -> dict[str, Any]:
    """`step`: of the worklist, if there is one."""
    return {"item": item.pk, "step": item.step_id} | {name: getattr(item, name) for name in OF_SCHEDULED}


def new(document: Any, *, principal: Principal) -> tuple[str, Json]:
    """SOP Instance UID, if one is given, and the data set of an N-CREATE. What is missing comes from the scheduled
    steps that are named, else from now. Raises InvalidRequest."""
    fields = _object(document)
    steps = _steps(fields, principal)
    if steps and (both := [name for name in OF_SCHEDULED if name in fields]):
        raise InvalidRequest({name: f"the {SCHEDULED} say it" for name in both})
    said = _read({name: value for name, value in fields.items() if name not in (SCHEDULED, UID)}, _CREATE)
    item = {tag: said.pop(tag) for tag in [f"{each.tag:08X}" for each in OF_SCHEDULED.values()] if tag in said}
    of_worklist = _of_worklist(steps) if steps else {}
    if item:
        of_worklist[_SCHEDULED] = {"vr": "SQ", "Value": [item]}
    given = {**of_worklist, **said}
    station = jsonmodel.text(given, 0x00400241)
    if not station:
        raise InvalidRequest({"performed_station_ae_title": "is needed"})
    uid = fields.get(UID) or ""
    if not isinstance(uid, str):
        raise InvalidRequest({UID: "no text"})
    return uid, scu.begun(given, station=station)


def changes(document: Any) -> Json:
    """The data set of an N-SET. Raises InvalidRequest."""
    return _read(_object(document), _CHANGE)


def discontinuation(document: Any) -> Json:
    """As `changes`, with `reason`, a code of PS3.16 CID 9300 or of one's own. Raises InvalidRequest."""
    return _read(_object(document), _DISCONTINUE)


def element(name: str, value: str) -> Json:
    attribute = CREATED[name]
    return {f"{attribute.tag:08X}": from_text(checked_value(attribute, value), attribute.vr)}


def name_of(tag: int) -> str:
    """As errors call an element."""
    return SERIES if tag == mpps.PERFORMED_SERIES else snake_case(keyword_of(tag) or f"{tag:08X}")


def _read(fields: Mapping[str, Any], readers: _Readers) -> Json:
    errors: dict[str, str] = {}
    found: Json = {}
    for name, value in fields.items():
        reader = readers.get(name)
        try:
            if reader is None:
                raise ValueError("no such field")
            found |= reader(value)
        except ValueError as error:
            errors[name[:64]] = str(error)
    if errors:
        raise InvalidRequest(errors)
    return found


def _object(document: Any) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise InvalidRequest({"body": "an object is needed"})
    return document


def _steps(fields: Mapping[str, Any], principal: Principal) -> list[ScheduledProcedureStep]:
    keys = fields.get(SCHEDULED) or []
    if not isinstance(keys, list) or not all(type(key) is int and 0 < key < 1 << 63 for key in keys):
        raise InvalidRequest({SCHEDULED: "a list of ids is needed"})
    found = ScheduledProcedureStep.objects.visible_to(principal).with_order().in_bulk(keys[:100])
    if len(keys) > 100 or len(found) < len(set(keys)):
        raise InvalidRequest({SCHEDULED: "there is no such step" if len(keys) <= 100 else "at most 100"})
    patients = {step.requested_procedure.imaging_service_request.patient_id for step in found.values()}
    if len(patients) > 1:
        raise InvalidRequest({SCHEDULED: "are of several patients"})
    return [found[key] for key in dict.fromkeys(keys)]


def _of_worklist(steps: Sequence[ScheduledProcedureStep]) -> Json:
    first = steps[0]
    patient = first.requested_procedure.imaging_service_request.patient
    texts = {
        "PatientName": patient.patient_name,
        "PatientID": patient.patient_id,
        "IssuerOfPatientID": patient.issuer_of_patient_id,
        "PatientBirthDate": patient.patient_birth_date,
        "PatientSex": patient.patient_sex,
        "PerformedStationAETitle": first.scheduled_station_ae_title.partition("\\")[0],
        "PerformedProcedureStepDescription": first.scheduled_procedure_step_description,
        "Modality": first.modality,
    }
    items = [_item(step) for step in steps]
    return _elements(texts) | {_SCHEDULED: {"vr": "SQ", "Value": items}}


def _item(step: ScheduledProcedureStep) -> Json:
    procedure = step.requested_procedure
    texts = {
        "StudyInstanceUID": procedure.study_instance_uid,
        "AccessionNumber": procedure.imaging_service_request.accession_number,
        "RequestedProcedureID": procedure.requested_procedure_id,
        "RequestedProcedureDescription": procedure.requested_procedure_description,
        "ScheduledProcedureStepID": step.scheduled_procedure_step_id,
        "ScheduledProcedureStepDescription": step.scheduled_procedure_step_description,
    }
    protocol = {"00400008": {"vr": "SQ", "Value": list(step.scheduled_protocol_code_sequence)}}
    return _elements(texts) | (protocol if step.scheduled_protocol_code_sequence else {})


def _elements(texts: Mapping[str, str]) -> Json:
    said = {_attribute(keyword): text for keyword, text in texts.items() if text}
    return {f"{attribute.tag:08X}": from_text(text, attribute.vr) for attribute, text in said.items()}


def _text(attribute: Attribute, value: Any) -> Json:
    if not isinstance(value, str | None):
        raise ValueError("no text")
    return {f"{attribute.tag:08X}": from_text(checked_value(attribute, value or ""), attribute.vr)}


def _codes(attribute: Attribute, value: Any) -> Json:
    items = [codes.read(item) for item in _list(value, "a list of codes is needed")]
    return {
        f"{attribute.tag:08X}": {"vr": "SQ", "Value": list(checked_value(attribute, items))} if items else {"vr": "SQ"}
    }


def _series(value: Any) -> Json:
    items = [_one_series(each) for each in _list(value, "a list of series is needed")]
    return {f"{mpps.PERFORMED_SERIES:08X}": {"vr": "SQ", "Value": items}}


def _one_series(value: Any) -> Json:
    if not isinstance(value, dict):
        raise ValueError("each series is an object")
    said = _part(value, OF_SERIES, but="instances")
    references = [_reference(each) for each in _list(value.get("instances"), "the instances are a list")]
    empty = {f"{attribute.tag:08X}": {"vr": attribute.vr} for attribute in OF_SERIES.values()}
    images: Json = {"vr": "SQ", "Value": references} if references else {"vr": "SQ"}
    return {**empty, **said, "00081140": images, "00400220": {"vr": "SQ"}}


def _reference(value: Any) -> Json:
    if not isinstance(value, dict):
        raise ValueError("each instance is an object")
    return _part({f"referenced_{name}": each for name, each in value.items()}, _REFERENCE)


def _part(value: Mapping[str, Any], table: Mapping[str, Attribute], *, but: str = "") -> Json:
    found: Json = {}
    for name, each in value.items():
        if name == but:
            continue
        if name not in table:
            raise ValueError(f"no such field: {name[:64]}")
        found |= _text(table[name], each)
    return found


def _list(value: Any, why: str) -> Iterable[Any]:
    if not isinstance(value, list | None):
        raise ValueError(why)
    return value or []


_CHANGE: Final[_Readers] = {
    **{name: partial(_text, attribute) for name, attribute in CHANGED.items()},
    **{name: partial(_codes, attribute) for name, attribute in CODES.items()},
    SERIES: _series,
}
_DISCONTINUE: Final[_Readers] = {**_CHANGE, "reason": lambda value: _codes(_REASON, [value])}
_CREATE: Final[_Readers] = {
    **_CHANGE,
    **{name: partial(_text, attribute) for name, attribute in {**CREATED, **OF_SCHEDULED}.items()},
}
