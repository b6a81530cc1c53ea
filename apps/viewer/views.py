"""The OHIF viewer below /viewer/, for who is signed in."""

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe
from whitenoise.middleware import WhiteNoiseMiddleware

from apps.viewer.files import INDEX, files
from apps.viewer.package import installed


@require_safe
@login_required
def viewer(request: HttpRequest, name: str = "") -> HttpResponseBase:
    """A file of the viewer, and its page for every other address: these are places within it."""
    directory = installed(settings.VIEWER)
    if directory is None:
        return render(request, "viewer/missing.html", status=503)
    found = files(directory)
    response: HttpResponseBase = WhiteNoiseMiddleware.serve(found.get(name) or found[INDEX], request)
    return response
