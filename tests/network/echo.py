"""A small application entity for tests: answers C-ECHO to those who call it ECHO."""

from dicom import status
from dicom.dimse import Association, Message
from dicom.dimse.negotiation import Accept, AssociateRequest, Reject

CALLED_AE_TITLE_NOT_RECOGNIZED = Reject(1, 1, 7)  # PS3.8 Table 9-21


class EchoAcceptor:
    def negotiate(self, request: AssociateRequest, address: tuple[str, int]) -> Accept | Reject:
        if request.called_ae_title != "ECHO":
            return CALLED_AE_TITLE_NOT_RECOGNIZED
        return Accept(results={context.id: (0, context.transfer_syntaxes[0]) for context in request.contexts})

    def begin(self, assoc: Association) -> None:
        pass

    def handle(self, assoc: Association, message: Message) -> None:
        assoc.respond(message, status.SUCCESS)

    def before_release(self, assoc: Association) -> None:
        pass

    def end(self, assoc: Association | None, outcome: str) -> None:
        pass
