"""WIRE rules 1 to 7 as far as the engine sees them: over a bare socket, byte by byte."""

import struct

import pytest

from dicom.dimse import Accept, AssociateRequest, CommonExtendedNegotiation, ProposedContext, Reject, UserIdentity, pdu
from dicom.dimse.errors import ProtocolError
from dicom.dimse.negotiation import LOCAL_LIMIT_EXCEEDED, USER_IDENTITY_REFUSED, agreed, completed, propose
from tests.campaigns.wire import ABORT, ASSOCIATE_AC, ASSOCIATE_RJ, ASSOCIATE_RQ, Line, associate_rq
from tests.campaigns.wire import pdu as raw_pdu
from tests.dicom.dimse.conftest import Serve
from tests.dicom.dimse.sides import CT_IMAGE_STORAGE, EXPLICIT, IMPLICIT, JPEG_LOSSLESS, VERIFICATION, Recorder


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


CONTEXT = item(0x20, b"\1\0\0\0" + item(0x30, VERIFICATION.encode()) + item(0x40, IMPLICIT.encode()))
APPLICATION = item(0x10, b"1.2.840.10008.3.1.1.1")
MAXIMUM = item(0x51, struct.pack(">I", 16384))


def request(
    *,
    called: bytes = b"PACS".ljust(16),
    calling: bytes = b"ME".ljust(16),
    version: int = 1,
    application: bytes = APPLICATION,
    contexts: bytes = CONTEXT,
    user: bytes = MAXIMUM,
) -> bytes:
    head = struct.pack(">H2x16s16s32x", version, called, calling)
    return raw_pdu(ASSOCIATE_RQ, head + application + contexts + item(0x50, user))


def answer(address: tuple[str, int], encoded: bytes) -> tuple[int, bytes]:
    with Line(address) as line:
        line.send(encoded)
        got = line.read()
        return got.kind, got.body


class Refusing(Recorder):
    def __init__(self, decision: Reject | None) -> None:
        super().__init__()
        self.decision = decision

    def negotiate(self, request: AssociateRequest, address: tuple[str, int]) -> Accept | Reject:
        if self.decision is None:
            raise RuntimeError("the table of peers cannot be read")
        return self.decision


@pytest.mark.parametrize(
    ("called", "calling"),
    [
        (b"PACS".ljust(16), b"  CT1".ljust(16)),
        (b"PACS".ljust(16, b"\0"), b"CT1".ljust(16, b"\0")),
        (b"PACS\0X", b"CT1 \0"),
    ],
)
def test_ae_titles_are_trimmed_of_spaces_and_nul_and_sent_back_as_they_came(
    serve: Serve, called: bytes, calling: bytes
) -> None:
    running = serve()
    kind, body = answer(running.address, request(called=called, calling=calling))
    assert kind == ASSOCIATE_AC
    assert body[4:36] == called.ljust(16, b"\0") + calling.ljust(16, b"\0")
    (asked,) = running.acceptor.requests
    assert (asked.called_ae_title, asked.calling_ae_title) == ("PACS", "CT1")


def test_ae_titles_keep_their_case() -> None:
    assert pdu.decode_request(request(calling=b"CtOne".ljust(16))[6:]).calling_ae_title == "CtOne"


def test_control_characters_in_names_do_not_reach_a_log_or_a_database() -> None:
    asked = pdu.decode_request(request(calling=b"A\x1b[31m\nB".ljust(16), user=MAXIMUM + item(0x55, b"V\n1"))[6:])
    assert asked.calling_ae_title == "A?[31m?B"
    assert asked.implementation_version_name == "V?1"


def test_each_context_is_answered_for_itself_with_the_right_result(serve: Serve) -> None:
    running = serve()
    contexts = [(VERIFICATION, [IMPLICIT]), ("1.2.3.4", [IMPLICIT]), (CT_IMAGE_STORAGE, [JPEG_LOSSLESS])]
    kind, body = answer(running.address, associate_rq(contexts))
    assert kind == ASSOCIATE_AC
    results = pdu.decode_accept(body).results
    assert results == {1: (0, IMPLICIT), 3: (3, ""), 5: (4, "")}


