"""REST of what we report to other systems: `/api/procedure-steps/report/`."""

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema_view
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from apps.accounts.rest import InvalidRequest, fields, known, parsed, text
from apps.mpps import scu
from apps.mpps.api import description
from apps.mpps.api.steps import PerformedView
from apps.network.calling import called
from dicom.errors import InvalidDataSet
from dicom.values import is_uid


@extend_schema_view(post=description.report)
class Report(PerformedView):
    def post(self, request: Request) -> HttpResponse:
        known(request)
        said = fields(parsed(self.body(request)), "peer", "action", "sop_instance_uid", "attributes")
        if not self.principal.may_schedule:
            raise PermissionDenied("Not allowed to report performed steps")
        action, uid, attributes = text(said, "action"), text(said, "sop_instance_uid"), said.get("attributes", {})
        if action not in scu.ACTIONS:
            raise InvalidRequest({"action": f"one of {', '.join(scu.ACTIONS)}"})
        if (uid or action != "create") and not is_uid(uid):
            raise InvalidRequest({"sop_instance_uid": "not a UID"})
        try:
            scu.check(attributes)
        except InvalidDataSet as error:
            raise InvalidRequest({"attributes": str(error)}) from error
        with called(text(said, "peer"), scu.CONTEXTS) as assoc:
            done = scu.ACTIONS[action](assoc, uid, attributes)
        return self.answer({"sop_instance_uid": done, "status": "0000"})
