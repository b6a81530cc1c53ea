"""The web processes' way in."""

import os

import django
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest


class Request(WSGIRequest):
    """Read as UTF-8. The charset of a Content-Type says nothing of a query string, and not every codec is one of text:
    Django would take it for both, and fail before anything of ours can answer."""

    @property
    def encoding(self) -> None:
        return None

    @encoding.setter
    def encoding(self, value: str | None) -> None:
        pass


class Handler(WSGIHandler):
    request_class = Request


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pacs.settings")
django.setup(set_prefix=False)
application = Handler()
