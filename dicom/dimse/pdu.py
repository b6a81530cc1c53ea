"""Encoding of the PDUs (PS3.8 9.3, PS3.7 annex D.3.3). Decoding is lenient in content and strict in lengths: unknown
items are skipped, whatever points beyond its frame is a ProtocolError."""

from collections.abc import Iterator
from struct import Struct

from dicom.dimse.errors import INVALID_PARAMETER, ProtocolError
from dicom.dimse.negotiation import (
    APPLICATION_CONTEXT_NAME,
    DEFAULT_MAXIMUM_LENGTH,
    IMPLICIT_VR_LITTLE_ENDIAN,
    Accept,
    AssociateRequest,
    CommonExtendedNegotiation,
    ProposedContext,
    Reject,
    Role,
    UserIdentity,
)

A_ASSOCIATE_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ, P_DATA_TF, A_RELEASE_RQ, A_RELEASE_RP, A_ABORT = range(1, 8)

HEADER = Struct(">BxI")  # PDU type, length of the rest
PDV_HEADER = Struct(">IBB")  # length of the rest, presentation context ID, message control header
PDATA_HEADER = Struct(">BBIIBB")  # both together: a PDU with one PDV
IS_COMMAND, IS_LAST = 1, 2  # message control header, PS3.8 annex E.2

RELEASE_RQ = HEADER.pack(A_RELEASE_RQ, 4) + bytes(4)
RELEASE_RP = HEADER.pack(A_RELEASE_RP, 4) + bytes(4)

_ITEM = Struct(">BxH")
_LENGTH = Struct(">H")
_LONG = Struct(">I")


def abort(source: int, reason: int) -> bytes:
    return HEADER.pack(A_ABORT, 4) + bytes((0, 0, source, reason))


def reject(answer: Reject) -> bytes:
    return HEADER.pack(A_ASSOCIATE_RJ, 4) + bytes((0, answer.result, answer.source, answer.reason))


def decode_reject(body: bytes) -> Reject:
    if len(body) < 4:
        raise ProtocolError("A-ASSOCIATE-RJ is too short")
    return Reject(body[1], body[2], body[3])


# Encoding


def _item(kind: int, body: bytes) -> bytes:
    return _ITEM.pack(kind, len(body)) + body


def _counted(body: bytes) -> bytes:
    return _LENGTH.pack(len(body)) + body


def _uid(uid: str) -> bytes:
    # Not checked here: what a peer proposed goes back as it came.
    return uid.encode("latin-1", "replace")


def encode_ae_title(ae_title: str) -> bytes:
    """16 bytes. Raises ValueError when it does not fit."""
    encoded = ae_title.encode("latin-1")
    if not encoded.strip() or len(encoded) > 16:
        raise ValueError(f"An AE title has 1 to 16 characters, not {ae_title!r}")
    return encoded.ljust(16)


def _associate(kind: int, ae_titles: bytes, application_context: str, contexts: bytes, user: bytes) -> bytes:
    body = b"".join(
        (b"\0\1\0\0", ae_titles.ljust(64, b"\0"), _item(0x10, _uid(application_context)), contexts, _item(0x50, user))
    )
    return HEADER.pack(kind, len(body)) + body


def _common_user_items(info: AssociateRequest | Accept) -> bytes:
    items = [_item(0x51, _LONG.pack(info.maximum_length)), _item(0x52, _uid(info.implementation_class_uid))]
    if info.asynchronous_operations_window is not None:
        items.append(_item(0x53, b"".join(map(_LENGTH.pack, info.asynchronous_operations_window))))
    for uid, (scu, scp) in info.roles.items():
        items.append(_item(0x54, _counted(_uid(uid)) + bytes((scu, scp))))
    if info.implementation_version_name:
        items.append(_item(0x55, info.implementation_version_name.encode("ascii")[:16]))
    for uid, value in info.extended_negotiation.items():
        items.append(_item(0x56, _counted(_uid(uid)) + value))
    return b"".join(items)


