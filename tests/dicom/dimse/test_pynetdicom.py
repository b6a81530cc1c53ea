"""pynetdicom's AE as the peer, in both roles."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pynetdicom import AE, build_role, evt
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dsutils import decode, encode
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)

from dicom.dimse import Association, AssociationRejected, Message, Response, UserIdentity, associate
from tests.dicom.dimse.conftest import Serve
from tests.dicom.dimse.sides import (
    COMMITMENT_INSTANCE,
    CT_IMAGE_STORAGE,
    EXPLICIT,
    IMPLICIT,
    PROCEDURE_STEP,
    STORAGE_COMMITMENT,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
    Handler,
    Running,
    Store,
)

CT = dcmread(get_testdata_file("CT_small.dcm"))
CT_BYTES = encode(CT, False, True)


def query(**elements: str) -> Dataset:
    ds = Dataset()
    ds.QueryRetrieveLevel = "STUDY"
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def encoded(ds: Dataset) -> bytes:
    data = encode(ds, True, True)
    assert data is not None
    return bytes(data)


# Ours is called


@pytest.fixture(autouse=True)
def _responses_reach_who_waits_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """An association thread of pynetdicom 3.0.4 that is not asleep yet takes a quick response for a request, and drops
    it: the caller waits in vain. It is kept from looking at responses."""
    get_msg = DIMSEServiceProvider.get_msg

    def get(self: DIMSEServiceProvider, block: bool = False) -> Any:
        waiting = self.peek_msg()[1]
        if not block and waiting is not None and waiting.is_valid_response:
            return None, None
        return get_msg(self, block)

    monkeypatch.setattr(DIMSEServiceProvider, "get_msg", get)


@contextmanager
def calling(running: Running, *classes: str, syntaxes: Any = None, **options: Any) -> Iterator[Any]:
    ae = AE(ae_title="PYNET")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
    for uid in classes or (VERIFICATION,):
        ae.add_requested_context(uid, syntaxes or [IMPLICIT])
    assoc = ae.associate(*running.address, ae_title="OURS", **options)
    assert assoc.is_established
    yield assoc
    assoc.release()
    ae.shutdown()


def services(handler: Handler, *classes: str) -> dict[str, tuple[list[str], Handler]]:
    return {uid: ([IMPLICIT, EXPLICIT], handler) for uid in classes}


def test_its_echo_is_answered(serve: Serve) -> None:
    running = serve()
    with calling(running) as assoc:
        assert assoc.send_c_echo().Status == 0
    assert running.acceptor.outcome() == "released"
    assert running.acceptor.requests[0].calling_ae_title == "PYNET"


@pytest.mark.parametrize("maximum", [0, 200, 16384])
def test_what_it_stores_arrives_bit_exact(serve: Serve, maximum: int) -> None:
    running = serve()
    with calling(running, CT_IMAGE_STORAGE, syntaxes=[EXPLICIT], max_pdu=maximum) as assoc:
        for n in range(3):
            assert assoc.send_c_store(CT, msg_id=n + 1).Status == 0
    assert running.acceptor.store.data == {CT.SOPInstanceUID: CT_BYTES}


def test_its_query_gets_its_matches(serve: Serve) -> None:
    def find(assoc: Association, message: Message) -> None:
        asked = decode_identifier(message.read())
        for name in ("Doe^John", "Doe^Jane"):
            assoc.respond(message, 0xFF00, data_set=encoded(query(PatientName=name, PatientID=asked.PatientID)))
        assoc.respond(message, 0)

    running = serve(services=services(find, STUDY_ROOT_FIND))
    with calling(running, STUDY_ROOT_FIND) as assoc:
        answers = list(assoc.send_c_find(query(PatientID="42", PatientName=""), STUDY_ROOT_FIND))
    assert [(status.Status, str(ds.PatientName), ds.PatientID) for status, ds in answers[:-1]] == [
        (0xFF00, "Doe^John", "42"),
        (0xFF00, "Doe^Jane", "42"),
    ]
    assert answers[-1][0].Status == 0


def decode_identifier(data: bytes) -> Dataset:
    return decode(BytesIO(data), True, True)


def test_its_cancel_stops_the_answers(serve: Serve) -> None:
    def endless(assoc: Association, message: Message) -> None:
        message.read()
        while not assoc.is_cancelled(message):
            assoc.respond(message, 0xFF00, data_set=encoded(query(PatientID="1")))
        assoc.respond(message, 0xFE00)

    with calling(serve(services=services(endless, STUDY_ROOT_FIND)), STUDY_ROOT_FIND) as assoc:
        statuses = []
        for status, _ in assoc.send_c_find(query(PatientID=""), STUDY_ROOT_FIND, msg_id=7):
            statuses.append(status.Status)
            if len(statuses) == 3:
                assoc.send_c_cancel(7, query_model=STUDY_ROOT_FIND)
    assert statuses[-1] == 0xFE00


def test_it_gets_instances_on_its_own_association(serve: Serve) -> None:
    def get(assoc: Association, message: Message) -> None:
        message.read()
        storage = assoc.context_for(CT_IMAGE_STORAGE, EXPLICIT)
        assert storage is not None
        stored = assoc.c_store(
            context=storage, sop_class_uid=CT_IMAGE_STORAGE, sop_instance_uid=CT.SOPInstanceUID, data=CT_BYTES
        )
        assoc.respond(message, stored.status, completed=1, failed=0, warning=0)

    received: list[bytes] = []

    def keep(event: Any) -> int:
        received.append(event.request.DataSet.getvalue())
        return 0

    running = serve(services=services(get, STUDY_ROOT_GET))
    ae = AE(ae_title="PYNET")
    ae.add_requested_context(STUDY_ROOT_GET, [IMPLICIT])
    ae.add_requested_context(CT_IMAGE_STORAGE, [EXPLICIT])
    assoc = ae.associate(
        *running.address,
        ext_neg=[build_role(CT_IMAGE_STORAGE, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, keep)],
    )
    statuses = [status.Status for status, _ in assoc.send_c_get(query(), STUDY_ROOT_GET)]
    assoc.release()
    assert (statuses, received) == ([0], [CT_BYTES])


def test_it_is_told_how_a_move_goes_on(serve: Serve) -> None:
    def move(assoc: Association, message: Message) -> None:
        message.read()
        assoc.respond(message, 0xFF00, remaining=1, completed=1, failed=0, warning=0)
        assoc.respond(message, 0 if message.command.move_destination == "VIEWER" else 0xA801, completed=2)

    with calling(serve(services=services(move, STUDY_ROOT_MOVE)), STUDY_ROOT_MOVE) as assoc:
        answers = [status for status, _ in assoc.send_c_move(query(), "VIEWER", STUDY_ROOT_MOVE)]
    assert [a.Status for a in answers] == [0xFF00, 0]
    assert answers[0].NumberOfRemainingSuboperations == 1
    assert answers[1].NumberOfCompletedSuboperations == 2


def test_its_n_services_are_served(serve: Serve) -> None:
    def serve_n(assoc: Association, message: Message) -> None:
        assoc.respond(message, 0, data_set=message.read() or None)

    with calling(serve(services=services(serve_n, PROCEDURE_STEP)), PROCEDURE_STEP) as assoc:
        step = query(PatientID="42")
        answers = [
            assoc.send_n_create(step, PROCEDURE_STEP, "1.2.3"),
            assoc.send_n_set(step, PROCEDURE_STEP, "1.2.3"),
            assoc.send_n_get([0x00100020], PROCEDURE_STEP, "1.2.3"),
            assoc.send_n_action(step, 1, PROCEDURE_STEP, "1.2.3"),
            (assoc.send_n_delete(PROCEDURE_STEP, "1.2.3"), None),
        ]
    assert [status.Status for status, _ in answers] == [0] * 5
    assert answers[0][1] == step


def test_it_is_sent_a_report_on_the_association_of_its_action(serve: Serve) -> None:
    reported: list[int] = []

    def commit(assoc: Association, message: Message) -> None:
        data = message.read()
        reported.append(
            assoc.n_event_report(
                context=message.context,
                sop_class_uid=STORAGE_COMMITMENT,
                sop_instance_uid=COMMITMENT_INSTANCE,
                event_type_id=1,
                data=data,
            ).status
        )
        assoc.respond(message, 0)

    seen: list[int] = []

    def on_report(event: Any) -> tuple[int, None]:
        seen.append(event.event_type)
        return 0, None

    running = serve(services=services(commit, STORAGE_COMMITMENT))
    with calling(
        running,
        STORAGE_COMMITMENT,
        ext_neg=[build_role(STORAGE_COMMITMENT, scu_role=True, scp_role=True)],
        evt_handlers=[(evt.EVT_N_EVENT_REPORT, on_report)],
    ) as assoc:
        status, _ = assoc.send_n_action(query(), 1, STORAGE_COMMITMENT, COMMITMENT_INSTANCE)
    assert (status.Status, seen, reported) == (0, [1], [0])


def test_all_that_it_negotiates_is_understood(serve: Serve) -> None:
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 5
    window.maximum_number_operations_performed = 5
    relational = SOPClassExtendedNegotiation()
    relational.sop_class_uid = STUDY_ROOT_FIND
    relational.service_class_application_information = b"\1\1"
    identity = UserIdentityNegotiation()
    identity.user_identity_type = 2
    identity.primary_field, identity.secondary_field = b"anna", b"secret"
    identity.positive_response_requested = True
    running = serve(services=services(lambda assoc, message: None, STUDY_ROOT_FIND))
    with calling(running, STUDY_ROOT_FIND, ext_neg=[window, relational, identity]) as assoc:
        assert assoc.acceptor.asynchronous_operations == (1, 1)
        assert assoc.acceptor.sop_class_extended == {STUDY_ROOT_FIND: b"\1\1"}
        assert assoc.acceptor.user_identity is not None
    (asked,) = running.acceptor.requests
    assert asked.user_identity == UserIdentity(2, b"anna", b"secret", positive_response_requested=True)
    assert asked.extended_negotiation == {STUDY_ROOT_FIND: b"\1\1"}
    assert asked.asynchronous_operations_window == (5, 5)


def test_its_abort_is_no_error(serve: Serve) -> None:
    running = serve()
    with calling(running) as assoc:
        assoc.abort()
    assert running.acceptor.outcome() == "aborted by peer"


# Ours calls


Calls = Callable[..., tuple[str, int]]


@pytest.fixture
def listening() -> Iterator[Calls]:
    """Starts pynetdicom's AE with handlers."""
    started: list[AE] = []

    def start(
        handlers: list[Any] | None = None, *classes: str, roles: tuple[str, ...] = (), **options: Any
    ) -> tuple[str, int]:
        ae = AE(ae_title="PYNET")
        for name, value in options.items():
            setattr(ae, name, value)
        for uid in (VERIFICATION, CT_IMAGE_STORAGE, STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE, *classes):
            role = {"scu_role": True, "scp_role": True} if uid in roles else {}
            ae.add_supported_context(uid, [EXPLICIT, IMPLICIT], **role)
        server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers or [])
        assert server is not None
        started.append(ae)
        return "127.0.0.1", server.server_address[1]

    yield start
    for ae in started:
        deadline = time.monotonic() + 10  # its threads do not take a shutdown in all of their states
        while ae.active_associations and time.monotonic() < deadline:
            time.sleep(0.01)
        ae.shutdown()


