"""REST of performed procedure steps: `/api/procedure-steps/`."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from django.db import transaction
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema_view
from rest_framework.request import Request

from apps.accounts.rest import (
    JSON,
    InvalidRequest,
    NotAsItWas,
    NotFound,
    RestView,
    fields,
    known,
    limit_of,
    next_page,
    one,
    params_of,
    parsed,
    text,
    wanted_versions,
)
from apps.mpps import plain, procedure_step, scheduled, search
from apps.mpps.api import description
from apps.mpps.models import PerformedProcedureStep, PerformedStatus
from dicom import jsonmodel, mpps
from dicom.dicomjson import Json
from dicom.errors import InvalidDataSet
from dicom.media import JSON as DICOM_JSON
from dicom.sop_classes import Service

Result = TypeVar("Result")

_SOP_INSTANCE_UID: Final = 0x00080018
_NOT_OF_THE_STEP: Final = frozenset({"00080016", "00080018"})


class NotTaken(InvalidRequest):
    """As the verb refused it, with the names of the elements."""

    def __init__(self, status: int, errors: dict[str, str], why: str) -> None:
        super().__init__(errors)
        self.args = (why,)
        self.http_status = status


class PerformedView(RestView):
    service = Service.WORKLIST  # to read; to report is a right of its own, which the verbs ask for

    def found(self, key: int) -> PerformedProcedureStep:
        steps = PerformedProcedureStep.objects.visible_to(self.principal).prefetch_related("scheduled")
        step = steps.filter(pk=key).first()
        if step is None:
            raise NotFound("There is no such step")
        return step

    def row(self, key: int, *, status: int = 200, **headers: str) -> HttpResponse:
        step = self.found(key)
        document = plain.data_set(step) if self.answer_type == DICOM_JSON else plain.whole(step)
        return self.answer(document, status=status, ETag=f'"{step.revision}"', **headers)

    def change(self, request: Request, key: int, verb: Callable[[PerformedProcedureStep], object]) -> HttpResponse:
        """With the row held, in the version that If-Match names."""
        uid = self.found(key).sop_instance_uid
        wanted = wanted_versions(request)
        with transaction.atomic():
            step = _named(lambda: procedure_step.locked(uid))
            if wanted is not None and str(step.revision) not in wanted:
                raise NotAsItWas(f'The step was changed meanwhile: it is "{step.revision}"')
            _named(lambda: verb(step))
        return self.row(key)

    def set(self, request: Request, key: int, changes: Json) -> HttpResponse:
        """N-SET"""
        return self.change(
            request,
            key,
            lambda step: procedure_step.modify(
                principal=self.principal, sop_instance_uid=step.sop_instance_uid, changes=changes
            ),
        )


@extend_schema_view(get=description.search, post=description.create)
class Steps(PerformedView):
    takes = gives = (JSON, DICOM_JSON)

    def get(self, request: Request) -> HttpResponse:
        params = params_of(request)
        limit, before = limit_of(params), _position(one(params, "after"))
        asked = params_of(request, without=("limit", "after"))
        steps = search.page(asked, principal=self.principal, limit=limit, before=before)
        following = next_page(request, steps[limit - 1].pk) if len(steps) > limit else None
        if self.answer_type == DICOM_JSON:
            return self.listed([plain.data_set(step) for step in steps[:limit]], following, bare=True)
        return self.listed(plain.rows(steps[:limit]), following)

    def post(self, request: Request) -> HttpResponse:
        known(request)

        def create(document: Any) -> HttpResponse:
            uid, data_set = self._new(document)
            step = _named(
                lambda: procedure_step.create(principal=self.principal, sop_instance_uid=uid, data_set=data_set)
            )
            return self.row(step.pk, status=201, Location=f"/api/procedure-steps/{step.pk}/")

        return self.once(request, create)

    def _new(self, document: Any) -> tuple[str, Json]:
        if self.media_type != DICOM_JSON:
            return plain.new(document, principal=self.principal)
        data_set = _data_set(document)
        uid = jsonmodel.text(data_set, _SOP_INSTANCE_UID)
        return uid, {tag: element for tag, element in data_set.items() if tag not in _NOT_OF_THE_STEP}


@extend_schema_view(get=description.read, patch=description.change)
class Step(PerformedView):
    takes = gives = (JSON, DICOM_JSON)

    def get(self, request: Request, key: int) -> HttpResponse:
        return self.row(key)

    def patch(self, request: Request, key: int) -> HttpResponse:
        document = parsed(self.body(request))
        changes = _data_set(document) if self.media_type == DICOM_JSON else plain.changes(document)
        return self.set(request, key, changes)


@extend_schema_view(post=description.complete)
class Complete(PerformedView):
    status = PerformedStatus.COMPLETED

    def post(self, request: Request, key: int) -> HttpResponse:
        def end(document: Any) -> HttpResponse:
            now = timezone.localtime()
            ended = plain.element("performed_procedure_step_end_date", f"{now:%Y%m%d}")
            ended |= plain.element("performed_procedure_step_end_time", f"{now:%H%M%S}")
            said = self.said(document)
            state = {f"{mpps.STATUS:08X}": {"vr": "CS", "Value": [str(self.status)]}}
            return self.set(request, key, {**ended, **said, **state})

        return self.once(request, end)

    def said(self, document: Any) -> Json:
        return plain.changes(document)


@extend_schema_view(post=description.discontinue)
class Discontinue(Complete):
    status = PerformedStatus.DISCONTINUED

    def said(self, document: Any) -> Json:
        return plain.discontinuation(document)


@extend_schema_view(post=description.close)
class Close(PerformedView):
    """By hand: what the modality did not say stays unsaid."""

    def post(self, request: Request, key: int) -> HttpResponse:
        def close(document: Any) -> HttpResponse:
            said = fields(document, "status", "reason")
            to, reason = text(said, "status").upper(), text(said, "reason")
            finals = [str(status) for status in procedure_step.BY_HAND]
            errors = {"status": f"one of {', '.join(finals)}"} if to not in finals else {}
            errors |= {} if reason.strip() else {"reason": "is needed"}
            if errors:
                raise InvalidRequest(errors)
            return self.change(
                request,
                key,
                lambda step: procedure_step.close(
                    principal=self.principal,
                    sop_instance_uid=step.sop_instance_uid,
                    to=PerformedStatus(to),
                    reason=reason,
                ),
            )

        return self.once(request, close)


@extend_schema_view(post=description.attach)
class Attach(PerformedView):
    """Which step of the worklist it was."""

    def post(self, request: Request, key: int) -> HttpResponse:
        def attach(document: Any) -> HttpResponse:
            said = fields(document, "item", "step", "reason")
            item, step = said.get("item"), said.get("step")
            if type(item) is not int or item not in {each.pk for each in self.found(key).scheduled.all()}:
                raise InvalidRequest({"item": "is none of this step's"})
            if not (step is None or (type(step) is int and 0 < step < 1 << 63)):
                raise InvalidRequest({"step": "the id of a step of the worklist, or null"})
            reason = text(said, "reason")
            return self.change(
                request,
                key,
                lambda _: scheduled.attach(principal=self.principal, item_id=item, step_id=step, reason=reason),
            )

        return self.once(request, attach)


@extend_schema_view(get=description.history)
class History(PerformedView):
    def get(self, request: Request, key: int) -> HttpResponse:
        params = known(request, "limit", "after")
        limit, after = limit_of(params), _position(one(params, "after")) or 0
        events = list(self.found(key).events.filter(pk__gt=after)[: limit + 1])
        following = next_page(request, events[limit - 1].pk) if len(events) > limit else None
        columns = ("at", "action", "status", "actor", "reason", "detail")
        return self.listed([{name: getattr(event, name) for name in columns} for event in events[:limit]], following)


def _data_set(document: Any) -> Json:
    try:
        return jsonmodel.checked(document)
    except InvalidDataSet as error:
        tag = error.offending_element
        raise InvalidRequest({"body" if tag is None else plain.name_of(tag): str(error)}) from error


def _named(verb: Callable[[], Result]) -> Result:
    """What the verb refuses, by the names of the elements it is about."""
    try:
        return verb()
    except mpps.Refused as refused:
        if not refused.offending_elements:
            raise
        errors = {plain.name_of(tag): str(refused).partition(":")[0] for tag in refused.offending_elements}
        raise NotTaken(refused.http_status, errors, str(refused)) from refused


def _position(said: str) -> int | None:
    if said and not (said.isascii() and said.isdigit() and len(said) < 19):
        raise InvalidRequest({"after": "no position of this list"})
    return int(said) if said else None
