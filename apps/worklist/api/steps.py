"""REST of the worklist: `/api/worklist/`."""

from collections.abc import Mapping
from typing import Any, Final

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema_view
from rest_framework.request import Request

from apps.accounts.principal import Principal
from apps.accounts.rest import (
    JSON,
    InvalidRequest,
    NotAsItWas,
    NotFound,
    RestView,
    fields,
    flag,
    known,
    limit_of,
    next_page,
    one,
    params_of,
    parsed,
    text,
    wanted_versions,
)
from apps.worklist import data_sets, plain, schedule, search
from apps.worklist.api import bulk, description
from apps.worklist.models import ScheduledProcedureStep, StepStatus
from apps.worklist.order import InvalidOrder, Order
from apps.worklist.search import Position
from dicom.media import JSON as DICOM_JSON
from dicom.sop_classes import Service

_CREATE: Final = ("update_patient", "atomic")
_CHANGE: Final = ("update_patient", "reason")


class WorklistView(RestView):
    service = Service.WORKLIST

    def new(self, document: Any) -> tuple[Order, StepStatus]:
        return data_sets.order(document) if self.media_type == DICOM_JSON else plain.new(document)

    def changes(self, document: Any, step: ScheduledProcedureStep) -> Order:
        return data_sets.order(document)[0] if self.media_type == DICOM_JSON else plain.changes(document, step)

    def row(self, step: ScheduledProcedureStep, *, status: int = 200, **headers: str) -> HttpResponse:
        if self.answer_type == DICOM_JSON:
            document = data_sets.data_set(step)
        else:
            document = plain.row(step) | {"linked_studies": plain.linked_studies(step)}
        return self.answer(document, status=status, ETag=f'"{step.version}"', **headers)

    def version(self, request: Request, key: int) -> str | None:
        """Of the step, which must be one that If-Match names."""
        wanted = wanted_versions(request)
        if wanted is None:
            return None
        now = found(self.principal, key).version
        if now not in wanted:
            raise NotAsItWas(f'The step was changed meanwhile: it is "{now}"')
        return now


def found(principal: Principal, key: int) -> ScheduledProcedureStep:
    step = ScheduledProcedureStep.objects.visible_to(principal).with_order().filter(pk=key).first()
    if step is None:
        raise NotFound("There is no such step")
    return step


@extend_schema_view(get=description.search, post=description.create)
class Steps(WorklistView):
    takes = gives = (JSON, DICOM_JSON)

    def get(self, request: Request) -> HttpResponse:
        params = params_of(request)
        asked = search.read({name: values for name, values in params.items() if name not in ("limit", "after")})
        page = search.page(asked, principal=self.principal, limit=limit_of(params), after=_after(params))
        following = next_page(request, page.following) if page.following else None
        if self.answer_type == DICOM_JSON:
            return self.listed([data_sets.data_set(step) for step in page.steps], following, bare=True)
        return self.listed([plain.row(step) for step in page.steps], following)

    def post(self, request: Request) -> HttpResponse:
        params = known(request, *_CREATE)
        update_patient, atomic = bool(flag(params, "update_patient")), bool(flag(params, "atomic"))

        def create(document: Any) -> HttpResponse:
            if isinstance(document, list):
                return self.several(document, update_patient=update_patient, atomic=atomic)
            step = bulk.create(document, read=self.new, principal=self.principal, update_patient=update_patient)
            return self.row(step, status=201, Location=f"/api/worklist/{step.pk}/")

        return self.once(request, create)

    def several(self, documents: list[Any], *, update_patient: bool, atomic: bool) -> HttpResponse:
        self.answer_type = JSON  # of what became of each
        outcomes = bulk.create_all(
            documents, read=self.new, principal=self.principal, update_patient=update_patient, atomic=atomic
        )
        results = [outcome.document for outcome in outcomes]
        created = sum(outcome.status == 201 for outcome in outcomes)
        document = {"created": created, "failed": len(outcomes) - created, "results": results}
        return self.answer(document, status=bulk.status_of(outcomes, atomic=atomic))