def test_a_refused_context_names_a_transfer_syntax_because_old_peers_look_for_the_item(serve: Serve) -> None:
    _, body = answer(serve().address, associate_rq([("1.2.3.4", [JPEG_LOSSLESS])]))
    assert item(0x40, JPEG_LOSSLESS.encode()) in body


def test_the_same_sop_class_in_many_contexts_is_kept_apart_by_context_id(serve: Serve) -> None:
    contexts = [(CT_IMAGE_STORAGE, [IMPLICIT]), (CT_IMAGE_STORAGE, [EXPLICIT]), (CT_IMAGE_STORAGE, [JPEG_LOSSLESS])]
    _, body = answer(serve().address, associate_rq(contexts))
    assert pdu.decode_accept(body).results == {1: (0, IMPLICIT), 3: (0, EXPLICIT), 5: (4, "")}


def test_a_context_the_acceptor_forgot_is_answered_with_no_reason() -> None:
    asked = pdu.decode_request(request()[6:])
    done = completed(Accept({}), asked, maximum_length=1, class_uid="1.2", version_name="V")
    assert done.results == {1: (2, "")}


def test_a_transfer_syntax_that_was_not_proposed_cannot_be_accepted() -> None:
    asked = pdu.decode_request(request()[6:])
    with pytest.raises(ValueError, match="not proposed"):
        completed(Accept({1: (0, EXPLICIT)}), asked, maximum_length=1, class_uid="1.2", version_name="V")


def test_unknown_items_and_a_missing_implementation_class_uid_are_tolerated(serve: Serve) -> None:
    unknown = item(0x5F, b"whatever") + item(0x99, b"")
    encoded = request(contexts=CONTEXT + item(0x77, b"vendor"), user=MAXIMUM + unknown)
    assert answer(serve().address, encoded)[0] == ASSOCIATE_AC


def test_a_missing_user_information_item_is_tolerated(serve: Serve) -> None:
    body = struct.pack(">H2x16s16s32x", 1, b"PACS".ljust(16), b"ME".ljust(16)) + APPLICATION + CONTEXT
    running = serve()
    assert answer(running.address, raw_pdu(ASSOCIATE_RQ, body))[0] == ASSOCIATE_AC
    assert running.acceptor.requests[0].maximum_length == 16384


def test_role_selection_for_a_class_that_is_not_proposed_is_ignored(serve: Serve) -> None:
    stranger = item(0x54, struct.pack(">H", 7) + b"1.2.3.4" + b"\1\1")
    ours = item(0x54, struct.pack(">H", len(VERIFICATION)) + VERIFICATION.encode() + b"\1\1")
    kind, body = answer(serve().address, request(user=MAXIMUM + stranger + ours))
    assert kind == ASSOCIATE_AC
    assert pdu.decode_accept(body).roles == {VERIFICATION: (True, True)}


@pytest.mark.parametrize(
    ("asked", "answered", "requestor", "acceptor"),
    [
        (None, None, (True, False), (False, True)),
        ((True, True), None, (True, False), (False, True)),
        ((True, True), (True, True), (True, True), (True, True)),
        ((False, True), (False, True), (False, True), (True, False)),
        ((True, True), (False, True), (False, True), (True, False)),
        ((False, True), (True, True), (False, True), (True, False)),
    ],
)
def test_roles_are_what_both_sides_agree_on(
    asked: tuple[bool, bool] | None,
    answered: tuple[bool, bool] | None,
    requestor: tuple[bool, bool],
    acceptor: tuple[bool, bool],
) -> None:
    """PS3.7 D.3.3.4"""
    proposal = AssociateRequest(
        "A", "B", propose([(VERIFICATION, [IMPLICIT])]), roles={VERIFICATION: asked} if asked else {}
    )
    accept = Accept({1: (0, IMPLICIT)}, roles={VERIFICATION: answered} if answered else {})
    ours, theirs = agreed(proposal, accept, is_requestor=True)[1], agreed(proposal, accept, is_requestor=False)[1]
    assert (ours.as_scu, ours.as_scp) == requestor
    assert (theirs.as_scu, theirs.as_scp) == acceptor