def encode_request(request: AssociateRequest) -> bytes:
    titles = encode_ae_title(request.called_ae_title) + encode_ae_title(request.calling_ae_title)
    contexts = b"".join(
        _item(
            0x20,
            bytes((c.id, 0, 0, 0))
            + _item(0x30, _uid(c.abstract_syntax))
            + b"".join(_item(0x40, _uid(t)) for t in c.transfer_syntaxes),
        )
        for c in request.contexts
    )
    user = _common_user_items(request)
    for uid, common in request.common_extended.items():
        related = b"".join(_counted(_uid(u)) for u in common.related_general_sop_classes)
        user += _item(0x57, _counted(_uid(uid)) + _counted(_uid(common.service_class_uid)) + _counted(related))
    if (identity := request.user_identity) is not None:
        head = bytes((identity.kind, identity.positive_response_requested))
        user += _item(0x58, head + _counted(identity.primary) + _counted(identity.secondary))
    return _associate(A_ASSOCIATE_RQ, titles, request.application_context_name, contexts, user)


def encode_accept(accept: Accept, request: AssociateRequest) -> bytes:
    syntaxes = {c.id: c.transfer_syntaxes for c in request.contexts}
    contexts = b""
    for identifier, (result, syntax) in accept.results.items():
        # PS3.8 9.3.3.2: the item is there, and of no meaning, when the context is refused.
        named = syntax or next(iter(syntaxes[identifier]), "") or IMPLICIT_VR_LITTLE_ENDIAN
        contexts += _item(0x21, bytes((identifier, 0, result, 0)) + _item(0x40, _uid(named)))
    user = _common_user_items(accept)
    if accept.user_identity_response is not None:
        user += _item(0x59, _counted(accept.user_identity_response))
    # PS3.8 Table 9-17: AE titles and reserved bytes go back as they came.
    return _associate(A_ASSOCIATE_AC, request.raw_ae_titles, APPLICATION_CONTEXT_NAME, contexts, user)


# Decoding


def _items(body: bytes) -> Iterator[tuple[int, bytes]]:
    position, end = 0, len(body)
    while position < end:
        if end - position < 4:
            raise ProtocolError("An association item is cut off")
        kind, length = _ITEM.unpack_from(body, position)
        position += 4
        if length > end - position:
            raise ProtocolError("An association item is longer than what holds it")
        yield kind, body[position : position + length]
        position += length


def _take(body: bytes, position: int) -> tuple[bytes, int]:
    """A value preceded by its 2-byte length, and where it ends."""
    if len(body) - position < 2:
        raise ProtocolError("An association sub-item is cut off")
    start = position + 2
    end = start + int(_LENGTH.unpack_from(body, position)[0])
    if end > len(body):
        raise ProtocolError("An association sub-item is longer than what holds it")
    return body[start:end], end


def _text(value: bytes) -> str:
    """What a peer calls itself, fit for a log and a database: trimmed, cut at a NUL, without control characters."""
    text = value.strip(b"\0 ").partition(b"\0")[0].decode("latin-1").strip()
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def _context_rq(body: bytes) -> ProposedContext:
    if len(body) < 4:
        raise ProtocolError("A presentation context item is cut off")
    abstract, syntaxes = "", []
    for kind, value in _items(body[4:]):
        if kind == 0x30:
            abstract = _text(value)
        elif kind == 0x40:
            syntaxes.append(_text(value))
    return ProposedContext(body[0], abstract, tuple(syntaxes))


def _context_ac(body: bytes) -> tuple[int, tuple[int, str]]:
    if len(body) < 4:
        raise ProtocolError("A presentation context item is cut off")
    syntax = next((_text(value) for kind, value in _items(body[4:]) if kind == 0x40), "")
    return body[0], (body[2], syntax if body[2] == 0 else "")


