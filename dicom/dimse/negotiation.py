"""What two application entities agree on before they talk (PS3.8 9.3.2 to 9.3.4, PS3.7 annex D)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

APPLICATION_CONTEXT_NAME = "1.2.840.10008.3.1.1.1"
IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"

# PS3.8 Table 9-18: results of a presentation context
ACCEPTANCE = 0
USER_REJECTION = 1
NO_REASON = 2
ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
TRANSFER_SYNTAXES_NOT_SUPPORTED = 4

# When a peer names no maximum length (the item is mandatory): what every toolkit can take.
DEFAULT_MAXIMUM_LENGTH = 16384

Role = tuple[bool, bool]
"""(SCU, SCP), always as seen from the association requestor (PS3.7 D.3.3.4)."""


@dataclass(frozen=True, slots=True)
class ProposedContext:
    id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context; the roles are ours."""

    id: int
    abstract_syntax: str
    transfer_syntax: str
    as_scu: bool
    as_scp: bool


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """PS3.7 D.3.3.7. kind: 1 name, 2 name and passcode, 3 Kerberos, 4 SAML, 5 JWT."""

    kind: int
    primary: bytes = field(repr=False)
    secondary: bytes = field(default=b"", repr=False)
    positive_response_requested: bool = False


@dataclass(frozen=True, slots=True)
class CommonExtendedNegotiation:
    """PS3.7 D.3.3.6."""

    service_class_uid: str
    related_general_sop_classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """A-ASSOCIATE-RQ. AE titles are trimmed; `raw_ae_titles` is what the answer must repeat."""

    calling_ae_title: str
    called_ae_title: str
    contexts: tuple[ProposedContext, ...]
    roles: Mapping[str, Role] = field(default_factory=dict)
    extended_negotiation: Mapping[str, bytes] = field(default_factory=dict)
    common_extended: Mapping[str, CommonExtendedNegotiation] = field(default_factory=dict)
    user_identity: UserIdentity | None = None
    maximum_length: int = DEFAULT_MAXIMUM_LENGTH
    implementation_class_uid: str = ""
    implementation_version_name: str = ""
    asynchronous_operations_window: tuple[int, int] | None = None
    application_context_name: str = APPLICATION_CONTEXT_NAME
    protocol_version: int = 1
    raw_ae_titles: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Accept:
    """A-ASSOCIATE-AC. An acceptor fills the first lines, the engine the rest.

    A proposed context without a result is answered with 2 (no reason).
    """

    results: Mapping[int, tuple[int, str]]
    """context ID: (result, transfer syntax; "" unless the result is 0)"""
    roles: Mapping[str, Role] = field(default_factory=dict)
    extended_negotiation: Mapping[str, bytes] = field(default_factory=dict)
    user_identity_response: bytes | None = None
    maximum_length: int = DEFAULT_MAXIMUM_LENGTH
    implementation_class_uid: str = ""
    implementation_version_name: str = ""
    asynchronous_operations_window: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """A-ASSOCIATE-RJ: PS3.8 Table 9-21."""

    result: int
    source: int
    reason: int


CALLING_AE_TITLE_NOT_RECOGNIZED = Reject(1, 1, 3)
CALLED_AE_TITLE_NOT_RECOGNIZED = Reject(1, 1, 7)
APPLICATION_CONTEXT_NOT_SUPPORTED = Reject(1, 1, 2)
PROTOCOL_VERSION_NOT_SUPPORTED = Reject(1, 2, 2)
USER_IDENTITY_REFUSED = Reject(1, 2, 1)
LOCAL_LIMIT_EXCEEDED = Reject(2, 3, 2)
# A failure to check is a refusal.
CHECK_FAILED = Reject(2, 2, 1)


def propose(
    contexts: Sequence[ProposedContext | tuple[str, Sequence[str]]],
) -> tuple[ProposedContext, ...]:
    """Give IDs to what has none. Raises ValueError for more than 128 contexts, IDs that clash or are even."""
    taken = {c.id for c in contexts if isinstance(c, ProposedContext)}
    free = (n for n in range(1, 256, 2) if n not in taken)
    proposed = []
    for context in contexts:
        if not isinstance(context, ProposedContext):
            identifier = next(free, None)
            if identifier is None:
                raise ValueError("At most 128 presentation contexts fit into one association")
            context = ProposedContext(identifier, context[0], tuple(context[1]))
        proposed.append(context)
    if len({c.id for c in proposed}) != len(proposed) or any(not c.id & 1 or not 0 < c.id < 256 for c in proposed):
        raise ValueError("Presentation context IDs are odd, below 256 and unique")
    return tuple(proposed)


def completed(
    accept: Accept, request: AssociateRequest, *, maximum_length: int, class_uid: str, version_name: str
) -> Accept:
    """The acceptor's decision with everything the answer needs. Raises ValueError for a decision that was not asked."""
    results: dict[int, tuple[int, str]] = {}
    for context in request.contexts:
        result, syntax = accept.results.get(context.id, (NO_REASON, ""))
        if result == ACCEPTANCE and syntax not in context.transfer_syntaxes:
            raise ValueError(f"Transfer syntax {syntax!r} was not proposed in context {context.id}")
        results[context.id] = (result, syntax)
    proposed = {c.abstract_syntax for c in request.contexts}
    identity = request.user_identity
    return Accept(
        results=results,
        roles={
            uid: (scu and request.roles[uid][0], scp and request.roles[uid][1])
            for uid, (scu, scp) in accept.roles.items()
            if uid in request.roles and uid in proposed
        },
        extended_negotiation={u: v for u, v in accept.extended_negotiation.items() if u in proposed},
        user_identity_response=(
            accept.user_identity_response or b"" if identity and identity.positive_response_requested else None
        ),
        maximum_length=maximum_length,
        implementation_class_uid=class_uid,
        implementation_version_name=version_name,
        # PS3.7 D.3.3.3: answered only when proposed; one operation at a time.
        asynchronous_operations_window=(1, 1) if request.asynchronous_operations_window else None,
    )


def agreed(request: AssociateRequest, accept: Accept, *, is_requestor: bool) -> dict[int, Context]:
    """The accepted contexts with our roles."""
    contexts = {}
    for proposed in request.contexts:
        result, syntax = accept.results.get(proposed.id, (NO_REASON, ""))
        if result != ACCEPTANCE or syntax not in proposed.transfer_syntaxes:
            continue
        scu, scp = True, False  # PS3.7 D.3.3.4: without an answer the default roles hold
        asked, answered = request.roles.get(proposed.abstract_syntax), accept.roles.get(proposed.abstract_syntax)
        if asked is not None and answered is not None:
            scu, scp = asked[0] and answered[0], asked[1] and answered[1]
        if not is_requestor:
            scu, scp = scp, scu
        contexts[proposed.id] = Context(proposed.id, proposed.abstract_syntax, syntax, as_scu=scu, as_scp=scp)
    return contexts