def test_no_more_roles_are_accepted_than_were_asked_for() -> None:
    asked = AssociateRequest("A", "B", propose([(VERIFICATION, [IMPLICIT])]), roles={VERIFICATION: (True, False)})
    accept = Accept({1: (0, IMPLICIT)}, roles={VERIFICATION: (True, True)})
    done = completed(accept, asked, maximum_length=1, class_uid="1.2", version_name="V")
    assert done.roles == {VERIFICATION: (True, False)}


def test_the_asynchronous_operations_window_is_answered_with_one_and_one(serve: Serve) -> None:
    _, body = answer(serve().address, request(user=MAXIMUM + item(0x53, struct.pack(">HH", 0, 8))))
    assert pdu.decode_accept(body).asynchronous_operations_window == (1, 1)


def test_the_asynchronous_operations_window_is_not_answered_when_it_was_not_proposed(serve: Serve) -> None:
    _, body = answer(serve().address, request())
    assert pdu.decode_accept(body).asynchronous_operations_window is None


def test_we_say_who_we_are_and_how_long_a_pdu_may_be(serve: Serve) -> None:
    accepted = pdu.decode_accept(answer(serve().address, request())[1])
    assert accepted.implementation_class_uid == "1.2.826.0.1.3680043.10.1461.1"
    assert accepted.implementation_version_name.startswith("PACS")
    assert len(accepted.implementation_version_name) <= 16
    assert accepted.maximum_length == 262144


def test_extended_negotiation_and_identity_reach_the_acceptor_and_its_answer_the_peer() -> None:
    asked = AssociateRequest(
        "ME",
        "PACS",
        propose([(VERIFICATION, [IMPLICIT, EXPLICIT]), (CT_IMAGE_STORAGE, [JPEG_LOSSLESS])]),
        roles={CT_IMAGE_STORAGE: (False, True)},
        extended_negotiation={VERIFICATION: b"\1\1\0"},
        common_extended={CT_IMAGE_STORAGE: CommonExtendedNegotiation("1.2.840.10008.4.2", ("1.2.3", "1.2.4.5"))},
        user_identity=UserIdentity(2, b"anna", b"secret", positive_response_requested=True),
        implementation_class_uid="1.2.3",
        implementation_version_name="ME_1",
        asynchronous_operations_window=(1, 1),
    )
    read = pdu.decode_request(pdu.encode_request(asked)[6:])
    assert read.contexts == asked.contexts
    assert read.roles == asked.roles
    assert read.extended_negotiation == asked.extended_negotiation
    assert read.common_extended == asked.common_extended
    assert read.user_identity == asked.user_identity
    accept = Accept(
        {1: (0, EXPLICIT), 3: (0, JPEG_LOSSLESS)},
        roles={CT_IMAGE_STORAGE: (False, True)},
        extended_negotiation={VERIFICATION: b"\1", "1.2.9": b"not asked"},
        user_identity_response=b"ticket",
    )
    done = completed(accept, read, maximum_length=0, class_uid="1.2", version_name="V")
    got = pdu.decode_accept(pdu.encode_accept(done, read)[6:])
    assert got.results == accept.results
    assert got.roles == accept.roles
    assert got.extended_negotiation == {VERIFICATION: b"\1"}
    assert got.user_identity_response == b"ticket"
    assert got.maximum_length == 0


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5])
def test_every_kind_of_user_identity_is_read(kind: int) -> None:
    value = bytes((kind, 0)) + struct.pack(">H", 5) + b"token" + struct.pack(">H", 0)
    identity = pdu.decode_request(request(user=MAXIMUM + item(0x58, value))[6:]).user_identity
    assert identity == UserIdentity(kind, b"token")


def test_a_password_is_not_in_the_representation() -> None:
    assert "secret" not in repr(UserIdentity(2, b"anna", b"secret"))


@pytest.mark.parametrize("decision", [LOCAL_LIMIT_EXCEEDED, USER_IDENTITY_REFUSED, Reject(1, 1, 3), Reject(1, 1, 7)])
def test_a_rejection_carries_result_source_and_reason(serve: Serve, decision: Reject) -> None:
    running = serve(Refusing(decision))
    kind, body = answer(running.address, request())
    assert (kind, body) == (ASSOCIATE_RJ, bytes((0, decision.result, decision.source, decision.reason)))
    assert running.acceptor.outcome() == "rejected"


