"""The OHIF viewer below /viewer/, for who is signed in."""

from typing import Final

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe
from whitenoise.middleware import WhiteNoiseMiddleware

from apps.viewer.files import INDEX, files
from apps.viewer.package import installed

# From here alone, nothing inline. What it compiles while it runs are functions of its own: the codecs of JPEG and
# JPEG-LS do so in its workers, and the reader of segmentations in the page.
_POLICY: Final = "; ".join(
    f"{part} {sources}"
    for part, sources in {
        "default-src": "'self'",
        "script-src": "'self' 'unsafe-eval'",
        "worker-src": "'self' blob:",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "media-src": "'self' blob:",
        "connect-src": "'self' data: blob:",
        "object-src": "'self' blob:",
        "frame-src": "'self' blob:",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
    }.items()
)


@require_safe
@login_required
def viewer(request: HttpRequest, name: str = "") -> HttpResponseBase:
    """A file of the viewer, and its page for every other address: these are places within it."""
    directory = installed(settings.VIEWER)
    if directory is None:
        return render(request, "viewer/missing.html", status=503)
    found = files(directory)
    response: HttpResponseBase = WhiteNoiseMiddleware.serve(found.get(name) or found[INDEX], request)
    response["Content-Security-Policy"] = _POLICY
    return response
