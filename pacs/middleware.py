"""Every request has an identity: in the log lines it causes and in its answer."""

import secrets
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

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
