"""What a bug of ours is answered with: the reference by which the log has it, and no more."""

from typing import Final

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from apps import context

_FOR_PROGRAMS: Final = (f"{settings.DICOMWEB}/", "/wado", "/api/")


def server_error(request: HttpRequest) -> HttpResponse:
    reference = context.current().get("request", "")
    if request.path.startswith(_FOR_PROGRAMS):
        content = orjson.dumps({"title": f"Something went wrong here; the log has it as {reference}", "status": 500})
        return HttpResponse(content, content_type="application/problem+json", status=500)
    # Not of the request, whose user may have to be read from what has just failed.
    return HttpResponse(render_to_string("500.html", {"reference": reference}), status=500)
