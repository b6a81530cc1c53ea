"""Who gets an association and for what: the answer to A-ASSOCIATE-RQ, from the rules and TABLE 1 alone."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from apps.network.rules import ListenerRules, PeerRules, Rules
from apps.qr import negotiation as query_retrieve
from dicom.dimse.negotiation import (
    ABSTRACT_SYNTAX_NOT_SUPPORTED,
    ACCEPTANCE,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    TRANSFER_SYNTAXES_NOT_SUPPORTED,
    USER_REJECTION,
    Accept,
    AssociateRequest,
    ProposedContext,
    Reject,
    Role,
)
from dicom.sop_classes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    Service,
    choose_transfer_syntax,
    is_storage,
    service_of,
)
from pacs.services import SERVICES

# For everything but images; PS3.5 10.1: the second is the default that everybody has.
PLAIN_TRANSFER_SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN)
DEFAULT_ROLE: Role = (True, False)
# PS3.4 B.3.1: level 2 (full), no digital signatures, nothing coerced.
FULL_STORAGE = bytes((2, 0, 0, 0, 0, 0))


@dataclass(frozen=True, slots=True)
class Decision:
    """`answer` for the wire; the rules it came from; `reason` of a refusal, for an administrator."""

    answer: Accept | Reject
    listener: ListenerRules | None = None
    caller: PeerRules | None = None
    reason: str = ""

    @property
    def accepted(self) -> bool:
        return isinstance(self.answer, Accept)


@dataclass(frozen=True, slots=True)
class _Outcome:
    result: int
    transfer_syntax: str = ""
    role: Role = DEFAULT_ROLE


def decide(request: AssociateRequest, address: str, listener: ListenerRules | None, rules: Rules) -> Decision:
    """WIRE 1 and 2. `listener` is None when its row is gone."""
    if listener is None or not listener.answers_to(request.called_ae_title):
        reason = listener.refusal(request.called_ae_title) if listener else "The listener has been closed"
        return Decision(CALLED_AE_TITLE_NOT_RECOGNIZED, listener, reason=reason)
    caller = rules.caller(request.calling_ae_title, address, trust_loopback=listener.trusts_loopback)
    if caller is None:
        reason = rules.refusal(request.calling_ae_title, address, trust_loopback=listener.trusts_loopback)
        return Decision(CALLING_AE_TITLE_NOT_RECOGNIZED, listener, reason=reason)
    outcomes = {context.id: _judge(context, request, listener, caller) for context in request.contexts}
    refusal = _nothing_allowed({outcome.result for outcome in outcomes.values()}, listener, caller)
    if refusal is not None:
        return refusal
    accept = Accept(
        results={number: (outcome.result, outcome.transfer_syntax) for number, outcome in outcomes.items()},
        roles=_roles(request, outcomes),
        extended_negotiation=_extended(request, outcomes),
    )
    return Decision(accept, listener, caller)


def _nothing_allowed(results: Set[int], listener: ListenerRules, caller: PeerRules) -> Decision | None:
    """No context refused for its transfer syntaxes only: that caller learns more from an accepted association."""
    if not results or results & {ACCEPTANCE, TRANSFER_SYNTAXES_NOT_SUPPORTED}:
        return None
    if USER_REJECTION in results:
        reason = f"{caller.name} may not use any of the services it asks for"
        return Decision(CALLING_AE_TITLE_NOT_RECOGNIZED, listener, caller, reason)
    reason = f"Listener {listener.name} offers none of the services asked for"
    return Decision(CALLED_AE_TITLE_NOT_RECOGNIZED, listener, caller, reason)


def service_for(abstract_syntax: str, *, private: bool) -> Service | None:
    """The service that takes this SOP class; storage also for private classes where they are let in."""
    service = service_of(abstract_syntax)
    if service is Service.STORE and not is_storage(abstract_syntax, private=private):
        return None
    return service


def _judge(context: ProposedContext, request: AssociateRequest, listener: ListenerRules, caller: PeerRules) -> _Outcome:
    service = service_for(context.abstract_syntax, private=caller.private_sop_classes)
    if service is None or service not in SERVICES:
        return _Outcome(ABSTRACT_SYNTAX_NOT_SUPPORTED)
    proposed = request.roles.get(context.abstract_syntax, DEFAULT_ROLE)
    if not any(proposed):
        proposed = DEFAULT_ROLE
    wanted = {service} if service is not Service.STORE else _storage_services(proposed)
    if not wanted & listener.services:
        return _Outcome(ABSTRACT_SYNTAX_NOT_SUPPORTED)
    allowed = wanted & listener.services & (caller.services | _reports(caller))
    if not allowed:
        return _Outcome(USER_REJECTION)
    role = DEFAULT_ROLE
    if service is Service.STORE:
        role = (Service.STORE in allowed and proposed[0], Service.GET in allowed and proposed[1])
    elif service is Service.COMMITMENT:
        role = proposed  # PS3.4 J.2.1: as SCU he asks, as SCP he reports on what we asked
    syntax = _choose(context.transfer_syntaxes, service, role, caller.preferred_transfer_syntaxes)
    return _Outcome(ACCEPTANCE, syntax, role) if syntax else _Outcome(TRANSFER_SYNTAXES_NOT_SUPPORTED)


def _reports(caller: PeerRules) -> set[Service]:
    """Who is asked for storage commitment may report on it; what he may ask is seen with each message."""
    return {Service.COMMITMENT} if caller.commits_storage else set()


def _storage_services(role: Role) -> set[Service]:
    """A storage context serves C-STORE from the requestor, or C-GET's C-STORE towards him (PS3.4 C.5.3), or both."""
    as_scu, as_scp = role
    return ({Service.STORE} if as_scu else set()) | ({Service.GET} if as_scp else set())


def _choose(proposed: Sequence[str], service: Service, role: Role, preferred: Sequence[str]) -> str | None:
    if service is not Service.STORE:
        return next((syntax for syntax in PLAIN_TRANSFER_SYNTAXES if syntax in proposed), None)
    if not role[0] and not preferred:
        # We send on it whatever is stored: everything can be written plain, little can be compressed.
        preferred = PLAIN_TRANSFER_SYNTAXES[:2]
    return choose_transfer_syntax(proposed, preferred)


def _roles(request: AssociateRequest, outcomes: dict[int, _Outcome]) -> dict[str, Role]:
    """PS3.7 D.3.3.4: an answer for each role selection of a class that got a context."""
    return {
        context.abstract_syntax: outcomes[context.id].role
        for context in request.contexts
        if context.abstract_syntax in request.roles and outcomes[context.id].result == ACCEPTANCE
    }


def _extended(request: AssociateRequest, outcomes: dict[int, _Outcome]) -> dict[str, bytes]:
    """PS3.7 D.3.3.5: answers for the classes that got a context and have something to say."""
    accepted = {c.abstract_syntax for c in request.contexts if outcomes[c.id].result == ACCEPTANCE}
    answers = {
        uid: FULL_STORAGE if is_storage(uid) else query_retrieve.answer(uid, asked)
        for uid, asked in request.extended_negotiation.items()
        if uid in accepted
    }
    return {uid: answer for uid, answer in answers.items() if answer is not None}
