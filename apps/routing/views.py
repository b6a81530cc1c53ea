"""Pages of routing rules, for administrators: the list in order, a rule, its dry run, its end."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from apps.accounts import pages
from apps.accounts.principal import Principal
from apps.accounts.rest import InvalidRequest, NotAsItWas, NotFound
from apps.accounts.users import asking
from apps.jobs import kind
from apps.network.models import DicomwebServer
from apps.routing import dry_run, route, rules
from apps.routing.attributes import ATTRIBUTES
from apps.routing.conditions import LABELS, Operator
from apps.routing.forms import Form
from apps.routing.models import Match, RoutingRule, When
from apps.routing.rules import Draft, NotAllowed

ERROR: Final = "routing/error.html"
page = partial(pages.page, error=ERROR)
writing = partial(pages.page, writes=True, error=ERROR)
# Of the filter of stored studies: field of the form -> parameter of QIDO-RS.
FILTER: Final = {"patient_id": "PatientID", "modality": "ModalitiesInStudy", "description": "StudyDescription"}


def _administrator(request: HttpRequest) -> Principal:
    principal = asking(request)
    if not principal.administers:
        raise NotAllowed("Routing rules are for administrators")
    return principal


def _found(key: int) -> RoutingRule:
    row = RoutingRule.objects.filter(pk=key).first()
    if row is None:
        raise NotFound("There is no such rule")
    return row


@page
def listed(request: HttpRequest) -> HttpResponse:
    _administrator(request)
    rows = list(RoutingRule.objects.order_by("position", "pk"))
    shown = [{"rule": row, "draft": Draft.of(row)} for row in rows]
    state = [(row.pk, row.revision, row.position, row.fired, row.last_error_at) for row in rows]
    return pages.live(
        request,
        page="routing/rule_list.html",
        fragment="routing/_rules.html",
        context={"rows": shown, "here": request.path},
        state=state,
    )


@writing
def switch(request: HttpRequest, key: int) -> HttpResponse:
    principal, row = _administrator(request), _found(key)
    if request.method == "POST":
        draft = Draft.of(row)
        wanted = Draft.read({"enabled": not row.enabled}, base=draft) if draft.destinations else draft
        rules.save(wanted, principal=principal, rule=row)
    return redirect("routing")


@writing
def move(request: HttpRequest, key: int, to: int) -> HttpResponse:
    principal, row = _administrator(request), _found(key)
    if request.method == "POST":
        rules.move(row, principal=principal, position=to)
    return redirect("routing")


@writing
def new(request: HttpRequest) -> HttpResponse:
    return _edited(request, None)


@writing
def rule(request: HttpRequest, key: int) -> HttpResponse:
    _administrator(request)
    return _edited(request, _found(key))


def _edited(request: HttpRequest, row: RoutingRule | None) -> HttpResponse:
    principal = _administrator(request)
    base = Draft.of(row) if row else None
    if request.method != "POST":
        form = Form.of(base or Draft(), version=str(row.revision) if row else "")
        return _form(request, form, row)
    form = Form.read(request.POST)
    revision = int(form.version) if form.version.isascii() and form.version.isdigit() else None
    try:
        saved = rules.save(Draft.read(form.document(), base=base), principal=principal, rule=row, revision=revision)
    except InvalidRequest as error:
        return _form(request, Form.read(request.POST, error.errors), row, status=400)
    except NotAsItWas:
        now = _found(row.pk if row else 0)
        return _form(request, replace(form, version=str(now.revision)), now, stale=Draft.of(now), status=409)
    messages.success(request, _("“%s” is saved, and in force within two seconds.") % saved.name)
    return redirect("routing")


def _form(
    request: HttpRequest, form: Form, row: RoutingRule | None, *, stale: Draft | None = None, status: int = 200
) -> HttpResponse:
    context = {
        "form": form,
        "rule": row,
        "stale": stale,
        "destinations": _destinations(form.destinations),
        "attributes": ATTRIBUTES.values(),
        "operators": [(str(operator), LABELS[operator]) for operator in Operator],
        "whens": When.choices,
        "matches": Match.choices,
    }
    return render(request, "routing/rule_form.html", context, status=status)


def _destinations(chosen: Sequence[str]) -> list[dict[str, Any]]:
    """Those that can be called, and of those that were chosen before whatever became of them."""
    found: list[dict[str, Any]] = []
    for each in rules.possible():
        target = each.target
        assert target is not None, "it is possible"
        if isinstance(target, DicomwebServer):
            about = f"DICOMweb, {target.url}"
        else:
            about = f"{target.ae_title} at {target.host}:{target.port}"
        found.append({"name": each.name, "text": each.own_name, "about": about, "off": not target.enabled})
    known = {each["name"] for each in found}
    return found + [{"name": name, "text": name, "gone": True} for name in chosen if name not in known]


@writing
def tried(request: HttpRequest, key: int = 0) -> HttpResponse:
    """A fragment: what the rule as it is typed would do with stored studies."""
    principal = _administrator(request)
    row = RoutingRule.objects.filter(pk=key).first() if key else None
    context: dict[str, Any] = {}
    try:
        draft = Draft.read(Form.read(request.POST).document(), base=Draft.of(row) if row else None)
        context["found"] = dry_run.run(draft, principal=principal, row=row, filter=_filter(request))
    except InvalidRequest as error:
        context["problems"] = Form.read(request.POST, error.errors).problems
    return render(request, "routing/_dry_run.html", context)


def _filter(request: HttpRequest) -> dict[str, str]:
    said = request.POST
    asked = {name: value for field, name in FILTER.items() if (value := said.get(f"filter-{field}", "").strip())}
    if "StudyDescription" in asked:
        asked["StudyDescription"] = f"*{asked['StudyDescription'].strip('*')}*"
    since, until = (said.get(f"filter-{name}", "").replace("-", "").strip() for name in ("since", "until"))
    return asked | ({"StudyDate": f"{since}-{until}"} if since or until else {})


@writing
def apply(request: HttpRequest, key: int) -> HttpResponse:
    """GET is the second step, which says what will be touched; POST asks for the job."""
    principal, row = _administrator(request), _found(key)
    said = {name: value for name, value in request.GET.items() if name in ("StudyDate", *FILTER.values()) and value}
    found = route.studies(said, principal)
    if request.method == "POST":
        job = kind.request(route.APPLY, principal=principal, arguments={"rule": row.pk, "filter": said})
        messages.success(request, _("Job %s applies the rule; Jobs shows how far it is.") % job.pk)
        return redirect("routing")
    context = {"rule": row, "draft": Draft.of(row), "said": said, "studies": found.count()}
    return render(request, "routing/rule_apply.html", context)


@writing
def delete(request: HttpRequest, key: int) -> HttpResponse:
    principal, row = _administrator(request), _found(key)
    if request.method == "POST":
        rules.delete(row, principal=principal)
        messages.success(request, _("“%s” is removed. Jobs it has made go on.") % row.name)
        return redirect("routing")
    return render(request, "routing/rule_delete.html", {"rule": row, "draft": Draft.of(row)})
