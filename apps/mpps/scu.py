"""Modality Performed Procedure Step as SCU, PS3.4 annex F: report a step to another system.

with associate(host, port, ..., contexts=scu.CONTEXTS) as assoc:
    uid = scu.begin(assoc, {"00100020": {"vr": "LO", "Value": ["17"]}, ...})
    scu.finish(assoc, uid, COMPLETED, {...})
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from django.utils import timezone

from dicom import jsonmodel, mpps
from dicom.assembling import assemble
from dicom.dicomjson import Json
from dicom.dictionary import dictionary_vr
from dicom.dimse import Association, Context, Response
from dicom.mpps import COMPLETED, DISCONTINUED, IN_PROGRESS
from dicom.sop_classes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    MODALITY_PERFORMED_PROCEDURE_STEP,
    MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE,
)
from dicom.values import new_uid

_PLAIN: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)  # PS3.5 10.1
CONTEXTS: Final[Sequence[tuple[str, Sequence[str]]]] = (
    (MODALITY_PERFORMED_PROCEDURE_STEP, _PLAIN),
    (MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE, _PLAIN),
)


def begin(assoc: Association, attributes: Json, *, sop_instance_uid: str = "") -> str:
    """N-CREATE; the UID of the step. What PS3.4 Table F.7.2-1 needs and `attributes` leave out is filled in: empty
    where it may be, else with ourselves, now and numbers of our own. Raises Failed."""
    return create(assoc, sop_instance_uid or new_uid(), begun(attributes, station=assoc.calling_ae_title))


def create(assoc: Association, sop_instance_uid: str, attributes: Json) -> str:
    """N-CREATE of these attributes and no others; the UID of the step. Raises Failed."""
    context = assoc.accepted_context(MODALITY_PERFORMED_PROCEDURE_STEP)
    answer = assoc.n_create(
        context=context,
        sop_class_uid=MODALITY_PERFORMED_PROCEDURE_STEP,
        sop_instance_uid=sop_instance_uid,
        data=_encoded(attributes, context),
    )
    answer.check()
    return answer.command.affected_sop_instance_uid or sop_instance_uid


def change(assoc: Association, sop_instance_uid: str, attributes: Json) -> Response:
    """N-SET. Raises Failed."""
    context = assoc.accepted_context(MODALITY_PERFORMED_PROCEDURE_STEP)
    answer = assoc.n_set(
        context=context,
        sop_class_uid=MODALITY_PERFORMED_PROCEDURE_STEP,
        sop_instance_uid=sop_instance_uid,
        data=_encoded(attributes, context),
    )
    answer.check()
    return answer


def finish(assoc: Association, sop_instance_uid: str, status: str, attributes: Json) -> Response:
    """The final N-SET: COMPLETED or DISCONTINUED, now. Raises Failed."""
    now = timezone.localtime()
    values = {
        mpps.STATUS: status,
        mpps.END_DATE: f"{now:%Y%m%d}",
        mpps.END_TIME: f"{now:%H%M%S}",
    }
    return change(assoc, sop_instance_uid, {**_elements(values), **attributes, **_elements({mpps.STATUS: status})})


def show(assoc: Association, sop_instance_uid: str) -> Json:
    """N-GET of all. Raises Failed, InvalidDataSet."""
    context = assoc.accepted_context(MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE)
    answer = assoc.n_get(
        context=context,
        sop_class_uid=MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE,
        sop_instance_uid=sop_instance_uid,
    )
    answer.check()
    return jsonmodel.read(answer.data_set or b"", context.transfer_syntax)


def check(attributes: Any) -> None:
    """Raises InvalidDataSet for what is no data set of the DICOM JSON model, or holds bulk data elsewhere."""
    assemble(attributes, lambda uri: None)


def begun(attributes: Json, *, station: str) -> Json:
    """A whole N-CREATE of what was given."""
    now = timezone.localtime()
    values = {
        0x00400253: f"{now:%m%d%H%M%S}",  # Performed Procedure Step ID
        0x00400241: station,
        0x00400244: f"{now:%Y%m%d}",
        0x00400245: f"{now:%H%M%S}",
        mpps.STATUS: IN_PROGRESS,
        0x00080060: "OT",  # Modality
    }
    empty = {f"{rule.tag:08X}": {"vr": dictionary_vr(rule.tag)} for rule in mpps.RULES}
    data_set: Json = {**empty, **_elements(values), **attributes}
    sequence = f"{mpps.SCHEDULED_STEP_ATTRIBUTES:08X}"
    given = jsonmodel.items(attributes, mpps.SCHEDULED_STEP_ATTRIBUTES) or [{}]
    data_set[sequence] = {"vr": "SQ", "Value": [_scheduled(item) for item in given]}
    return data_set


def _told(uid: str, _: Response) -> str:
    return uid


# By name; given the step's UID ("" to have one made) and attributes, each returns the UID.
ACTIONS: Final[Mapping[str, Callable[[Association, str, Json], str]]] = {
    "create": lambda assoc, uid, given: begin(assoc, given, sop_instance_uid=uid),
    "set": lambda assoc, uid, given: _told(uid, change(assoc, uid, given)),
    "complete": lambda assoc, uid, given: _told(uid, finish(assoc, uid, COMPLETED, given)),
    "discontinue": lambda assoc, uid, given: _told(uid, finish(assoc, uid, DISCONTINUED, given)),
}


def _scheduled(item: Json) -> Json:
    """An unscheduled step has a study all the same."""
    rule = next(rule for rule in mpps.RULES if rule.tag == mpps.SCHEDULED_STEP_ATTRIBUTES)
    empty = {f"{part.tag:08X}": {"vr": dictionary_vr(part.tag)} for part in rule.items}
    return {**empty, **_elements({mpps.STUDY_INSTANCE_UID: new_uid()}), **item}


def _elements(values: Mapping[int, str]) -> dict[str, Any]:
    return {f"{tag:08X}": {"vr": dictionary_vr(tag), "Value": [value]} for tag, value in values.items()}


def _encoded(attributes: Json, context: Context) -> bytes:
    return jsonmodel.write(attributes, context.transfer_syntax)
