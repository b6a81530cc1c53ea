"""What REST of listeners, peers and DICOMweb servers has in common: rows by id, changed by the verbs of `config`."""

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import orjson
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponse
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from apps.accounts.rest import (
    Conflict,
    NotAsItWas,
    NotFound,
    RestView,
    fields,
    known,
    limit_of,
    next_page,
    parsed,
    position,
    refused,
    wanted_versions,
    without_nul,
)
from apps.network import config, plain
from apps.network.plain import Configured
from dicom.sop_classes import Service

_NAMES: Final = ("id", "name", "enabled")


class ConfiguredView(RestView):
    """Administrators read and change. Who may use one of the services `named_for` is told the names of the rows."""

    model: ClassVar[type[Configured]]
    collection: ClassVar[str]
    named_for: ClassVar[tuple[Service, ...]] = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.may():
            raise PermissionDenied("The network is for administrators")

    def may(self) -> bool:
        reads = self.request.method in ("GET", "HEAD", "OPTIONS")
        return self.principal.administers or (reads and any(map(self.principal.may, self.named_for)))

    def found(self, key: int, *, lock: bool = False) -> Configured:
        rows = self.model._default_manager.all()
        found: Configured | None = (rows.select_for_update() if lock else rows).filter(pk=key).first()
        if found is None:
            raise NotFound(f"There is no such {self.model._meta.verbose_name}")
        return found

    def whole(self, row: Configured, *, status: int = 200, **headers: str) -> HttpResponse:
        return self.answer(self.shown(row), status=status, ETag=f'"{version(row)}"', **headers)

    def shown(self, row: Configured) -> dict[str, Any]:
        whole = plain.row(row)
        return whole if self.principal.administers else {name: whole[name] for name in _NAMES}

    def save(self, row: Configured, said: Mapping[str, Any]) -> None:
        """Raises InvalidRequest; Conflict for what the environment decides."""
        without_nul(said)
        for name, value in plain.read(self.model, said).items():
            setattr(row, name, value)
        try:
            config.save(row, principal=self.principal)
        except config.Locked as error:
            raise Conflict(refused(error).errors) from error
        except ValidationError as error:
            raise refused(error) from error

    def said(self, document: Any) -> Mapping[str, Any]:
        """Of a row as it was read, too: what is only shown is left out where it is the same."""
        return fields(document, *plain.columns(self.model))


class Rows(ConfiguredView):
    def get(self, request: Request) -> HttpResponse:
        params = known(request, "limit", "after")
        limit, after = limit_of(params), position(params) or 0
        rows: list[Any] = list(self.model._default_manager.filter(pk__gt=after).order_by("pk")[: limit + 1])
        following = next_page(request, rows[limit - 1].pk) if len(rows) > limit else None
        return self.listed([self.shown(row) for row in rows[:limit]], following)

    def post(self, request: Request) -> HttpResponse:
        known(request)

        def add(document: Any) -> HttpResponse:
            row = self.model()
            self.save(row, self.said(document))
            return self.whole(row, status=201, Location=f"/api/{self.collection}/{row.pk}/")

        return self.once(request, add)


class Row(ConfiguredView):
    def get(self, request: Request, key: int) -> HttpResponse:
        known(request)
        return self.whole(self.found(key))

    def patch(self, request: Request, key: int) -> HttpResponse:
        return self.change(request, key, {})

    def put(self, request: Request, key: int) -> HttpResponse:
        """What is not given is as in a new row."""
        return self.change(request, key, plain.defaults(self.model))

    def change(self, request: Request, key: int, otherwise: Mapping[str, Any]) -> HttpResponse:
        self.found(key)
        document = parsed(self.body(request))
        if isinstance(document, dict) and document.get("id") == key:  # the row as it was read
            document = {name: value for name, value in document.items() if name not in ("id", plain.LOCKED)}
        said = self.said(document)
        with transaction.atomic():
            row = self.found(key, lock=True)
            self.check(request, row)
            for name in otherwise.keys() - said.keys():
                setattr(row, name, otherwise[name])
            self.save(row, said)
        return self.whole(self.found(key))

    def delete(self, request: Request, key: int) -> HttpResponse:
        with transaction.atomic():
            row = self.found(key, lock=True)
            self.check(request, row)
            if held := getattr(row, plain.LOCKED, []):
                raise Conflict(dict.fromkeys(held, "Decided by the environment of the server."))
            config.delete(row, principal=self.principal)
        return HttpResponse(status=204)

    def check(self, request: Request, row: Configured) -> None:
        wanted = wanted_versions(request)
        if wanted is not None and version(row) not in wanted:
            raise NotAsItWas(f'It was changed meanwhile: it is "{version(row)}"')


def version(row: Configured) -> str:
    """Of its contents: another one after each change."""
    return hashlib.blake2b(orjson.dumps(plain.row(row)), digest_size=12).hexdigest()