@contextmanager
def associated(address: tuple[str, int], *contexts: tuple[str, list[str]], **options: Any) -> Iterator[Association]:
    with associate(
        *address,
        calling_ae_title="OURS",
        called_ae_title="PYNET",
        contexts=contexts or [(VERIFICATION, [IMPLICIT])],
        **options,
    ) as assoc:
        yield assoc


def context(assoc: Association, uid: str) -> Any:
    found = assoc.context_for(uid)
    assert found is not None
    return found


def test_it_answers_our_echo(listening: Calls) -> None:
    with associated(listening()) as assoc:
        assert assoc.c_echo().status == 0
    assert assoc.ended is not None
    assert assoc.ended.outcome == "released"


@pytest.mark.parametrize("maximum", [0, 200, 16382])
def test_what_we_store_arrives_bit_exact(listening: Calls, maximum: int) -> None:
    received: list[bytes] = []

    def keep(event: Any) -> int:
        received.append(event.request.DataSet.getvalue())
        return 0xB000

    address = listening([(evt.EVT_C_STORE, keep)], maximum_pdu_size=maximum)
    with associated(address, (CT_IMAGE_STORAGE, [EXPLICIT])) as assoc:
        response = assoc.c_store(
            context=context(assoc, CT_IMAGE_STORAGE),
            sop_class_uid=CT_IMAGE_STORAGE,
            sop_instance_uid=CT.SOPInstanceUID,
            data=CT_BYTES,
        )
    assert (response.status, received) == (0xB000, [CT_BYTES])


