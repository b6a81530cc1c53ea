"""Pages: studies, or some series of one, as a ZIP that a job makes, and the ZIP itself."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext

from apps.accounts import pages
from apps.accounts.pages import page
from apps.accounts.rest import InvalidRequest
from apps.accounts.users import asking
from apps.console.choosing import Choice
from apps.jobs.kind import NotAllowed
from apps.jobs.models import Job
from apps.qr import exporting
from dicom.errors import DicomError

_ERROR: Final = "jobs/error.html"


class NoSuchJob(DicomError):
    http_status = 404


class NoFile(DicomError):
    http_status = 410


@partial(page, writes=True)
def export(request: HttpRequest) -> HttpResponse:
    """A job, whose page shows how far it is and has the ZIP in the end."""
    principal = asking(request)
    if not exporting.may_export(principal):
        raise NotAllowed(gettext("Your account may not export images"))
    choice = Choice.of(request)
    dicomdir = "dicomdir" in choice.params
    errors: Mapping[str, str] = {}
    if request.method == "POST":
        try:
            return redirect("job", key=choice.submit(request, exporting.KIND, dicomdir=dicomdir).pk)
        except InvalidRequest as error:
            errors = error.errors
    context = {
        **choice.context,
        "dicomdir": dicomdir,
        "days": exporting.DAYS,
        "most_in_dicomdir": exporting.MOST_IN_DICOMDIR,
        "errors": errors,
    }
    return render(request, "console/export_form.html", context, status=400 if errors else 200)


@partial(pages.page, error=_ERROR)
def exported(request: HttpRequest, key: int) -> HttpResponse:
    """What the job has made."""
    principal = asking(request)
    job = Job.objects.visible_to(principal).filter(pk=key).first()
    if job is None:
        raise NoSuchJob("There is no such job")
    file = exporting.fetch(job, principal)
    if file is None:
        raise NoFile(gettext("The job has made no file, or not yet, or it has expired. Export it again."))
    name = f"export {key}.zip"
    return FileResponse(file, as_attachment=True, filename=name, content_type="application/zip")  # type: ignore[return-value]
