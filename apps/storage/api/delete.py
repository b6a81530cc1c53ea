"""DELETE of a study, a series or an instance: our own, the standard has none."""

from django.http import HttpResponse
from rest_framework.request import Request

from apps.accounts.api import DicomWebView
from apps.accounts.users import asking
from apps.storage import archive
from dicom.sop_classes import Service


class Delete(DicomWebView):
    """Into the recycle area, from where the console restores it until it is emptied."""

    service = Service.FIND  # what one may not see one cannot delete; whether one may, the archive says

    def delete(self, request: Request, study: str, series: str = "", instance: str = "") -> HttpResponse:
        archive.delete(
            principal=asking(request),
            study_instance_uid=study,
            series_instance_uid=series,
            sop_instance_uids=[instance] if instance else [],
        )
        return HttpResponse(status=204)