def test_we_find_and_cancel(listening: Calls) -> None:
    def endless(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        while not event.is_cancelled:
            time.sleep(0.001)  # as a real search does: pynetdicom reads nothing while it has something to send
            yield 0xFF00, query(PatientName="Doe^John")
        yield 0xFE00, None

    with associated(listening([(evt.EVT_C_FIND, endless)]), (STUDY_ROOT_FIND, [IMPLICIT])) as assoc:
        responses = assoc.c_find(context=context(assoc, STUDY_ROOT_FIND), identifier=encoded(query(PatientName="")))
        first = next(responses)
        assert first.data_set is not None
        assert str(decode_identifier(first.data_set).PatientName) == "Doe^John"
        responses.cancel()
        assert list(responses)[-1].status == 0xFE00


def test_we_get_instances(listening: Calls) -> None:
    def give(event: Any) -> Iterator[Any]:
        yield 1
        yield 0xFF00, CT

    store = Store()
    address = listening([(evt.EVT_C_GET, give)], roles=(CT_IMAGE_STORAGE,))
    with associated(
        address,
        (STUDY_ROOT_GET, [IMPLICIT]),
        (CT_IMAGE_STORAGE, [EXPLICIT]),
        roles={CT_IMAGE_STORAGE: (False, True)},
    ) as assoc:
        assert assoc.context_for(CT_IMAGE_STORAGE, role="scp") is not None
        responses: list[Response] = list(
            assoc.c_get(
                context=context(assoc, STUDY_ROOT_GET),
                identifier=encoded(query(StudyInstanceUID="1.2")),
                on_store=store,
            )
        )
    assert responses[-1].status == 0
    assert responses[-1].command.number_of_completed_suboperations == 1
    assert store.data == {CT.SOPInstanceUID: CT_BYTES}


def test_we_create_and_set_a_procedure_step(listening: Calls) -> None:
    def create(event: Any) -> tuple[int, Dataset]:
        return 0, event.attribute_list

    def change(event: Any) -> tuple[int, Dataset]:
        return 0x0110, event.modification_list

    handlers = [(evt.EVT_N_CREATE, create), (evt.EVT_N_SET, change)]
    with associated(listening(handlers, PROCEDURE_STEP), (PROCEDURE_STEP, [IMPLICIT])) as assoc:
        same = {"context": context(assoc, PROCEDURE_STEP), "sop_class_uid": PROCEDURE_STEP, "sop_instance_uid": "1.2.3"}
        step = encoded(query(PatientID="42"))
        created = assoc.n_create(**same, data=step)
        changed = assoc.n_set(**same, data=step)
    assert (created.status, created.data_set) == (0, step)
    assert changed.status == 0x0110


def test_its_report_on_an_idle_association_is_served(listening: Calls) -> None:
    reported = threading.Event()

    def act(event: Any) -> tuple[int, Dataset | None]:
        def report() -> None:
            event.assoc.send_n_event_report(query(), 1, STORAGE_COMMITMENT, COMMITMENT_INSTANCE)
            reported.set()

        threading.Timer(0.1, report).start()
        return 0, None

    seen: list[int | None] = []

    def on_request(assoc: Association, message: Message) -> None:
        message.read()
        seen.append(message.command.event_type_id)
        assoc.respond(message, 0)

    address = listening([(evt.EVT_N_ACTION, act)], STORAGE_COMMITMENT, roles=(STORAGE_COMMITMENT,))
    with associated(
        address,
        (STORAGE_COMMITMENT, [IMPLICIT]),
        roles={STORAGE_COMMITMENT: (True, True)},
        on_request=on_request,
    ) as assoc:
        response = assoc.n_action(
            context=context(assoc, STORAGE_COMMITMENT),
            sop_class_uid=STORAGE_COMMITMENT,
            sop_instance_uid=COMMITMENT_INSTANCE,
            action_type_id=1,
            data=encoded(query()),
        )
        assoc.serve(5, until=reported.is_set)
    assert (response.status, seen) == (0, [1])


def test_its_rejection_is_understood(listening: Calls) -> None:
    address = listening(require_called_aet=True, require_calling_aet=["SOMEBODY"])
    with pytest.raises(AssociationRejected) as rejected, associated(address):
        pass
    assert (rejected.value.source, rejected.value.reason) == (1, 3)


def test_our_identity_is_understood(listening: Calls) -> None:
    seen: list[tuple[int, bytes, bytes]] = []

    def check(event: Any) -> tuple[bool, None]:
        seen.append((event.user_id_type, event.primary_field, event.secondary_field))
        return True, None

    identity = UserIdentity(2, b"anna", b"secret", positive_response_requested=True)
    with associated(listening([(evt.EVT_USER_ID, check)]), user_identity=identity) as assoc:
        assert assoc.c_echo().status == 0
    assert seen == [(2, b"anna", b"secret")]
