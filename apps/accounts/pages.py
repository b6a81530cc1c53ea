"""What every page of the browser has in common: who may see it, where it may be kept, how an error of ours looks."""

import hashlib
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRefresh

from dicom.errors import DicomError

View = Callable[..., HttpResponse]

# Of the address a live part asks: what it shows.
SEEN: Final = "seen"


def page(view: View, *, writes: bool = False, error: str = "console/error.html") -> View:
    """For who is signed in; what it shows of patients is kept by no cache. `error`: the template of what says that
    something is not possible."""
    methods = ["GET", "HEAD", "POST"] if writes else ["GET", "HEAD"]
    kept = cache_control(private=True, no_store=True)(_told(view, error))
    return require_http_methods(methods)(_signed_in(kept))


def _signed_in(view: View) -> View:
    """A fragment for a page whose session has ended makes the whole page ask who is there."""
    asking = login_required(view)

    @wraps(view)
    def signed_in(request: HttpRequest, **parts: Any) -> HttpResponse:
        if getattr(request, "htmx", False) and not request.user.is_authenticated:
            return HttpResponseClientRefresh()
        return asking(request, **parts)

    return signed_in


def _told(view: View, template: str) -> View:
    """An error of ours is a page that says it."""

    @wraps(view)
    def told(request: HttpRequest, **parts: Any) -> HttpResponse:
        try:
            return view(request, **parts)
        except DicomError as error:
            status = getattr(error, "http_status", 400)
            return render(request, template, {"error": error, "status": status}, status=status)

    return told


def digest(seen: Any) -> str:
    """Of what a page shows: another one when it is not the same any more."""
    return hashlib.blake2b(repr(seen).encode(errors="surrogatepass"), digest_size=12).hexdigest()


def live(request: HttpRequest, *, page: str, fragment: str, context: Mapping[str, Any], state: Any) -> HttpResponse:
    """The page, or for HTMX the part of it that changes; nothing for who sees it already. `state` is what it shows, as
    far as it changes; templates have its digest as `stamp`."""
    stamp = digest(state)
    if not getattr(request, "htmx", False):
        return render(request, page, {**context, "stamp": stamp})
    if request.GET.get(SEEN) == stamp:
        return HttpResponse(status=204)
    return render(request, fragment, {**context, "stamp": stamp})
