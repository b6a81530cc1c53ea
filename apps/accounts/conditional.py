"""Answers that depend on what the client has already: ETag, If-None-Match, Range, If-Range (RFC 9110 8.8, 13, 14)."""

import hashlib
import hmac
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from rest_framework.request import Request

from dicom.media import Unsatisfiable, byte_range, split

_MARKED: Final = frozenset({200, 206, 304})


class Source(Protocol):
    """Bytes that can be read from anywhere, open until closed."""

    @property
    def size(self) -> int: ...
    def between(self, start: int, stop: int) -> Iterable[bytes]:
        """With a `close` that closes the source."""
        ...

    def close(self) -> None: ...


def tag_of(*parts: object, weak: bool = False) -> str:
    """A validator of what `parts` name: where the bytes are from, its revision, and the form they come in; weak when
    they say the same each time, but not in the same bytes. Keyed: it tells nothing, and nobody can foresee it."""
    text = "\0".join(map(str, (settings.VERSION, *parts)))
    return f'{"W/" * weak}"{hmac.digest(settings.SECRET_KEY.encode(), text.encode(), hashlib.sha256).hex()[:32]}"'


def conditional(
    request: HttpRequest | Request, tag: str, make: Callable[[], HttpResponseBase], *, vary: Iterable[str] = ("Accept",)
) -> HttpResponseBase:
    """304 to who has what `tag` names, else what `make` makes: his alone, and to be asked for again each time."""
    response = HttpResponseNotModified() if _is_known(request, tag) else make()
    if response.status_code in _MARKED:
        response["ETag"] = tag
        response["Cache-Control"] = "private, no-cache"
        patch_vary_headers(response, [*vary, "Authorization", "Cookie"])
    return response


def ranged(request: HttpRequest | Request, source: Source, *, content_type: str, tag: str = "") -> HttpResponseBase:
    """All of the source, or the one range of it that is asked for."""
    asked = request.META.get("HTTP_RANGE", "") if request.META.get("HTTP_IF_RANGE", tag) == tag else ""
    try:
        part = byte_range(asked, source.size)
    except Unsatisfiable:
        source.close()
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{source.size}"})
    start, stop = part or (0, source.size)
    response = StreamingHttpResponse(
        source.between(start, stop), content_type=content_type, status=206 if part else 200
    )
    response["Accept-Ranges"] = "bytes"
    response["Content-Length"] = str(stop - start)
    if part:
        response["Content-Range"] = f"bytes {start}-{stop - 1}/{source.size}"
    return response


def _is_known(request: HttpRequest | Request, tag: str) -> bool:
    if request.method not in ("GET", "HEAD"):
        return False
    known = {part.strip().removeprefix("W/") for part in split(request.META.get("HTTP_IF_NONE_MATCH", ""), ",")}
    return bool(known & {tag.removeprefix("W/"), "*"})
