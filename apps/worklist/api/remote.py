"""REST of other worklists: `/api/worklist/remote/`."""

from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema_view
from rest_framework.request import Request

from apps.accounts.rest import InvalidRequest, fields, known, parsed, text
from apps.network.calling import called
from apps.worklist import importing, schedule, scu
from apps.worklist.api import description
from apps.worklist.api.steps import WorklistView
from dicom.errors import InvalidValue

_MOST: Final = 1000


@extend_schema_view(post=description.ask_remote)
class Remote(WorklistView):
    def post(self, request: Request) -> HttpResponse:
        known(request)
        said = fields(parsed(self.body(request)), "peer", "keys", "limit", "import")
        if not self.principal.may_schedule:
            raise schedule.NotAllowed("Not allowed to change the worklist")
        peer, limit, take = text(said, "peer"), _limit(said.get("limit", 100)), said.get("import", False)
        if not peer:
            raise InvalidRequest({"peer": "is needed"})
        if not isinstance(take, bool):
            raise InvalidRequest({"import": "true or false"})
        keys = _keys(said.get("keys", {}))
        with called(peer, scu.CONTEXTS) as assoc:
            answers = list(scu.find(assoc, keys, limit=limit))
        with transaction.atomic():
            results = [
                {**line, "attributes": importing.as_json(item)}
                for item in answers
                for line in importing.lines(item, principal=self.principal)
            ]
            if not take:  # only to see what would become of them
                transaction.set_rollback(True)
        return self.answer({"imported": take, "results": results})


def _keys(said: Any) -> Any:
    if not isinstance(said, Mapping) or not all(isinstance(value, str) for value in said.values()):
        raise InvalidRequest({"keys": "attributes of a step and texts to match"})
    try:
        return scu.request(said)
    except InvalidValue as error:
        raise InvalidRequest({"keys": str(error)}) from error


def _limit(said: Any) -> int:
    if type(said) is not int or not 0 < said <= _MOST:
        raise InvalidRequest({"limit": f"1 to {_MOST}"})
    return said