class _UserInformation:
    """PS3.7 D.3.3, both directions. Items we do not know are skipped (PS3.8 9.3.1)."""

    def __init__(self) -> None:
        self.maximum_length = DEFAULT_MAXIMUM_LENGTH
        self.class_uid = self.version_name = ""
        self.window: tuple[int, int] | None = None
        self.roles: dict[str, Role] = {}
        self.extended: dict[str, bytes] = {}
        self.common: dict[str, CommonExtendedNegotiation] = {}
        self.identity: UserIdentity | None = None
        self.identity_response: bytes | None = None

    def read(self, body: bytes) -> None:
        for kind, value in _items(body):
            reader = self._READERS.get(kind)
            if reader is not None:
                reader(self, value)

    def _read_maximum_length(self, value: bytes) -> None:
        if len(value) != 4:
            raise ProtocolError("The maximum length item has no 4 bytes")
        self.maximum_length = _LONG.unpack(value)[0]

    def _read_class_uid(self, value: bytes) -> None:
        self.class_uid = _text(value)

    def _read_version_name(self, value: bytes) -> None:
        self.version_name = _text(value)

    def _read_window(self, value: bytes) -> None:
        if len(value) < 4:
            raise ProtocolError("The asynchronous operations window item is cut off")
        self.window = (_LENGTH.unpack_from(value, 0)[0], _LENGTH.unpack_from(value, 2)[0])

    def _read_role(self, value: bytes) -> None:
        uid, end = _take(value, 0)
        if len(value) - end < 2:
            raise ProtocolError("A role selection item is cut off")
        self.roles[_text(uid)] = (value[end] == 1, value[end + 1] == 1)

    def _read_extended(self, value: bytes) -> None:
        uid, end = _take(value, 0)
        self.extended[_text(uid)] = value[end:]

    def _read_common(self, value: bytes) -> None:
        uid, end = _take(value, 0)
        service, end = _take(value, end)
        related, uids = b"", []
        if len(value) - end >= 2:
            related, _ = _take(value, end)
        position = 0
        while position < len(related):
            one, position = _take(related, position)
            uids.append(_text(one))
        self.common[_text(uid)] = CommonExtendedNegotiation(_text(service), tuple(uids))

    def _read_identity(self, value: bytes) -> None:
        if len(value) < 2:
            raise ProtocolError("The user identity item is cut off")
        primary, end = _take(value, 2)
        secondary = _take(value, end)[0] if len(value) - end >= 2 else b""
        self.identity = UserIdentity(value[0], primary, secondary, value[1] == 1)

    def _read_identity_response(self, value: bytes) -> None:
        self.identity_response = _take(value, 0)[0]

    _READERS = {
        0x51: _read_maximum_length,
        0x52: _read_class_uid,
        0x53: _read_window,
        0x54: _read_role,
        0x55: _read_version_name,
        0x56: _read_extended,
        0x57: _read_common,
        0x58: _read_identity,
        0x59: _read_identity_response,
    }


def decode_request(body: bytes) -> AssociateRequest:
    """A-ASSOCIATE-RQ without its 6-byte header. Raises ProtocolError."""
    if len(body) < 68:
        raise ProtocolError("A-ASSOCIATE-RQ is too short")
    application_context, contexts, user = "", [], _UserInformation()
    for kind, value in _items(body[68:]):
        if kind == 0x10:
            application_context = _text(value)
        elif kind == 0x20:
            contexts.append(_context_rq(value))
        elif kind == 0x50:
            user.read(value)
    identifiers = [c.id for c in contexts]
    if len(set(identifiers)) != len(identifiers) or any(not i & 1 for i in identifiers):
        raise ProtocolError("Presentation context IDs must be odd and unique", INVALID_PARAMETER)
    return AssociateRequest(
        called_ae_title=_text(body[4:20]),
        calling_ae_title=_text(body[20:36]),
        contexts=tuple(contexts),
        roles=user.roles,
        extended_negotiation=user.extended,
        common_extended=user.common,
        user_identity=user.identity,
        maximum_length=user.maximum_length,
        implementation_class_uid=user.class_uid,
        implementation_version_name=user.version_name,
        asynchronous_operations_window=user.window,
        application_context_name=application_context,
        protocol_version=_LENGTH.unpack_from(body, 0)[0],
        raw_ae_titles=body[4:68],
    )


def decode_accept(body: bytes) -> Accept:
    """A-ASSOCIATE-AC without its 6-byte header. Raises ProtocolError."""
    if len(body) < 68:
        raise ProtocolError("A-ASSOCIATE-AC is too short")
    results, user = {}, _UserInformation()
    for kind, value in _items(body[68:]):
        if kind == 0x21:
            identifier, result = _context_ac(value)
            results[identifier] = result
        elif kind == 0x50:
            user.read(value)
    return Accept(
        results=results,
        roles=user.roles,
        extended_negotiation=user.extended,
        user_identity_response=user.identity_response,
        maximum_length=user.maximum_length,
        implementation_class_uid=user.class_uid,
        implementation_version_name=user.version_name,
        asynchronous_operations_window=user.window,
    )
