"""REST: what a job of the kind "export" has made, for who asked for it."""

from typing import ClassVar

from django.http import FileResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema_view
from rest_framework.request import Request

from apps.accounts.rest import NotFound, known
from apps.jobs.api.jobs import JobView
from apps.qr import exporting
from apps.qr.api import description


@extend_schema_view(get=description.result)
class Result(JobView):
    gives: ClassVar = ("application/zip",)

    def get(self, request: Request, key: int) -> HttpResponseBase:
        known(request)
        file = exporting.fetch(self.found(key), self.principal)
        if file is None:
            raise NotFound("The job has made no file, or not yet, or it has expired")
        answer = FileResponse(file, as_attachment=True, filename=f"export {key}.zip", content_type="application/zip")
        answer["Cache-Control"] = "private, no-store"
        return answer
