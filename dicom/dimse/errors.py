"""What can go wrong between two application entities; `str()` tells a person what to do about it."""

from collections.abc import Iterable

from dicom.errors import DicomError

# PS3.8 Table 9-21: who rejected, and why
REJECT_REASONS = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognised: the peer must be told our AE title and address",
    (1, 7): "called AE title not recognised: the peer answers to another AE title",
    (2, 1): "no reason given by the association layer (user identity may be missing or wrong)",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion: try again later",
    (3, 2): "local limit exceeded: too many associations, try again later",
}

# PS3.8 Table 9-26, source 2: the service provider's reasons
NOT_SPECIFIED = 0
UNRECOGNIZED_PDU = 1
UNEXPECTED_PDU = 2
UNRECOGNIZED_PARAMETER = 4
UNEXPECTED_PARAMETER = 5
INVALID_PARAMETER = 6

ABORT_REASONS = {
    NOT_SPECIFIED: "reason not specified",
    UNRECOGNIZED_PDU: "unrecognised PDU",
    UNEXPECTED_PDU: "unexpected PDU",
    UNRECOGNIZED_PARAMETER: "unrecognised PDU parameter",
    UNEXPECTED_PARAMETER: "unexpected PDU parameter",
    INVALID_PARAMETER: "invalid PDU parameter value",
}


class DimseError(DicomError):
    """Base of all that this package raises on purpose."""


class ConnectFailed(DimseError):
    """No TCP or TLS connection to the peer."""


class AssociationRejected(DimseError):
    """The peer answered A-ASSOCIATE-RJ (PS3.8 9.3.4)."""

    def __init__(self, result: int, source: int, reason: int) -> None:
        # PS3.8 Table 9-21: sources 2 and 3 are the provider's two layers (ACSE, presentation).
        why = REJECT_REASONS.get((source, reason), f"reason {reason} of source {source}")
        how = "for now" if result == 2 else "permanently"
        super().__init__(f"The peer rejected the association {how}: {why}")
        self.result, self.source, self.reason = result, source, reason


class Failed(DimseError):
    """The answer to a request is a failure: what `Response.check()` raises, and a handler, to give that answer."""

    def __init__(
        self, status: int, comment: str = "", *, offending_elements: Iterable[int] = (), error_id: int | None = None
    ) -> None:
        super().__init__(f"Status {status:04X}{f': {comment}' if comment else ''}")
        self.status, self.comment = status, comment
        self.offending_elements, self.error_id = tuple(offending_elements), error_id


class NotAccepted(DimseError):
    """The peer does not offer this service to us; the association lives on."""


class DataSetTooLong(DimseError):
    """A data set is longer than the reader allows; the association lives on."""


class AssociationEnded(DimseError):
    """The association is over; nothing more can be sent or received. `outcome` is fit for a log column."""

    outcome = "ended"


class AssociationReleased(AssociationEnded):
    """The peer asked for the release."""

    outcome = "released"


class AssociationAborted(AssociationEnded):
    """A-ABORT, received or sent by a call of `abort()`."""

    def __init__(self, source: int, reason: int, *, by_us: bool = False) -> None:
        who = "We" if by_us else "The peer"
        why = f": {ABORT_REASONS.get(reason, f'reason {reason}')}" if source == 2 else ""
        super().__init__(f"{who} aborted the association{why}")
        self.source, self.reason, self.by_us = source, reason, by_us
        self.outcome = "aborted" if by_us else "aborted by peer"


class ConnectionLost(AssociationEnded):
    """The connection broke or was closed without release or abort."""

    outcome = "connection lost"


class HandshakeFailed(AssociationEnded):
    """No TLS with this peer: it speaks none, or certificates or versions do not fit."""

    def __init__(self, comment: str) -> None:
        super().__init__(comment)
        self.outcome = comment


class TimedOut(AssociationEnded):
    """A deadline of `Timeouts` passed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"Timed out waiting for {what}")
        self.outcome = f"timed out: {what}"


class ProtocolError(AssociationEnded):
    """The peer broke the protocol; `reason` is what our A-ABORT tells it."""

    def __init__(self, comment: str, reason: int = INVALID_PARAMETER) -> None:
        super().__init__(comment)
        self.reason = reason
        self.outcome = f"protocol error: {comment}"


class Stopped(AssociationEnded):
    """This side is shutting down."""

    outcome = "stopped"
