"""REST of peers: `/api/peers/`."""

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema_view
from rest_framework.request import Request

from apps.accounts.rest import Conflict, fields, known, parsed
from apps.network.api import description
from apps.network.api.rows import ConfiguredView, Row, Rows
from apps.network.calling import secured
from apps.network.models import Peer
from apps.network.scu import verify
from dicom.errors import DicomError
from dicom.sop_classes import Service


class PeerView(ConfiguredView):
    """Who may have images sent is told whereto; the rest is for administrators."""

    model = Peer
    collection = "peers"
    named_for = (Service.MOVE,)


@extend_schema_view(get=description.peers.list, post=description.peers.add)
class Peers(PeerView, Rows):
    pass


@extend_schema_view(
    get=description.peers.read,
    put=description.peers.replace,
    patch=description.peers.change,
    delete=description.peers.delete,
)
class PeerResource(PeerView, Row):
    pass


@extend_schema_view(post=description.echo)
class Echo(PeerView):
    def post(self, request: Request, key: int) -> HttpResponse:
        """Not kept by an Idempotency-Key: whoever asks again wants to know again."""
        known(request)
        fields(parsed(self.body(request)))
        peer = self.found(key)
        if not isinstance(peer, Peer) or not peer.host or not peer.port:
            raise Conflict({"host": "Without a host and a port it cannot be called."})
        try:
            seconds = verify(
                host=peer.host,
                port=peer.port,
                called_ae_title=peer.ae_title,
                calling_ae_title=settings.AE_TITLE,
                tls=secured(peer),
            )
        except DicomError as error:
            return self.answer({"outcome": "failure", "milliseconds": None, "error": str(error)})
        return self.answer({"outcome": "success", "milliseconds": round(seconds * 1000, 3), "error": ""})
