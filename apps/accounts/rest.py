"""What every REST collection has in common: who asks, whether he may, the body as JSON, pages."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

import orjson
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts import idempotency
from apps.accounts.body import RequestBody
from apps.accounts.http import ProblemRenderer, Untouched
from apps.accounts.principal import Principal
from apps.accounts.users import asking
from dicom.errors import DicomError, InvalidFields, InvalidValue
from dicom.media import accepted, choose
from dicom.multipart import content_type
from dicom.sop_classes import Service

JSON: Final = "application/json"
LARGEST: Final = 5 << 20
DEEPEST: Final = 32
PAGE: Final = 100
MOST: Final = 1000
_LOST_PLUS: Final = re.compile(r" (?=\d\d:?\d\d$)")  # of an offset that was not percent-encoded

Params = Mapping[str, Sequence[str]]
Filters = Mapping[str, Callable[[Sequence[str]], Q]]


class InvalidRequest(InvalidFields):
    http_status = 400


class NoJson(DicomError):
    """The body cannot be read."""


class TooLarge(DicomError):
    http_status = 413


class NotSupported(DicomError):
    http_status = 415


class NotFound(DicomError):
    http_status = 404


class Conflict(InvalidRequest):
    """It does not go together with what is there."""

    http_status = 409


class NotAsItWas(DicomError):
    """What If-Match names is not there any more."""

    http_status = 412


class RestView(APIView):
    """`service`: whose right is asked for to read; none: who is signed in may. Verbs ask for more. `takes`, `gives`:
    media types."""

    permission_classes = [IsAuthenticated]
    content_negotiation_class = Untouched
    renderer_classes = [ProblemRenderer]  # of what fails before the negotiation, too
    service: ClassVar[Service | None] = None
    takes: ClassVar[Sequence[str]] = (JSON,)
    gives: ClassVar[Sequence[str]] = (JSON,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """The media type first: what is a form would be read to find a token in it."""
        self.media_type = self._media_type(request)
        self.answer_type = choose(accepted([request.META.get("HTTP_ACCEPT", "")]), self.gives)
        super().initial(request, *args, **kwargs)
        self.principal: Principal = asking(request)
        if self.service and not self.principal.may(self.service):
            raise PermissionDenied(f"Not allowed: {self.service}")

    def _media_type(self, request: Request) -> str:
        """Of the body; empty where there is none."""
        if request.method in ("GET", "HEAD", "OPTIONS", "DELETE"):
            return ""
        if request.META.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
            raise NotSupported("A body with a Content-Encoding is not taken")
        said = content_type(request.META.get("CONTENT_TYPE", ""))
        if said.type in self.takes:
            return said.type
        if not said.type and (request.META.get("CONTENT_LENGTH") or "0") == "0":
            return self.takes[0]
        raise NotSupported(f"There is only {', '.join(self.takes)}")

    def body(self, request: Request) -> bytes:
        """Whole. Raises TooLarge."""
        length = request.META.get("CONTENT_LENGTH") or ""
        received = bytearray()
        with RequestBody(request) as body:
            too_large = TooLarge(f"More than {LARGEST >> 20} MiB")
            if length.isdigit() and int(length) > LARGEST:
                raise too_large
            for piece in body.as_part({}):
                received += piece
                if len(received) > LARGEST:
                    raise too_large
        return bytes(received)

    def once(self, request: Request, make: Callable[[Any], HttpResponse]) -> HttpResponse:
        """The answer to a POST, made of the body, once for each Idempotency-Key."""
        body = self.body(request)
        document = parsed(body)
        return idempotency.once(request, user_id=self.principal.key or 0, body=body, make=lambda: make(document))

    def options(self, request: Request, *_: Any, **__: Any) -> HttpResponse:  # type: ignore[override]
        """What may be asked here; the description says the rest."""
        return HttpResponse(status=204, headers={"Allow": ", ".join(self.allowed_methods)})

    def answer(self, document: Any, *, status: int = 200, **headers: str) -> HttpResponse:
        """`headers` with underscores."""
        made = HttpResponse(orjson.dumps(document), status=status, content_type=self.answer_type)
        made["Cache-Control"] = "private, no-cache"
        patch_vary_headers(made, ["Accept", "Authorization", "Cookie"])
        for name, value in headers.items():
            made[name.replace("_", "-")] = value
        return made

    def listed(self, results: list[Any], following: str | None, *, bare: bool = False) -> HttpResponse:
        """A page, and the address of the next one; `bare`: only in the header."""
        made = self.answer(results if bare else {"next": following, "results": results})
        if following:
            made["Link"] = f'<{following}>; rel="next"'
        return made


def parsed(body: bytes) -> Any:
    """Nothing is an empty object. Raises NoJson."""
    if not body.strip():
        return {}
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NoJson(f"The body is no JSON: {error}") from error
    if _depth(document) > DEEPEST:
        raise NoJson(f"Nested deeper than {DEEPEST} levels")
    return document


def fields(document: Any, *known: str) -> Mapping[str, Any]:
    """Of an object that has no others. Raises InvalidRequest, naming them."""
    if not isinstance(document, dict):
        raise NoJson("An object is needed")
    if unknown := {name[:64]: "no such field" for name in document if name not in known}:
        raise InvalidRequest(unknown)
    return document


def text(document: Mapping[str, Any], name: str) -> str:
    """Of a field; empty where it is not given."""
    value = document.get(name)
    if not isinstance(value, str | None):
        raise InvalidRequest({name: "no text"})
    return _readable(name, value or "")


def whole(document: Mapping[str, Any], name: str, *, least: int, most: int) -> int | None:
    """A number; None where it is not given."""
    value = document.get(name)
    if value is None:
        return None
    if type(value) is not int or not least <= value <= most:
        raise InvalidRequest({name: f"a whole number from {least} to {most}"})
    return value


def without_nul(document: Mapping[str, Any]) -> None:
    """PostgreSQL keeps none, not even in JSON. Raises InvalidRequest."""
    if wrong := {name[:64]: "holds a NUL" for name, value in document.items() if any("\0" in t for t in _texts(value))}:
        raise InvalidRequest(wrong)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def moment(said: str) -> datetime | None:
    """ISO 8601, local time where it has no offset; None: nothing said. Raises InvalidValue."""
    if not said.strip():
        return None
    try:
        found = parse_datetime(_LOST_PLUS.sub("+", said.strip()))
        if found is not None:
            return (found if found.tzinfo else timezone.make_aware(found)).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidValue("no moment: 2026-11-25T08:30:00Z")


def refused(error: ValidationError) -> InvalidRequest:
    """What the checks of a row say, by field."""
    if not hasattr(error, "error_dict"):
        return InvalidRequest({"body": " ".join(error.messages)})
    said = {("body" if name == "__all__" else name): " ".join(texts) for name, texts in error.message_dict.items()}
    return InvalidRequest(said)


def params_of(request: Request, *, without: Sequence[str] = ()) -> dict[str, list[str]]:
    return {name: request.GET.getlist(name) for name in request.GET if name not in without}


def known(request: Request, *names: str) -> Mapping[str, list[str]]:
    """The parameters, which have no others. Raises InvalidRequest, naming them."""
    params = params_of(request)
    if unknown := {name[:64]: "no such parameter" for name in params if name not in names}:
        raise InvalidRequest(unknown)
    return params


def filtered(params: Params, by: Filters) -> Q:
    """What all filters that are given leave. Raises InvalidRequest, naming every one that is wrong."""
    errors: dict[str, str] = {}
    found = Q()
    for name, values in params.items():
        make = by.get(name)
        try:
            if make is None:
                raise InvalidValue("no such filter")
            found &= make(values)
        except InvalidValue as error:
            errors[name[:64]] = str(error)
    if errors:
        raise InvalidRequest(errors)
    return found


def one(params: Params, name: str) -> str:
    """The last one given."""
    return _readable(name, (params.get(name) or [""])[-1].strip())


def _readable(name: str, said: str) -> str:
    if any(character < " " and character not in "\n\t" for character in said):
        raise InvalidRequest({name: "holds a control character"})
    return said


def limit_of(params: Params) -> int:
    said = one(params, "limit") or str(PAGE)
    if not (said.isascii() and said.isdigit() and len(said) < 20 and int(said)):
        raise InvalidRequest({"limit": f"1 to {MOST}"})
    return min(int(said), MOST)


def position(params: Params) -> int | None:
    """`after`, of a list whose positions are keys of rows."""
    said = one(params, "after")
    if said and not (said.isascii() and said.isdigit() and len(said) < 19):
        raise InvalidRequest({"after": "no position of this list"})
    return int(said) if said else None


def flag(params: Params, name: str) -> bool | None:
    """None: not said."""
    said = one(params, name).lower()
    if said not in ("", "true", "false"):
        raise InvalidRequest({name: "true or false"})
    return {"true": True, "false": False}.get(said)


def next_page(request: HttpRequest | Request, after: object) -> str:
    """The address of this list from there on."""
    params = {name: request.GET.getlist(name) for name in request.GET} | {"after": [str(after)]}
    return request.build_absolute_uri(f"{request.path}?{urlencode(params, doseq=True)}")


def wanted_versions(request: Request) -> Sequence[str] | None:
    """Those that If-Match names (RFC 9110 13.1.1); None: whatever it is."""
    header = request.META.get("HTTP_IF_MATCH", "").strip()
    if header in ("", "*"):
        return None
    return [part.strip().removeprefix("W/").strip('"') for part in header.split(",")]


def _depth(value: Any) -> int:
    """Without recursion: the text of a body says how deep it goes."""
    deepest, level = 0, [value]
    while level and deepest <= DEEPEST:
        deepest += 1
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner += each.values()
            elif isinstance(each, list):
                inner += each
        level = [each for each in inner if isinstance(each, dict | list)]
    return deepest
