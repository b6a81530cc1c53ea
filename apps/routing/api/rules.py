"""REST of routing rules, for administrators: `/api/routing-rules/`."""

from typing import Any, Final

from django.db import models
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema_view
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from apps.accounts.rest import (
    InvalidRequest,
    NotAsItWas,
    NotFound,
    RestView,
    fields,
    known,
    parsed,
    wanted_versions,
    whole,
    without_nul,
)
from apps.jobs import kind
from apps.routing import dry_run, plain, route, rules
from apps.routing.api import description
from apps.routing.models import RoutingRule
from apps.routing.rules import Draft

_MOST_RULES: Final = 1_000_000


class RuleView(RestView):
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.principal.administers:
            raise PermissionDenied("Routing rules are for administrators")
        known(request)

    def found(self, key: int) -> RoutingRule:
        row = RoutingRule.objects.filter(pk=key).first()
        if row is None:
            raise NotFound("There is no such rule")
        return row

    def row(self, row: RoutingRule, *, status: int = 200, **headers: str) -> HttpResponse:
        before = models.Q(position__lt=row.position) | models.Q(position=row.position, pk__lt=row.pk)
        place = RoutingRule.objects.filter(before).count() + 1
        return self.answer(plain.rule(row, position=place), status=status, ETag=f'"{row.revision}"', **headers)

    def revision(self, request: Request, row: RoutingRule) -> int | None:
        """The one that If-Match names. Raises NotAsItWas."""
        wanted = wanted_versions(request)
        if wanted is not None and str(row.revision) not in wanted:
            raise NotAsItWas(f'The rule was changed meanwhile: it is "{row.revision}"')
        return None if wanted is None else row.revision


@extend_schema_view(get=description.rules, post=description.add)
class Rules(RuleView):
    def get(self, request: Request) -> HttpResponse:
        rows = RoutingRule.objects.order_by("position", "pk")
        return self.listed([plain.rule(row, position=number) for number, row in enumerate(rows, 1)], None)

    def post(self, request: Request) -> HttpResponse:
        def add(document: Any) -> HttpResponse:
            row = rules.save(Draft.read(_object(document)), principal=self.principal)
            return self.row(row, status=201, Location=f"/api/routing-rules/{row.pk}/")

        return self.once(request, add)


@extend_schema_view(get=description.read, patch=description.change, delete=description.delete)
class Rule(RuleView):
    def get(self, request: Request, key: int) -> HttpResponse:
        return self.row(self.found(key))

    def patch(self, request: Request, key: int) -> HttpResponse:
        """What is named is changed; `conditions` and `destinations` as a whole."""
        row = self.found(key)
        draft = Draft.read(_object(parsed(self.body(request))), base=Draft.of(row))
        return self.row(rules.save(draft, principal=self.principal, rule=row, revision=self.revision(request, row)))

    def delete(self, request: Request, key: int) -> HttpResponse:
        row = self.found(key)
        rules.delete(row, principal=self.principal, revision=self.revision(request, row))
        return HttpResponse(status=204)


@extend_schema_view(post=description.move)
class Move(RuleView):
    def post(self, request: Request, key: int) -> HttpResponse:
        def move(document: Any) -> HttpResponse:
            position = whole(fields(document, "position"), "position", least=1, most=_MOST_RULES)
            if position is None:
                raise InvalidRequest({"position": "is needed"})
            rules.move(self.found(key), principal=self.principal, position=position)
            return self.row(self.found(key))

        return self.once(request, move)


class Trying(RuleView):
    def tried(self, draft: Draft, said: Any, row: RoutingRule | None) -> HttpResponse:
        limit = whole(said, "limit", least=1, most=dry_run.MOST_STUDIES) or dry_run.STUDIES
        found = dry_run.run(draft, principal=self.principal, row=row, filter=said.get("filter"), limit=limit)
        return self.answer(plain.outcome(found))


@extend_schema_view(post=description.dry_run)
class DryRun(Trying):
    """Of a rule that is not saved."""

    def post(self, request: Request) -> HttpResponse:
        said = fields(_object(parsed(self.body(request))), "rule", "filter", "limit")
        return self.tried(Draft.read(_object(said.get("rule", {}))), said, None)


@extend_schema_view(post=description.dry_run_of_rule)
class DryRunOfRule(Trying):
    """As it is, or with changes that are not saved."""

    def post(self, request: Request, key: int) -> HttpResponse:
        row = self.found(key)
        said = fields(_object(parsed(self.body(request))), "rule", "filter", "limit")
        return self.tried(Draft.read(_object(said.get("rule", {})), base=Draft.of(row)), said, row)


@extend_schema_view(post=description.apply)
class Apply(RuleView):
    def post(self, request: Request, key: int) -> HttpResponse:
        def ask(document: Any) -> HttpResponse:
            said = fields(_object(document), "filter", "again")
            arguments = {"rule": self.found(key).pk, **said}
            job = kind.request(route.APPLY, principal=self.principal, arguments=arguments)
            return self.answer({"job": job.pk}, status=201, Location=f"/api/jobs/{job.pk}/")

        return self.once(request, ask)


@extend_schema_view(get=description.attributes)
class Attributes(RuleView):
    def get(self, request: Request) -> HttpResponse:
        return self.listed(plain.attributes(), None)


def _object(document: Any) -> Any:
    if not isinstance(document, dict):
        raise InvalidRequest({"body": "an object is needed"})
    without_nul(document)
    return document
