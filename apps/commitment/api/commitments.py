"""REST of requests for storage commitment: `/api/commitments/`."""

from typing import Any, Final

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema_view
from rest_framework.request import Request

from apps.accounts.rest import InvalidRequest, NotFound, RestView, known, limit_of, next_page, one, position
from apps.commitment import pages
from apps.commitment.api import description
from apps.commitment.models import CommitmentRequest, Direction, State
from apps.commitment.pages import Entry
from dicom.commitment import COMMITTED
from dicom.sop_classes import Service

COLUMNS: Final = (
    "id",
    "direction",
    "state",
    "transaction_uid",
    "peer",
    "calling_ae_title",
    "called_ae_title",
    "references",
    "committed",
    "failed",
    "error",
    "created_at",
    "asked_at",
    "decided_at",
    "reported_at",
)
CHOICES: Final = {"direction": Direction.values, "state": State.values}
TEXTS: Final = ("peer", "transaction_uid")


class CommitmentView(RestView):
    service = Service.COMMITMENT

    def found(self, key: int) -> CommitmentRequest:
        request = CommitmentRequest.objects.filter(pk=key).first()
        if request is None:
            raise NotFound("There is no such request")
        return request


@extend_schema_view(get=description.search)
class Commitments(CommitmentView):
    def get(self, request: Request) -> HttpResponse:
        params = known(request, "limit", "after", *CHOICES, *TEXTS)
        limit, before = limit_of(params), position(params)
        found = CommitmentRequest.objects.all()
        for name, choices in CHOICES.items():
            if said := one(params, name):
                if said not in choices:
                    raise InvalidRequest({name: f"one of {', '.join(choices)}"})
                found = found.filter(**{name: said})
        for name in TEXTS:
            if said := one(params, name):
                found = found.filter(**{name: said})
        if before is not None:
            found = found.filter(pk__lt=before)
        rows = list(found[: limit + 1])
        following = next_page(request, rows[limit - 1].pk) if len(rows) > limit else None
        return self.listed([plain(row) for row in rows[:limit]], following)


@extend_schema_view(get=description.read)
class Commitment(CommitmentView):
    def get(self, request: Request, key: int) -> HttpResponse:
        known(request)
        return self.answer(plain(self.found(key)))


@extend_schema_view(get=description.references)
class References(CommitmentView):
    """In the order they were asked for; `outcome=failed`: those that are not committed."""

    def get(self, request: Request, key: int) -> HttpResponse:
        params = known(request, "limit", "after", "outcome")
        outcome = one(params, "outcome")
        if outcome not in ("", *OUTCOMES):
            raise InvalidRequest({"outcome": f"one of {', '.join(OUTCOMES)}"})
        limit, after = limit_of(params), position(params)
        found: list[tuple[int, Entry]] = []
        for number, entry in pages.numbered(self.found(key), first=0 if after is None else after + 1):
            if not outcome or outcome == outcome_of(entry):
                found.append((number, entry))
            if len(found) > limit:
                break
        following = next_page(request, found[limit - 1][0]) if len(found) > limit else None
        return self.listed([reference(number, entry) for number, entry in found[:limit]], following)


OUTCOMES: Final = ("committed", "failed", "unknown")


def outcome_of(entry: Entry) -> str:
    if entry.reason is None:
        return "unknown"
    return "committed" if entry.reason == COMMITTED else "failed"


def plain(request: CommitmentRequest) -> dict[str, Any]:
    return {**{name: getattr(request, name) for name in COLUMNS}, "job": request.job_id}


def reference(number: int, entry: Entry) -> dict[str, Any]:
    return {
        "position": number,
        "sop_class_uid": entry.sop_class_uid,
        "sop_instance_uid": entry.sop_instance_uid,
        "outcome": outcome_of(entry),
        "reason": entry.text if entry.reason else "",
    }