@extend_schema_view(post=description.create_many)
class Bulk(Steps):
    http_method_names = ["post", "options"]


@extend_schema_view(get=description.read, patch=description.change, put=description.replace, delete=description.delete)
class Step(WorklistView):
    takes = gives = (JSON, DICOM_JSON)

    def get(self, request: Request, key: int) -> HttpResponse:
        return self.row(found(self.principal, key))

    def patch(self, request: Request, key: int) -> HttpResponse:
        return self._change(request, key, parsed(self.body(request)))

    def put(self, request: Request, key: int) -> HttpResponse:
        return self._change(request, key, parsed(self.body(request)), whole=True)

    def delete(self, request: Request, key: int) -> HttpResponse:
        """Orders are kept: it is cancelled."""
        reason = one(known(request, "reason"), "reason")
        version = self.version(request, key)
        return self.row(schedule.cancel(principal=self.principal, step_id=key, reason=reason, version=version))

    def _change(self, request: Request, key: int, document: Any, *, whole: bool = False) -> HttpResponse:
        params = known(request, *_CHANGE)
        version = self.version(request, key)
        step = found(self.principal, key)
        version = version or _version_in(document)
        if version not in (None, step.version):
            raise schedule.Stale("The step was changed meanwhile")
        changes = self.changes(document, step)
        said = flag(params, "update_patient")
        # Who names another patient may have mistaken the ID; who names none means this one.
        same = changes.patient_id in (None, step.requested_procedure.imaging_service_request.patient.patient_id)
        changed = schedule.reschedule(
            principal=self.principal,
            step_id=key,
            changes=plain.whole(changes) if whole else changes,
            version=version,
            update_patient=same if said is None else said,
            reason=one(params, "reason"),
        )
        return self.row(changed)


@extend_schema_view(post=description.cancel)
class Cancel(WorklistView):
    def post(self, request: Request, key: int) -> HttpResponse:
        def cancel(document: Any) -> HttpResponse:
            reason = text(fields(document, "reason"), "reason")
            version = self.version(request, key)
            return self.row(schedule.cancel(principal=self.principal, step_id=key, reason=reason, version=version))

        return self.once(request, cancel)


@extend_schema_view(post=description.advance)
class Status(WorklistView):
    def post(self, request: Request, key: int) -> HttpResponse:
        def advance(document: Any) -> HttpResponse:
            said = fields(document, "status", "reason")
            step = schedule.advance(
                principal=self.principal,
                step_id=key,
                to=_status(text(said, "status")),
                reason=text(said, "reason"),
                version=self.version(request, key),
            )
            return self.row(step)

        return self.once(request, advance)


@extend_schema_view(get=description.history)
class History(WorklistView):
    def get(self, request: Request, key: int) -> HttpResponse:
        params = known(request, "limit", "after")
        limit, after = limit_of(params), one(params, "after") or "0"
        if not (after.isascii() and after.isdigit() and len(after) < 19):
            raise InvalidRequest({"after": "no position of this list"})
        events = list(found(self.principal, key).events.filter(pk__gt=int(after))[: limit + 1])
        following = next_page(request, events[limit - 1].pk) if len(events) > limit else None
        columns = ("at", "action", "status", "actor", "reason", "detail")
        results = [{name: getattr(event, name) for name in columns} for event in events[:limit]]
        return self.listed(results, following)


def _status(text: str) -> StepStatus:
    name = text.strip().upper()
    if name not in StepStatus.values:
        raise InvalidOrder({"status": f"one of {', '.join(StepStatus.values)}"})
    return StepStatus(name)


def _version_in(document: Any) -> str | None:
    """Of the row that was read, changed and is sent back."""
    said = document.get("version") if isinstance(document, dict) else None
    return None if said is None else str(said)


def _after(params: Mapping[str, list[str]]) -> Position | None:
    said = one(params, "after")
    try:
        return Position.read(said) if said else None
    except ValueError:
        raise InvalidRequest({"after": "no position of this list"}) from None
