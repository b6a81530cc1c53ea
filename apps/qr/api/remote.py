"""REST of other archives: `/api/remote/query/`."""

from collections.abc import Mapping
from typing import Any, Final

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema_view
from rest_framework.request import Request

from apps.accounts.rest import InvalidRequest, RestView, fields, known, parsed, text
from apps.qr import asking, remote_query
from apps.qr.api import description
from apps.qr.asking import Answers
from apps.qr.attributes import UNIQUE_KEYS, Level
from dicom.errors import InvalidValue
from dicom.sop_classes import Service

_LIMIT: Final = 100


@extend_schema_view(post=description.query)
class Query(RestView):
    service = Service.FIND

    def post(self, request: Request) -> HttpResponse:
        known(request)
        said = fields(parsed(self.body(request)), "peers", "level", "keys", "limit")
        peers, keys = _peers(said.get("peers")), _keys(said.get("keys", {}))
        limit = said.get("limit", _LIMIT)
        if type(limit) is not int or not 0 < limit <= asking.MOST:
            raise InvalidRequest({"limit": f"1 to {asking.MOST}"})
        level = text(said, "level") or "study"
        try:
            question = asking.asked(level, keys, limit)
        except InvalidValue as error:
            raise InvalidRequest({"keys" if level.upper() in Level.__members__ else "level": str(error)}) from error
        answers = remote_query.ask(self.principal, peers, question)
        return self.answer(_plain(answers, remote_query.here(self.principal, answers, question.level), question.level))


def _plain(answers: Answers, here: Mapping[str, int], level: Level) -> dict[str, Any]:
    unique = UNIQUE_KEYS[level].keyword
    return {
        "results": [
            {
                **dict(asking.flat(found)),
                "peers": list(found.archives),
                "instances_here": here.get(found.values.get(unique, ""), 0),
            }
            for found in answers.found
        ],
        "peers": [
            {
                "peer": name,
                "answers": told.answers,
                "more": told.more,
                "error": told.error,
                "seconds": told.seconds,
            }
            for name, told in answers.told.items()
        ],
    }


def _peers(said: Any) -> list[str]:
    if not isinstance(said, list) or not said or not all(isinstance(name, str) for name in said):
        raise InvalidRequest({"peers": "a list of names"})
    if len(said) > asking.MOST_ARCHIVES:
        raise InvalidRequest({"peers": f"{asking.MOST_ARCHIVES} at most"})
    return said


def _keys(said: Any) -> dict[str, str]:
    if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
        raise InvalidRequest({"keys": "attributes and texts to match"})
    if any(character < " " for value in said.values() for character in value):
        raise InvalidRequest({"keys": "hold a control character"})
    return said
