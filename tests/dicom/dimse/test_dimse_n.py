"""DIMSE-N between two sides of ours, in both directions."""

import threading

from dicom.dimse import Association, Message
from tests.dicom.dimse.calls import associated, context, services
from tests.dicom.dimse.conftest import Serve
from tests.dicom.dimse.sides import COMMITMENT_INSTANCE, PROCEDURE_STEP, STORAGE_COMMITMENT


def test_every_n_service_carries_what_it_should_and_its_response_repeats_it(serve: Serve) -> None:
    seen: list[tuple[str, str, str, bytes]] = []

    def serve_n(assoc: Association, message: Message) -> None:
        command = message.command
        uid = command.requested_sop_instance_uid or command.affected_sop_instance_uid
        extra = command.action_type_id or command.event_type_id or list(command.attribute_identifier_list)
        seen.append((command.name, uid, str(extra), message.read()))
        assoc.respond(message, 0, data_set=b"result")

    with associated(serve(services=services(serve_n))) as assoc:
        step = context(assoc, PROCEDURE_STEP)
        same = {"context": step, "sop_class_uid": PROCEDURE_STEP, "sop_instance_uid": "1.2.3"}
        answers = [
            assoc.n_create(**same, data=b"new"),  # type: ignore[arg-type]
            assoc.n_set(**same, data=b"changed"),  # type: ignore[arg-type]
            assoc.n_get(**same, attributes=[0x00100010, 0x00400100]),  # type: ignore[arg-type]
            assoc.n_action(**same, action_type_id=1, data=b"do"),  # type: ignore[arg-type]
            assoc.n_event_report(**same, event_type_id=2, data=b"done"),  # type: ignore[arg-type]
            assoc.n_delete(**same),  # type: ignore[arg-type]
        ]
    assert seen == [
        ("N-CREATE-RQ", "1.2.3", "[]", b"new"),
        ("N-SET-RQ", "1.2.3", "[]", b"changed"),
        ("N-GET-RQ", "1.2.3", f"{[0x00100010, 0x00400100]}", b""),
        ("N-ACTION-RQ", "1.2.3", "1", b"do"),
        ("N-EVENT-REPORT-RQ", "1.2.3", "2", b"done"),
        ("N-DELETE-RQ", "1.2.3", "[]", b""),
    ]
    for answer in answers:
        assert (answer.status, answer.data_set) == (0, b"result")
        assert answer.command.affected_sop_class_uid == PROCEDURE_STEP
        assert answer.command.affected_sop_instance_uid == "1.2.3"
    assert (answers[3].command.action_type_id, answers[4].command.event_type_id) == (1, 2)


def test_an_instance_uid_that_the_provider_makes_is_in_the_response(serve: Serve) -> None:
    def create(assoc: Association, message: Message) -> None:
        assoc.respond(message, 0, affected_sop_instance_uid="1.2.99")

    with associated(serve(services=services(create))) as assoc:
        response = assoc.n_create(context=context(assoc, PROCEDURE_STEP), sop_class_uid=PROCEDURE_STEP)
    assert response.command.affected_sop_instance_uid == "1.2.99"


def test_a_report_of_the_peer_is_served_while_we_wait_for_a_response(serve: Serve) -> None:
    """PS3.4 J.2.1: N-EVENT-REPORT on the association of the N-ACTION, before its response."""
    reports: list[tuple[int | None, bytes]] = []

    def commit(assoc: Association, message: Message) -> None:
        message.read()
        reported = assoc.n_event_report(
            context=message.context,
            sop_class_uid=STORAGE_COMMITMENT,
            sop_instance_uid=COMMITMENT_INSTANCE,
            event_type_id=1,
            data=b"committed",
        )
        assoc.respond(message, reported.status)

    def on_request(assoc: Association, message: Message) -> None:
        reports.append((message.command.event_type_id, message.read()))
        assoc.respond(message, 0)

    running = serve(services=services(commit, STORAGE_COMMITMENT))
    with associated(running, on_request=on_request, roles={STORAGE_COMMITMENT: (True, True)}) as assoc:
        response = assoc.n_action(
            context=context(assoc, STORAGE_COMMITMENT),
            sop_class_uid=STORAGE_COMMITMENT,
            sop_instance_uid=COMMITMENT_INSTANCE,
            action_type_id=1,
            data=b"please",
        )
    assert response.status == 0
    assert reports == [(1, b"committed")]


def test_a_report_can_be_sent_on_an_idle_association_in_both_roles(serve: Serve) -> None:
    reports: list[bytes] = []

    def note(assoc: Association, message: Message) -> None:
        reports.append(message.read())
        assoc.respond(message, 0)

    def report(assoc: Association, data: bytes) -> int:
        return assoc.n_event_report(
            context=context(assoc, STORAGE_COMMITMENT),
            sop_class_uid=STORAGE_COMMITMENT,
            sop_instance_uid=COMMITMENT_INSTANCE,
            event_type_id=1,
            data=data,
        ).status

    statuses: list[int] = []
    running = serve(services=services(note, STORAGE_COMMITMENT))
    with associated(running, on_request=note, roles={STORAGE_COMMITMENT: (True, True)}) as assoc:
        assert report(assoc, b"from requestor") == 0
        (theirs,) = running.acceptor.associations
        # The acceptor's own thread waits for a message; another sends and gets its response all the same.
        thread = threading.Thread(target=lambda: statuses.append(report(theirs, b"from acceptor")))
        thread.start()
        assoc.serve(5, until=lambda: len(reports) == 2)
        thread.join()
    assert reports == [b"from requestor", b"from acceptor"]
    assert statuses == [0]
