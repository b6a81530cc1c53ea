"""Pages: the list of studies, a study, the quick look."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe
from django_htmx.http import replace_url
from django_htmx.middleware import HtmxDetails

from apps.accounts import pages
from apps.accounts.pages import page
from apps.accounts.rest import InvalidRequest
from apps.accounts.users import asking
from apps.console import remote as others
from apps.console import studies as verbs
from apps.console.choosing import Choice, visible
from apps.console.studies import HEADINGS, MODALITIES, Filters, Page
from apps.jobs.kind import NotAllowed
from apps.jobs.models import Job
from apps.network.calling import peers_to_call
from apps.qr import exporting, remote_query, sending
from apps.qr import retrieving as retrievals
from dicom import dictionary
from dicom.errors import DicomError, InvalidValue
from dicom.sop_classes import Service
from dicom.values import is_uid

# Named in the page, so that none is asked for only when another one has come.
_QUICK_LOOK: Final = sorted(
    f"quick-look/{path.name}" for path in (settings.BASE_DIR / "static/quick-look").glob("*.js")
)


@page
def studies(request: HttpRequest) -> HttpResponse:
    principal = asking(request)
    filters = Filters.from_params(request.GET.dict())
    error = ""
    try:
        found = verbs.find(filters, principal)
    except InvalidValue as wrong:
        found, error = Page([], more=False), str(wrong)
    context = {
        "filters": filters,
        "page": found,
        "error": error,
        "may_find": principal.may(Service.FIND),
        "may_send": sending.may_send(principal),
        "may_export": exporting.may_export(principal),
        "headings": [
            {
                "heading": heading,
                "sorted": heading.sorted(filters.order),
                "address": filters.address(order=heading.next_order(filters.order), page=1),
            }
            for heading in HEADINGS
        ],
        "modalities": sorted({*MODALITIES, *filter(None, [filters.modality])}),
        "next": filters.address(page=filters.page + 1) if found.more else "",
        "previous": filters.address(page=filters.page - 1) if filters.page > 1 else "",
        "first": (filters.page - 1) * verbs.PAGE + 1,
        "last": (filters.page - 1) * verbs.PAGE + len(found.studies),
    }
    htmx: HtmxDetails = request.htmx  # type: ignore[attr-defined]
    if not htmx:
        return render(request, "console/study_list.html", context)
    response = render(request, "console/_studies.html", context)
    return replace_url(response, f"{reverse('studies')}{filters.address()}".rstrip("?"))


@page
def search(request: HttpRequest) -> HttpResponse:
    """The box at the top of every page: to the list, filtered by what was meant."""
    text = request.GET.get("q", "").strip()
    if is_uid(text) and verbs.study(text, asking(request)):
        return redirect("study", study=text)
    return redirect(f"{reverse('studies')}{verbs.guess(text, asking(request)).address()}")


@page
def study(request: HttpRequest, study: str) -> HttpResponse:
    principal = asking(request)
    context = {
        "study": visible(request, study),
        "series": verbs.series_of(study, principal),
        "dicomweb": settings.DICOMWEB,
        "may_get": principal.may(Service.GET),
        "may_send": sending.may_send(principal),
        "may_export": exporting.may_export(principal),
    }
    return render(request, "console/study_detail.html", context)


@partial(page, writes=True)
def send(request: HttpRequest) -> HttpResponse:
    """Some studies, or some series of one, to a peer: a job, whose page is the answer."""
    principal = asking(request)
    if not sending.may_send(principal):
        raise NotAllowed("Your account may not have images sent")
    choice = Choice.of(request)
    peer = choice.params.get("peer", "")
    errors: Mapping[str, str] = {}
    if request.method == "POST":
        try:
            return redirect("job", key=choice.submit(request, "send", peer=peer).pk)
        except InvalidRequest as error:
            errors = error.errors
    context = {**choice.context, "peers": peers_to_call(), "peer": peer, "errors": errors}
    return render(request, "console/send_form.html", context, status=400 if errors else 200)


@page
def quick_look(request: HttpRequest, study: str, series: str = "") -> HttpResponse:
    if series and not is_uid(series):
        raise Http404
    context = {
        "study": visible(request, study),
        "series": series,
        "dicomweb": settings.DICOMWEB,
        "version": settings.VERSION,
        "modules": _QUICK_LOOK,
    }
    return render(request, "console/quick_look.html", context)


@require_safe
@login_required
@cache_control(private=True, max_age=86_400)
def keywords(request: HttpRequest) -> JsonResponse:
    """Tag -> keyword of the standard elements; the digits of repeating groups that vary are `x`."""
    return JsonResponse(dictionary.keywords())


@page
def remote(request: HttpRequest) -> HttpResponse:
    """Asked only once somebody has said whom: others are not to be called by whoever looks at a page."""
    principal = asking(request)
    search = others.Search.from_params(request.GET)
    error, found = "", None
    if search.peers:
        try:
            found = others.find(search, principal)
        except DicomError as wrong:
            error = str(wrong)
    context = {
        "search": search,
        "filters": search.filters,
        "found": found,
        "error": error,
        "peers": [peer.name for peer in remote_query.callable_peers()],
        "may_ask": remote_query.may_ask(principal),
        "may_retrieve": retrievals.may_retrieve(principal),
        "modalities": sorted({*MODALITIES, *filter(None, [search.filters.modality])}),
    }
    htmx: HtmxDetails = request.htmx  # type: ignore[attr-defined]
    if not htmx:
        return render(request, "console/remote_list.html", context)
    response = render(request, "console/_remote.html", context)
    return replace_url(response, f"{reverse('remote')}{search.address()}")


@partial(page, writes=True)
def retrieve(request: HttpRequest) -> HttpResponse:
    """The button beside a study."""
    if request.method != "POST":
        return redirect("remote")
    job = others.retrieve(request.POST.get("peer", ""), request.POST.get("study", ""), asking(request))
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("job", key=job.pk)
    return _progress(request, job)


@page
def retrieving(request: HttpRequest, key: int) -> HttpResponse:
    job = Job.objects.visible_to(asking(request)).filter(pk=key).first()
    if job is None:
        raise Http404
    return _progress(request, job)


def _progress(request: HttpRequest, job: Job) -> HttpResponse:
    """What stands in the place of the button from then on."""
    fragment = "console/_retrieving.html"
    state = (job.pk, job.state, job.done, job.total, job.error)
    context = {"job": job, "study": others.study_of(job)}
    return pages.live(request, page=fragment, fragment=fragment, context=context, state=state)
