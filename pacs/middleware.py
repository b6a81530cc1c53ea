"""What every answer has: the identity of its request, which its log lines have too, and a policy for its content."""

import secrets
from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from apps import context


class RequestIdentity:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        identity = secrets.token_hex(8)
        # Until the thread takes its next request: Django logs a failure when all middleware is through.
        context.bind(request=identity)
        response = self.get_response(request)
        response["X-Request-Id"] = identity
        return response


class HeadWithoutBody:
    """What GET would be answered with, but for the content: it is not even made where it is made piece by piece."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response: HttpResponseBase = self.get_response(request)
        if request.method == "HEAD":
            if isinstance(response, StreamingHttpResponse):
                response.streaming_content = iter(())
            elif isinstance(response, HttpResponse):
                response.content = b""  # Content-Length is that of GET
        return response  # type: ignore[return-value]


class ContentSecurityPolicy:
    """Nothing from elsewhere, nothing inline. A view whose page needs more sets a policy of its own."""

    # `data:` are the small pictures in style sheets, `blob:` what our own scripts have made.
    POLICY: Final = "; ".join(
        (
            "default-src 'self'",
            "img-src 'self' data: blob:",
            "frame-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        )
    )

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code != 304:  # whose headers take the place of those the browser has kept
            response.headers.setdefault("Content-Security-Policy", self.POLICY)
        if request.is_secure():  # elsewhere browsers ignore it, and complain
            response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        return response
