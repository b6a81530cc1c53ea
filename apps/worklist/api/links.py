"""REST of studies and their orders: `/api/study-links/`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from django.db.models import Q
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema_view
from rest_framework.request import Request

from apps.accounts.principal import Principal
from apps.accounts.rest import (
    InvalidRequest,
    NotAsItWas,
    NotFound,
    RestView,
    fields,
    known,
    limit_of,
    next_page,
    one,
    text,
    wanted_versions,
)
from apps.storage.models import Study
from apps.worklist import deciding, plain
from apps.worklist.api import description
from apps.worklist.models import LinkState, RequestedProcedure, StudyLink
from dicom.sop_classes import Service
from dicom.values import is_uid

_STUDY: Final = (
    "patient_id",
    "patient_name",
    "accession_number",
    "study_date",
    "study_time",
    "study_description",
    "modalities_in_study",
    "number_of_study_related_series",
    "number_of_study_related_instances",
)
_ORDER: Final = "requested_procedure__imaging_service_request__patient"
_STEPS: Final = "requested_procedure__steps"
_FILTERS: Final[Mapping[str, Callable[[list[str]], Q]]] = {
    "state": lambda values: Q(state__in=_states(values)),
    "study_instance_uid": lambda values: Q(study_instance_uid__in=_uids(values)),
    "step": lambda values: Q(
        requested_procedure__in=RequestedProcedure.objects.filter(steps__in=[_whole("step", one) for one in values])
    ),
}


class _Decision(Protocol):
    def __call__(self, *, principal: Principal, link_id: int, reason: str, revision: int | None) -> StudyLink: ...


class LinksView(RestView):
    service = Service.WORKLIST

    def row(self, link: StudyLink, *, status: int = 200, **headers: str) -> HttpResponse:
        document = rows([link])[0] | {"history": _history(link)}
        return self.answer(document, status=status, ETag=f'"{link.revision}"', **headers)

    def found(self, key: int) -> StudyLink:
        link = StudyLink.objects.visible_to(self.principal).filter(pk=key).first()
        if link is None:
            raise NotFound("There is no such link")
        return link


@extend_schema_view(get=description.search_links, post=description.create_link)
class StudyLinks(LinksView):
    def get(self, request: Request) -> HttpResponse:
        params = known(request, *_FILTERS, "limit", "after")
        limit, after = limit_of(params), _whole("after", one(params, "after") or "0")
        asked = Q(pk__gt=after)
        for name, make in _FILTERS.items():
            if values := [value for value in params.get(name, []) if value]:
                asked &= make(values)
        rows_asked = StudyLink.objects.visible_to(self.principal).filter(asked).order_by("pk")
        links = list(rows_asked.select_related(_ORDER).prefetch_related(_STEPS)[: limit + 1])
        following = next_page(request, links[limit - 1].pk) if len(links) > limit else None
        return self.listed(rows(links[:limit]), following)

    def post(self, request: Request) -> HttpResponse:
        """A study with an order that nothing has brought together."""

        def create(document: Any) -> HttpResponse:
            said = fields(document, "study_instance_uid", "step", "reason")
            step = said.get("step")
            if not isinstance(step, int) or isinstance(step, bool):
                raise InvalidRequest({"step": "the id of a step is needed"})
            link = deciding.link_by_hand(
                principal=self.principal,
                study_instance_uid=text(said, "study_instance_uid"),
                step_id=step,
                reason=text(said, "reason"),
            )
            return self.row(link, status=201, Location=f"/api/study-links/{link.pk}/")

        return self.once(request, create)


@extend_schema_view(get=description.read_link)
class StudyLinkView(LinksView):
    def get(self, request: Request, key: int) -> HttpResponse:
        return self.row(self.found(key))


class Decision(LinksView):
    """`decide`: the verb of `deciding`."""

    decide: _Decision | None = None

    def post(self, request: Request, key: int) -> HttpResponse:
        def decided(document: Any) -> HttpResponse:
            reason = text(fields(document, "reason"), "reason")
            revision = self._revision(request, key)
            assert self.decide is not None
            return self.row(self.decide(principal=self.principal, link_id=key, reason=reason, revision=revision))

        return self.once(request, decided)

    def _revision(self, request: Request, key: int) -> int | None:
        wanted = wanted_versions(request)
        if wanted is None:
            return None
        now = self.found(key).revision
        if str(now) not in wanted:
            raise NotAsItWas(f'The link was changed meanwhile: it is "{now}"')
        return now


@extend_schema_view(post=description.decision("They belong together, whatever differs"))
class Link(Decision):
    decide = staticmethod(deciding.link)


@extend_schema_view(post=description.decision("They do not belong together after all"))
class Unlink(Decision):
    decide = staticmethod(deciding.unlink)


@extend_schema_view(post=description.decision("They do not belong together"))
class Dismiss(Decision):
    decide = staticmethod(deciding.dismiss)


def rows(links: Sequence[StudyLink]) -> list[dict[str, Any]]:
    """With what the studies and the orders say."""
    uids = {link.study_instance_uid for link in links}
    studies = {
        study.study_instance_uid: study
        for study in Study.objects.filter(study_instance_uid__in=uids).select_related("patient")
    }
    return [
        {
            "id": link.pk,
            "version": str(link.revision),
            "state": link.state,
            "study_instance_uid": link.study_instance_uid,
            "matched_by": link.matched_by,
            "differences": {name: _pair(link, name) for name in link.differences},
            "question": link.question,
            "decided_by": link.decided_by,
            "reason": link.reason,
            "changed_at": link.changed_at,
            "study": _study(studies.get(link.study_instance_uid)),
            "order": plain.order_summary(link.requested_procedure),
        }
        for link in links
    ]


def _pair(link: StudyLink, name: str) -> dict[str, str]:
    of_study, of_order = link.compared.get(name, ["", ""])
    return {"study": of_study, "order": of_order}


def _study(study: Study | None) -> dict[str, Any] | None:
    """None: it is not there any more."""
    if study is None:
        return None
    return {name: getattr(study.patient if name.startswith("patient_") else study, name) for name in _STUDY}


def _history(link: StudyLink) -> list[dict[str, Any]]:
    columns = ("at", "action", "state", "actor", "reason", "differences")
    return [{name: getattr(event, name) for name in columns} for event in link.events.all()]


def _states(values: list[str]) -> set[str]:
    names = {name.strip().lower() for value in values for name in value.split(",")} - {""}
    if wrong := names - set(LinkState.values):
        raise InvalidRequest({"state": f"{min(wrong)[:16]} is none of {', '.join(LinkState.values)}"})
    return names


def _uids(values: list[str]) -> list[str]:
    if not all(is_uid(value) for value in values):
        raise InvalidRequest({"study_instance_uid": "no UID"})
    return values


def _whole(name: str, said: str) -> int:
    if not (said.isascii() and said.isdigit() and len(said) < 19):
        raise InvalidRequest({name: "no such position or id"})
    return int(said)
