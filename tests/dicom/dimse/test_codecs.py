"""Our encoding against pynetdicom's, and against bytes that nobody would send."""

import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom.dimse_messages import C_FIND_RQ
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ

from dicom.dimse import Accept, AssociateRequest, CommonExtendedNegotiation, UserIdentity, command, pdu
from dicom.dimse.command import Command
from dicom.dimse.errors import ProtocolError
from dicom.dimse.negotiation import completed, propose
from tests.dicom.dimse.sides import CT_IMAGE_STORAGE, EXPLICIT, IMPLICIT, JPEG_LOSSLESS, VERIFICATION

REQUEST = AssociateRequest(
    "CALLING",
    "CALLED",
    propose([(VERIFICATION, [IMPLICIT]), (CT_IMAGE_STORAGE, [EXPLICIT, JPEG_LOSSLESS])]),
    roles={CT_IMAGE_STORAGE: (False, True)},
    extended_negotiation={CT_IMAGE_STORAGE: b"\1\0\1"},
    common_extended={CT_IMAGE_STORAGE: CommonExtendedNegotiation("1.2.840.10008.4.2", ("1.2.3",))},
    user_identity=UserIdentity(2, b"anna", b"secret"),
    maximum_length=16384,
    implementation_class_uid="1.2.3.4",
    implementation_version_name="VERSION_1",
    asynchronous_operations_window=(1, 1),
)
ENCODED = pdu.encode_request(REQUEST)
READ = pdu.decode_request(ENCODED[6:])
ACCEPT = completed(
    Accept({1: (0, IMPLICIT), 3: (3, "")}, roles=REQUEST.roles, extended_negotiation=REQUEST.extended_negotiation),
    READ,
    maximum_length=262144,
    class_uid="1.2.3.5",
    version_name="VERSION_2",
)
ENCODED_ACCEPT = pdu.encode_accept(ACCEPT, READ)
COMMAND = command.encode({0x0002: b"1.2.3\0", 0x0100: b"\x20\0", 0x0110: b"\1\0", 0x0800: b"\1\0", 0x0700: b"\0\0"})


def test_pynetdicom_reads_our_request_and_writes_the_same() -> None:
    theirs = A_ASSOCIATE_RQ()
    theirs.decode(ENCODED)
    primitive = theirs.to_primitive()
    assert primitive.calling_ae_title == "CALLING"
    assert [c.transfer_syntax for c in primitive.presentation_context_definition_list] == [
        [IMPLICIT],
        [EXPLICIT, JPEG_LOSSLESS],
    ]
    assert len(primitive.user_information) == 8
    assert pdu.decode_request(theirs.encode()[6:]) == READ


def test_pynetdicom_reads_our_answer_and_writes_the_same() -> None:
    theirs = A_ASSOCIATE_AC()
    theirs.decode(ENCODED_ACCEPT)
    results = theirs.to_primitive().presentation_context_definition_results_list
    assert [(c.context_id, c.result) for c in results] == [(1, 0), (3, 3)]
    assert pdu.decode_accept(theirs.encode()[6:]) == pdu.decode_accept(ENCODED_ACCEPT[6:])


def test_a_command_set_of_pynetdicom_is_read() -> None:
    primitive = C_FIND()
    primitive.MessageID = 7
    primitive.AffectedSOPClassUID = "1.2.840.10008.5.1.4.1.2.2.1"
    primitive.Priority = 2
    message = C_FIND_RQ()
    message.primitive_to_message(primitive)
    encoded = b"".join(pdv.presentation_data_value_list[0][1][1:] for pdv in message.encode_msg(1, 16382))
    read = command.decode(encoded)
    assert (read.name, read.message_id, read.priority) == ("C-FIND-RQ", 7, 2)
    assert read.affected_sop_class_uid == "1.2.840.10008.5.1.4.1.2.2.1"
    assert not read.has_data_set


def damaged(original: bytes) -> st.SearchStrategy[bytes]:
    """Some bytes changed, then cut or continued."""

    def damage(changes: list[tuple[int, int]], cut: int, tail: bytes) -> bytes:
        data = bytearray(original)
        for at, value in changes:
            data[at % len(data)] = value
        return bytes(data[: cut % (len(data) + 1)]) + tail

    changes = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8)
    return st.builds(damage, changes, st.integers(0, 10_000), st.binary(max_size=20))


@settings(max_examples=300, deadline=None)
@given(damaged(ENCODED[6:]))
def test_a_damaged_association_request_is_read_or_a_protocol_error(body: bytes) -> None:
    try:
        request = pdu.decode_request(body)
    except ProtocolError:
        return
    pdu.encode_accept(completed(Accept({}), request, maximum_length=0, class_uid="1.2", version_name=""), request)
    for text in (request.calling_ae_title, request.called_ae_title, request.implementation_version_name):
        assert text.isprintable()


@settings(max_examples=300, deadline=None)
@given(damaged(ENCODED_ACCEPT[6:]))
def test_a_damaged_association_answer_is_read_or_a_protocol_error(body: bytes) -> None:
    try:
        pdu.decode_accept(body)
    except ProtocolError:
        return


def every_property(read: Command) -> list[object]:
    return [getattr(read, name) for name in dir(Command) if not name.startswith("_") and name != "text"]


@settings(max_examples=300, deadline=None)
@given(damaged(COMMAND))
def test_a_damaged_command_set_is_read_or_a_protocol_error(encoded: bytes) -> None:
    try:
        read = command.decode(encoded)
    except ProtocolError:
        return
    assert every_property(read)
    assert repr(read)


def test_the_package_needs_no_django_and_no_pynetdicom() -> None:
    code = "import sys, dicom.dimse; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"django", "pynetdicom", "pydicom", "apps", "pacs"} & set(done.stdout.split())
