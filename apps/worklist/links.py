"""Pages: where a study meets its order, and a person decides whether they belong together."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from apps.accounts import pages
from apps.accounts.principal import Principal
from apps.accounts.users import asking
from apps.storage.models import Study
from apps.worklist import deciding, linking, schedule
from apps.worklist.attributes import BY_NAME
from apps.worklist.fields import FIELDS, written
from apps.worklist.models import LinkState, StudyLink, sees_links

PAGE: Final = 50
_MOST_WAITING: Final = 99  # that are counted
_FOUND_BY: Final = {
    linking.BY_UID: gettext_lazy("Study UID"),
    linking.BY_ACCESSION: gettext_lazy("Accession number"),
    linking.BY_HAND: gettext_lazy("A person"),
}
_LOOKS: Final[Mapping[LinkState, tuple[str, str]]] = {  # colour, icon
    LinkState.LINKED: ("green", "link"),
    LinkState.MISMATCH: ("orange", "alert-triangle"),
    LinkState.DISMISSED: ("secondary", "unlink"),
    LinkState.WITHDRAWN: ("secondary", "circle-x"),
}
_LISTED: Final = (LinkState.MISMATCH, LinkState.LINKED, LinkState.DISMISSED)


class _Decides(Protocol):
    def __call__(self, *, principal: Principal, link_id: int, reason: str, revision: int | None) -> StudyLink: ...


@dataclass(frozen=True, slots=True)
class Verb:
    word: Any
    icon: str
    css: str
    decide: _Decides


_LINK: Final = Verb(gettext_lazy("They belong together"), "link", "btn-primary", deciding.link)
_DISMISS: Final = Verb(gettext_lazy("They do not"), "unlink", "", deciding.dismiss)
_UNLINK: Final = Verb(gettext_lazy("They do not belong together"), "unlink", "btn-danger", deciding.unlink)
VERBS: Final[Mapping[LinkState, Mapping[str, Verb]]] = {
    LinkState.MISMATCH: {"dismiss": _DISMISS, "link": _LINK},
    LinkState.DISMISSED: {"link": _LINK},
    LinkState.WITHDRAWN: {"link": _LINK},
    LinkState.LINKED: {"unlink": _UNLINK},
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """`more`: than the number; nobody needs to know how many."""

    number: int
    more: bool


@dataclass(frozen=True, slots=True)
class Row:
    link: StudyLink

    @property
    def of_study(self) -> dict[str, str]:
        return {name: pair[0] for name, pair in self.link.compared.items()}

    @property
    def of_order(self) -> dict[str, str]:
        return {name: pair[1] for name, pair in self.link.compared.items()}

    @property
    def differing(self) -> list[Any]:
        return [_label(name) for name in self.link.differences]

    @property
    def found_by(self) -> Any:
        return _FOUND_BY.get(self.link.matched_by, self.link.matched_by)

    @property
    def colour(self) -> str:
        return _LOOKS[LinkState(self.link.state)][0]

    @property
    def icon(self) -> str:
        return _LOOKS[LinkState(self.link.state)][1]

    @property
    def compared(self) -> list[dict[str, Any]]:
        """Both values side by side."""
        return [
            {
                "label": _label(name),
                "differs": name in self.link.differences,
                "study": _text(name, of_study),
                "order": _text(name, of_order),
                "raw_study": of_study,
                "raw_order": of_order,
            }
            for name, (of_study, of_order) in self.link.compared.items()
        ]


@partial(pages.page, error="worklist/error.html")
def links(request: HttpRequest) -> HttpResponse:
    principal = asking(request)
    said = request.GET.get("state", "")
    state = LinkState(said) if said in LinkState.values else LinkState.MISMATCH
    after = request.GET.get("after", "")
    found = StudyLink.objects.visible_to(principal).filter(state=state).order_by("pk")
    if after.isascii() and after.isdigit() and len(after) < 19:
        found = found.filter(pk__gt=int(after))
    shown = list(found[: PAGE + 1])
    context = {
        "rows": [Row(link) for link in shown[:PAGE]],
        "state": state,
        "states": [(each, each.label) for each in _LISTED],
        "next": urlencode({"state": str(state), "after": str(shown[PAGE - 1].pk)}) if len(shown) > PAGE else "",
        "first": bool(after),
        "here": f"{request.path}?{urlencode({'state': str(state), 'after': after})}",
        "may_read": sees_links(principal),
    }
    seen = [(link.pk, link.revision, link.differences) for link in shown]
    return pages.live(
        request, page="worklist/link_list.html", fragment="worklist/_links.html", context=context, state=(state, seen)
    )


def waiting_for(request: HttpRequest) -> Waiting | None:
    """What is to be decided by who looks; None for who decides nothing."""
    principal = asking(request)
    if not principal.may_schedule or not sees_links(principal):
        return None
    found = StudyLink.objects.visible_to(principal).filter(state=LinkState.MISMATCH)[: _MOST_WAITING + 1].count()
    return Waiting(min(found, _MOST_WAITING), found > _MOST_WAITING)


@require_safe
@cache_control(private=True, no_store=True)
def waiting(request: HttpRequest) -> HttpResponse:
    """The count in the navigation, asked for now and then; whoever is signed out meanwhile keeps his page as it is."""
    if not request.user.is_authenticated:
        return HttpResponse(status=204)
    return render(request, "worklist/_waiting.html")


@partial(pages.page, writes=True, error="worklist/error.html")
def link(request: HttpRequest, key: int) -> HttpResponse:
    """The comparison is the second step: both sides are named before anything is decided."""
    principal = asking(request)
    if request.method == "POST":
        return _decided(request, principal, key)
    shown = _found(principal, key)
    context = {
        "link": shown,
        "row": Row(shown),
        "study": Study.objects.visible_to(principal).filter(study_instance_uid=shown.study_instance_uid).first(),
        "steps": shown.requested_procedure.steps.order_by("pk")[:10],
        "events": shown.events.order_by("-pk")[:100],
        "verbs": VERBS[LinkState(shown.state)],
        "may_schedule": principal.may_schedule,
    }
    return render(request, "worklist/link_detail.html", context)


def _decided(request: HttpRequest, principal: Principal, key: int) -> HttpResponse:
    if not principal.may_schedule:
        raise schedule.NotAllowed("Not allowed to decide of studies and orders")
    verb = VERBS[LinkState(_found(principal, key).state)].get(request.POST.get("verb", ""))
    revision = request.POST.get("revision", "")
    try:
        if verb is None:
            raise deciding.WrongState("no such decision")
        verb.decide(
            principal=principal,
            link_id=key,
            reason=request.POST.get("reason", "").strip(),
            revision=int(revision) if revision.isascii() and revision.isdigit() and len(revision) < 10 else None,
        )
        messages.success(request, _("The decision is kept"))
    except (schedule.Stale, deciding.WrongState):
        messages.error(request, _("It was changed meanwhile: look at it again before you decide."))
    return redirect("worklist-link", key=key)


def _found(principal: Principal, key: int) -> StudyLink:
    """Raises NoSuchLink."""
    found = StudyLink.objects.visible_to(principal).select_related("requested_procedure").filter(pk=key).first()
    if found is None:
        raise deciding.NoSuchLink("There is no such link")
    return found


def _label(name: str) -> Any:
    return FIELDS[name].label if name in FIELDS else BY_NAME[name].keyword if name in BY_NAME else name


def _text(name: str, value: str) -> str:
    each = FIELDS.get(name)
    if each is None:
        return value
    return str(each.choices.get(value, value)) if each.choices else written(each.kind, value)
