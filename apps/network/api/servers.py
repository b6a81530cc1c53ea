"""REST of DICOMweb servers of others: `/api/dicomweb-servers/`."""

from typing import Any

from drf_spectacular.utils import extend_schema_view

from apps.network.api import description
from apps.network.api.rows import ConfiguredView, Row, Rows
from apps.network.models import DicomwebServer
from apps.network.plain import Configured
from dicom.sop_classes import Service

_NAMES = ("id", "name", "enabled")


class ServerView(ConfiguredView):
    """Who may send or retrieve is told their names; the rest is for administrators."""

    model = DicomwebServer
    collection = "dicomweb-servers"

    def may(self) -> bool:
        reads = self.request.method in ("GET", "HEAD", "OPTIONS")
        allowed = self.principal.may(Service.MOVE) or self.principal.may(Service.STORE)
        return self.principal.administers or (reads and allowed)

    def shown(self, row: Configured) -> dict[str, Any]:
        whole = super().shown(row)
        return whole if self.principal.administers else {name: whole[name] for name in _NAMES}


@extend_schema_view(get=description.servers.list, post=description.servers.add)
class Servers(ServerView, Rows):
    pass


@extend_schema_view(
    get=description.servers.read,
    put=description.servers.replace,
    patch=description.servers.change,
    delete=description.servers.delete,
)
class ServerResource(ServerView, Row):
    pass
