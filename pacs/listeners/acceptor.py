"""One incoming association: negotiated by the rules, its requests handed to the services of TABLE 1."""

import logging
from dataclasses import replace
from typing import Protocol

from apps import context
from apps.network.current import CurrentRules
from apps.network.log import AssociationJournal
from apps.network.session import Session
from apps.storage.intake import hand_over, wait_indexed
from dicom import status
from dicom.dimse import Association, CommandField, Message
from dicom.dimse.negotiation import LOCAL_LIMIT_EXCEEDED, Accept, AssociateRequest, Reject
from pacs.listeners import identity
from pacs.listeners.policy import Decision, decide, service_for
from pacs.services import SERVICES

logger = logging.getLogger("pacs.listeners")

INDEX_WAIT = 5.0  # seconds; then we go on and log


class Places(Protocol):
    """Of the associations that may be at once; the parent of all processes counts them."""

    def take(self, peer: str, limit: int) -> bool:
        """Whether one more fits: of the listener, and of the peer where `limit` is not 0."""
        ...

    def leave(self) -> None: ...


class IncomingAssociation:
    """The engine's acceptor for one connection."""

    def __init__(
        self, listener: str, origin: str, *, rules: CurrentRules, journal: AssociationJournal, places: Places
    ) -> None:
        self.listener = listener
        self.origin = origin
        self.rules = rules
        self.journal = journal
        self.places = places
        self.decision: Decision | None = None
        self.session: Session | None = None

    # Negotiation

    def _never_began(self, outcome: str) -> None:
        """A probe and a refused caller have been dealt with; who speaks something else is listed, without a name."""
        if outcome.startswith(("protocol error", "The TLS handshake")):
            logger.warning("connection from %s on %s: %s", self.origin, self.listener, outcome)
            self.journal.refused(calling_ae_title="", called_ae_title="", address=self.origin, reason=outcome)

    def negotiate(self, request: AssociateRequest, address: tuple[str, int]) -> Accept | Reject:
        """A check that raises refuses: the engine sees to that."""
        rules = self.rules.rules
        self.decision = decision = decide(request, address[0], rules.listener(self.listener), rules)
        if isinstance(decision.answer, Reject) or decision.caller is None:
            return self._refuse(request, address[0], decision.answer, decision.reason)
        wrong = identity.refusal(request.user_identity, address[0])
        if wrong is not None:
            return self._refuse(request, address[0], wrong, "User identity is wrong or cannot be confirmed")
        if not self.places.take(decision.caller.name, decision.caller.maximum_associations):
            logger.warning("%s from %s: too many associations", request.calling_ae_title, address[0])
            return LOCAL_LIMIT_EXCEEDED
        return decision.answer

    def _refuse(self, request: AssociateRequest, address: str, answer: Accept | Reject, reason: str) -> Accept | Reject:
        logger.warning("%s from %s refused: %s", request.calling_ae_title, address, reason)
        self.journal.refused(
            calling_ae_title=request.calling_ae_title,
            called_ae_title=request.called_ae_title,
            address=address,
            reason=reason,
        )
        return answer

    # The association

    def begin(self, assoc: Association) -> None:
        decision = self.decision
        assert decision is not None
        assert decision.listener is not None
        assert decision.caller is not None
        context.bind(association=assoc.id)
        address = assoc.address[0]
        self.session = assoc.session = Session(
            listener=decision.listener,
            rules=self.rules,
            caller=decision.caller,
            principal=decision.caller.principal(address, assoc.calling_ae_title),
            address=address,
            calling_ae_title=assoc.calling_ae_title,
            called_ae_title=assoc.called_ae_title,
            association_id=assoc.id,
        )
        if decision.caller.idle_timeout is not None:
            assoc.timeouts = replace(assoc.timeouts, idle=decision.caller.idle_timeout or None)
        logger.info("association with %s at %s on %s", assoc.calling_ae_title, address, self.listener)
        self.journal.began(assoc, self.session)

    def handle(self, assoc: Association, message: Message) -> None:
        """What flies from here the engine logs and answers, with a reference."""
        session = self.session
        assert session is not None
        service = service_for(message.context.abstract_syntax, private=True)
        offered = SERVICES.get(service) if service else None
        handler = offered.handlers.get(message.command.command_field) if offered else None
        if service is None or offered is None or handler is None:
            self._answer(assoc, message, status.UNRECOGNIZED_OPERATION, "Not an operation of this service")
            return
        if not session.allows(service, report=message.command.command_field == CommandField.N_EVENT_REPORT):
            self._answer(assoc, message, status.NOT_AUTHORIZED, "Not authorized")
            return
        if offered.waits_for_index:
            self._wait_indexed()
        handler(session, assoc, message)

    def _answer(self, assoc: Association, message: Message, refusal: int, comment: str) -> None:
        request = message.command.name.removesuffix("-RQ")
        logger.warning("%s refused: %s", request, comment)
        if self.session is not None:
            self.session.count(request, refusal)
        assoc.respond(message, refusal, error_comment=comment)

    def _wait_indexed(self) -> None:
        session = self.session
        if session is None or not session.stored:
            return
        names, session.stored = session.stored, []
        if not wait_indexed(names, timeout=INDEX_WAIT):
            logger.warning("not all of %d stored instances are indexed after %.0f s", len(names), INDEX_WAIT)
            session.stored = names

    def before_release(self, assoc: Association) -> None:
        self._wait_indexed()
        self.places.leave()  # who reads the answer may come again at once

    def end(self, assoc: Association | None, outcome: str) -> None:
        if assoc is None or self.session is None:
            self._never_began(outcome)
            return
        if self.session.stored:  # not released: nobody has waited for it
            hand_over()
        logger.info("association with %s ended: %s", assoc.calling_ae_title, outcome)
        self.journal.ended(assoc, self.session, outcome)
