"""Getting through to a peer, or not."""

import pytest

from dicom.dimse import AssociationRejected, ConnectFailed, ProtocolError, Reject, TimedOut, Timeouts
from dicom.dimse.negotiation import Accept, AssociateRequest
from tests.dicom.dimse.calls import associated
from tests.dicom.dimse.conftest import BarePeer, Serve
from tests.dicom.dimse.sides import HURRIED, Recorder


class Closed(Recorder):
    def negotiate(self, request: AssociateRequest, address: tuple[str, int]) -> Accept | Reject:
        return Reject(1, 1, 7)


def test_a_rejection_says_what_to_do(serve: Serve) -> None:
    with pytest.raises(AssociationRejected, match="called AE title") as rejected, associated(serve(Closed())):
        pass
    assert (rejected.value.result, rejected.value.source, rejected.value.reason) == (1, 1, 7)


def test_a_port_nobody_listens_on_says_where(serve: Serve) -> None:
    running = serve()
    running.server.stop()
    with pytest.raises(ConnectFailed, match=f"127.0.0.1:{running.port}"), associated(running):
        pass


def test_a_peer_that_accepts_and_says_nothing_is_timed_out(silent_peer: BarePeer) -> None:
    with pytest.raises(TimedOut, match="association request"), associated(silent_peer, timeouts=HURRIED):
        pass


def test_a_peer_that_is_no_dicom_server_is_named_so(http_peer: BarePeer) -> None:
    with pytest.raises(ProtocolError, match="no DICOM peer"), associated(http_peer, timeouts=Timeouts(acse=5)):
        pass
