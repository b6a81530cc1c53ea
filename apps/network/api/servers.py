"""REST of DICOMweb servers of others: `/api/dicomweb-servers/`."""

from drf_spectacular.utils import extend_schema_view

from apps.network.api import description
from apps.network.api.rows import ConfiguredView, Row, Rows
from apps.network.models import DicomwebServer
from dicom.sop_classes import Service


class ServerView(ConfiguredView):
    """Who may send or retrieve is told their names; the rest is for administrators."""

    model = DicomwebServer
    collection = "dicomweb-servers"
    named_for = (Service.MOVE, Service.STORE)


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