def test_an_admission_that_cannot_be_checked_is_refused(serve: Serve) -> None:
    kind, body = answer(serve(Refusing(None)).address, request())
    assert kind == ASSOCIATE_RJ
    assert body[1] == 2  # transient: it may work again later


def test_another_protocol_version_is_rejected_by_the_provider(serve: Serve) -> None:
    assert answer(serve().address, request(version=2)) == (ASSOCIATE_RJ, b"\0\1\2\2")


def test_more_protocol_versions_than_ours_are_no_obstacle(serve: Serve) -> None:
    assert answer(serve().address, request(version=3))[0] == ASSOCIATE_AC


@pytest.mark.parametrize("application", [item(0x10, b"1.2.3"), b""])
def test_another_application_context_is_rejected(serve: Serve, application: bytes) -> None:
    assert answer(serve().address, request(application=application)) == (ASSOCIATE_RJ, b"\0\1\1\2")


EVEN = item(0x20, b"\2\0\0\0" + item(0x30, VERIFICATION.encode()) + item(0x40, IMPLICIT.encode()))


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(raw_pdu(ASSOCIATE_RQ, bytes(20)), id="too short"),
        pytest.param(request(contexts=CONTEXT + CONTEXT), id="context id twice"),
        pytest.param(request(contexts=EVEN), id="even context id"),
        pytest.param(request(contexts=b"\x20\0\xff\xff"), id="item longer than the PDU"),
        pytest.param(request(contexts=item(0x20, b"\1")), id="context cut off"),
        pytest.param(request(user=item(0x51, b"\1")), id="maximum length cut off"),
        pytest.param(request(user=MAXIMUM + b"\x52\0\xff\xff1.2"), id="sub-item longer than its item"),
        pytest.param(request(user=MAXIMUM + item(0x54, b"\0\x40\1")), id="role selection points outside"),
        pytest.param(request(user=MAXIMUM + item(0x58, b"\2\0\0\x40")), id="user identity points outside"),
        pytest.param(request(user=MAXIMUM + item(0x53, b"\0")), id="window cut off"),
        pytest.param(request(user=MAXIMUM + item(0x57, b"\0\1")), id="common extended cut off"),
    ],
)
def test_a_malformed_association_request_is_aborted_as_invalid(serve: Serve, encoded: bytes) -> None:
    running = serve()
    assert answer(running.address, encoded) == (ABORT, b"\0\0\2\6")
    assert running.acceptor.outcome().startswith("protocol error")


def test_128_contexts_fit_and_no_more() -> None:
    many = [(f"1.2.3.{n}", [IMPLICIT]) for n in range(128)]
    asked = AssociateRequest("A", "B", propose(many), implementation_class_uid="1.2")
    assert len(pdu.decode_request(pdu.encode_request(asked)[6:]).contexts) == 128
    with pytest.raises(ValueError, match="128"):
        propose([*many, (VERIFICATION, [IMPLICIT])])


def test_context_ids_of_ones_own_are_kept() -> None:
    proposed = propose([(VERIFICATION, [IMPLICIT]), ProposedContext(1, CT_IMAGE_STORAGE, (IMPLICIT,))])
    assert [(c.id, c.abstract_syntax) for c in proposed] == [(3, VERIFICATION), (1, CT_IMAGE_STORAGE)]
    with pytest.raises(ValueError, match="odd"):
        propose([ProposedContext(2, VERIFICATION, (IMPLICIT,))])


def test_an_ae_title_that_does_not_fit_is_refused_before_anything_is_sent() -> None:
    for wrong in ("", "   ", "SEVENTEEN_LETTERS"):
        with pytest.raises(ValueError, match="AE title"):
            pdu.encode_ae_title(wrong)


def test_an_answer_that_is_cut_off_is_a_protocol_error() -> None:
    for body in (b"", bytes(67), bytes(68) + b"\x21\0\0"):
        with pytest.raises(ProtocolError):
            pdu.decode_accept(body)
