"""Who gets an association and for what (WIRE 1, 2, 6)."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from apps.network.rules import ListenerRules, PeerRules, Rules
from dicom.dimse.negotiation import Accept, AssociateRequest, ProposedContext, Reject, Role
from dicom.sop_classes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    STORAGE_COMMITMENT_PUSH,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    VERIFICATION,
    Service,
)
from pacs.listeners.policy import Decision, decide

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
PRIVATE = "1.3.12.2.1107.5.9.1"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
PLAIN = (IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN)
HERE = "127.0.0.1"
OFFERED = frozenset({Service.ECHO, Service.STORE, Service.FIND, Service.MOVE, Service.GET})
LISTENER = ListenerRules(name="default", ae_title="PACS", host="0.0.0.0", port=104, services=OFFERED)


def peer(**changes: Any) -> PeerRules:
    fields: dict[str, Any] = {
        "name": "CT scanner",
        "ae_title": "CT1",
        "networks": (ipaddress.ip_network("127.0.0.0/8"),),
        "services": OFFERED,
        **changes,
    }
    return PeerRules(**fields)


def asked(
    *syntaxes: str,
    calling: str = "CT1",
    called: str = "PACS",
    transfer_syntaxes: Sequence[str] = PLAIN,
    roles: Mapping[str, Role] | None = None,
    extended: Mapping[str, bytes] | None = None,
) -> AssociateRequest:
    contexts = tuple(ProposedContext(2 * n + 1, uid, tuple(transfer_syntaxes)) for n, uid in enumerate(syntaxes))
    return AssociateRequest(calling, called, contexts, roles=roles or {}, extended_negotiation=extended or {})


def decided(
    request: AssociateRequest, caller: PeerRules | None = None, listener: ListenerRules | None = LISTENER
) -> Decision:
    return decide(request, HERE, listener, Rules(peers=(caller or peer(),)))


def results(decision: Decision) -> list[int]:
    assert isinstance(decision.answer, Accept)
    return [result for result, _ in decision.answer.results.values()]


def chosen(decision: Decision) -> list[str]:
    assert isinstance(decision.answer, Accept)
    return [syntax for _, syntax in decision.answer.results.values()]


def test_an_unknown_calling_ae_title_is_rejected_as_such() -> None:
    decision = decided(asked(VERIFICATION, calling="CT2"))
    assert decision.answer == Reject(1, 1, 3)
    assert decision.reason


def test_another_called_ae_title_is_rejected_as_such() -> None:
    assert decided(asked(VERIFICATION, called="OTHER")).answer == Reject(1, 1, 7)


def test_a_called_ae_title_that_differs_in_case_only_is_rejected_and_the_reason_says_so() -> None:
    decision = decided(asked(VERIFICATION, called="pacs"))
    assert decision.answer == Reject(1, 1, 7)
    assert "upper and lower case" in decision.reason


def test_a_listener_may_answer_to_any_called_ae_title() -> None:
    anything = ListenerRules(
        name="default", ae_title="PACS", host="", port=104, services=OFFERED, any_called_ae_title=True
    )
    assert results(decided(asked(VERIFICATION, called="OTHER"), listener=anything)) == [0]


def test_a_listener_whose_row_is_gone_lets_nobody_in() -> None:
    assert decided(asked(VERIFICATION), listener=None).answer == Reject(1, 1, 7)


def test_a_service_that_is_not_offered_refuses_its_context_only() -> None:
    assert results(decided(asked(VERIFICATION, STORAGE_COMMITMENT_PUSH))) == [0, 3]


def test_a_service_that_is_not_allowed_refuses_its_context_only() -> None:
    caller = peer(services=frozenset({Service.ECHO, Service.STORE}))
    assert results(decided(asked(CT, STUDY_ROOT_FIND), caller)) == [0, 1]


COMMITTING = replace(LISTENER, services=OFFERED | {Service.COMMITMENT})


@pytest.mark.parametrize("role", [(True, False), (False, True), (True, True)])
def test_storage_commitment_is_had_in_the_role_that_was_proposed(role: Role) -> None:
    """PS3.4 J.2.1: who asks is the SCU; who reports on what we asked is the SCP."""
    caller = peer(services=OFFERED | {Service.COMMITMENT})
    request = asked(STORAGE_COMMITMENT_PUSH, roles={STORAGE_COMMITMENT_PUSH: role})
    answer = decided(request, caller, COMMITTING).answer
    assert isinstance(answer, Accept)
    assert answer.roles == {STORAGE_COMMITMENT_PUSH: role}


def test_who_is_asked_for_commitment_may_report_without_the_right_to_ask() -> None:
    request = asked(VERIFICATION, STORAGE_COMMITMENT_PUSH)
    assert results(decided(request, peer(), COMMITTING)) == [0, 1]
    assert results(decided(request, peer(commits_storage=True), COMMITTING)) == [0, 0]


def test_an_abstract_syntax_nobody_knows_refuses_its_context_only() -> None:
    assert results(decided(asked(VERIFICATION, "1.2.840.10008.9.9.9"))) == [0, 3]


def test_a_caller_that_may_use_nothing_of_what_he_asks_for_is_rejected() -> None:
    caller = peer(services=frozenset({Service.ECHO}))
    assert decided(asked(CT, STUDY_ROOT_FIND), caller).answer == Reject(1, 1, 3)


def test_a_listener_that_offers_nothing_of_what_is_asked_for_rejects() -> None:
    assert decided(asked(STORAGE_COMMITMENT_PUSH)).answer == Reject(1, 1, 7)


def test_transfer_syntaxes_nobody_knows_refuse_the_context_but_not_the_association() -> None:
    assert results(decided(asked(CT, transfer_syntaxes=["1.2.3.4"]))) == [4]


def test_a_query_is_never_answered_in_a_compressed_transfer_syntax() -> None:
    decision = decided(asked(STUDY_ROOT_FIND, transfer_syntaxes=[JPEG_LOSSLESS, IMPLICIT_VR_LITTLE_ENDIAN]))
    assert chosen(decision) == [IMPLICIT_VR_LITTLE_ENDIAN]


def test_lossless_is_chosen_before_plain_and_plain_before_lossy() -> None:
    assert chosen(decided(asked(CT, transfer_syntaxes=[*PLAIN, JPEG_BASELINE, JPEG_LOSSLESS]))) == [JPEG_LOSSLESS]
    assert chosen(decided(asked(CT, transfer_syntaxes=[JPEG_BASELINE, *PLAIN]))) == [EXPLICIT_VR_LITTLE_ENDIAN]
    assert chosen(decided(asked(CT, transfer_syntaxes=[JPEG_BASELINE]))) == [JPEG_BASELINE]


def test_the_order_of_a_peer_goes_before_ours() -> None:
    caller = peer(preferred_transfer_syntaxes=(IMPLICIT_VR_LITTLE_ENDIAN,))
    assert chosen(decided(asked(CT, transfer_syntaxes=[*PLAIN, JPEG_LOSSLESS]), caller)) == [IMPLICIT_VR_LITTLE_ENDIAN]


def test_the_same_class_in_many_contexts_is_decided_for_each() -> None:
    request = AssociateRequest(
        "CT1",
        "PACS",
        (ProposedContext(1, CT, (JPEG_LOSSLESS,)), ProposedContext(3, CT, PLAIN), ProposedContext(5, CT, ("1.2.3",))),
    )
    assert results(decided(request)) == [0, 0, 4]


def test_private_storage_classes_are_taken_unless_the_peer_may_not_send_them() -> None:
    assert results(decided(asked(CT, PRIVATE))) == [0, 0]
    assert results(decided(asked(CT, PRIVATE), peer(private_sop_classes=False))) == [0, 3]


def test_a_caller_that_may_only_retrieve_gets_storage_contexts_to_receive_on() -> None:
    caller = peer(services=frozenset({Service.ECHO, Service.GET}))
    decision = decided(asked(STUDY_ROOT_GET, CT, roles={CT: (False, True)}), caller)
    assert results(decision) == [0, 0]
    assert isinstance(decision.answer, Accept)
    assert decision.answer.roles[CT] == (False, True)


def test_a_caller_that_may_only_retrieve_cannot_store_by_asking_for_both_roles() -> None:
    caller = peer(services=frozenset({Service.ECHO, Service.GET}))
    decision = decided(asked(STUDY_ROOT_GET, CT, MR, roles={CT: (True, True)}), caller)
    assert results(decision) == [0, 0, 1]
    assert isinstance(decision.answer, Accept)
    assert decision.answer.roles[CT] == (False, True)


def test_a_caller_that_may_only_store_gets_no_context_to_receive_on() -> None:
    caller = peer(services=frozenset({Service.ECHO, Service.STORE}))
    assert results(decided(asked(VERIFICATION, CT, roles={CT: (False, True)}), caller)) == [0, 1]


def test_a_context_to_receive_on_is_plain_because_everything_can_be_written_plain() -> None:
    decision = decided(asked(CT, transfer_syntaxes=[JPEG_LOSSLESS, *PLAIN], roles={CT: (False, True)}))
    assert chosen(decision) == [EXPLICIT_VR_LITTLE_ENDIAN]


@pytest.mark.parametrize(
    ("uid", "said", "answered"),
    [
        (STUDY_ROOT_FIND, b"\1\1\1\1", b"\1\1\0\0"),
        (STUDY_ROOT_FIND, b"\1", b"\1"),
        (STUDY_ROOT_GET, b"\1", b"\1"),
        (CT, b"\2\0\0\0\0\0", b"\2\0\0\0\0\0"),
    ],
)
def test_extended_negotiation_is_answered_with_what_we_can_do(uid: str, said: bytes, answered: bytes) -> None:
    decision = decided(asked(uid, extended={uid: said, MR: b"\2"}))
    assert isinstance(decision.answer, Accept)
    assert decision.answer.extended_negotiation == {uid: answered}


def test_role_selection_for_a_class_that_was_not_proposed_is_left_unanswered() -> None:
    decision = decided(asked(CT, roles={MR: (True, True)}))
    assert isinstance(decision.answer, Accept)
    assert decision.answer.roles == {}
