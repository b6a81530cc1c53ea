"""WIRE 17 to 22 and 25: what is asked, what is found, and what is answered."""

import pytest
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelMove,
)

from dicom.dimse import associate
from dicom.encoding import encode_elements
from tests.campaigns import wire
from tests.campaigns.wire import COMMAND, LAST, P_DATA, p_data
from tests.dicom.data_sets import Writer
from tests.node import wait_for
from tests.storage.made import CT, EXPLICIT, IMPLICIT
from tests.wire.calls import PATIENT_FIND, STUDY_FIND, STUDY_GET, VERIFICATION, Answer, Archive, image

pytestmark = pytest.mark.live

STUDY_MOVE = str(StudyRootQueryRetrieveInformationModelMove)
PATIENT_GET = str(PatientRootQueryRetrieveInformationModelGet)
PATIENT_MOVE = str(PatientRootQueryRetrieveInformationModelMove)
UNIQUE = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
FIND_RQ, GET_RQ, MOVE_RQ, NO_DATA_SET = 0x0020, 0x0010, 0x0021, 0x0101


def keep(archive: Archive, study: str, **values: object) -> None:
    assert archive.store(image(study, **values), f"{study}.1.1") == Answer(0)


# WIRE 17


def test_case_and_accents_matter_in_everything_but_names(archive: Archive) -> None:
    keep(
        archive,
        "4.17.1",
        patient_id="Case17",
        name="Mülhaus^Anna".encode(),
        character_set="ISO_IR 192",
        accession="aB17",
    )

    def finds(**keys: str) -> bool:
        return archive.found("StudyInstanceUID", "STUDY", **keys) == ["4.17.1"]

    assert finds(PatientName="MULHAUS^anna^^ ")
    assert finds(PatientName="muLHaus*")
    assert finds(PatientID="Case17") and finds(PatientID="Case1*")
    assert not finds(PatientID="case17") and not finds(PatientID="CASE1*")
    assert finds(AccessionNumber="aB17") and not finds(AccessionNumber="AB17")
    assert finds(PatientID="Case17", ModalitiesInStudy="CT") and not finds(PatientID="Case17", ModalitiesInStudy="ct")


@pytest.mark.parametrize("sign", ["%", "_", "[", "]", "'", '"', "|", "."])
def test_what_a_database_takes_for_a_sign_is_a_letter(archive: Archive, sign: str) -> None:
    study = f"4.17.2.{ord(sign)}"
    keep(archive, study, patient_id=f"A{sign}B17", name=f"Sign{sign}^X")
    keep(archive, f"{study}.2", patient_id="AXB17", name="SignX^X")
    assert archive.found("PatientID", "STUDY", PatientID=f"A{sign}B17") == [f"A{sign}B17"]
    assert archive.found("PatientID", "STUDY", PatientID=f"A{sign}*17") == [f"A{sign}B17"]
    assert archive.found("PatientID", "STUDY", PatientName=f"sign{sign}*") == [f"A{sign}B17"]


@pytest.mark.parametrize("character_set", ["GB18030", "ISO_IR 192"])
def test_a_key_whose_bytes_look_like_separators_is_one_key(archive: Archive, character_set: str) -> None:
    """The last byte of this character is a backslash in GB18030."""
    keep(archive, "4.17.3", character_set="GB18030", name="Wang^Li=王^\u4e57".encode("gb18030"))
    keys = {"StudyInstanceUID": "4.17.3", "PatientName": "=王^\u4e57", "SpecificCharacterSet": character_set}
    (answer,) = archive.find("STUDY", **keys)
    assert answer.PatientName == "Wang^Li=王^\u4e57"


# WIRE 19


@pytest.mark.parametrize(
    ("uid", "request_"),
    [
        (STUDY_FIND, FIND_RQ),
        (PATIENT_FIND, FIND_RQ),
        (STUDY_GET, GET_RQ),
        (PATIENT_GET, GET_RQ),
        (STUDY_MOVE, MOVE_RQ),
        (PATIENT_MOVE, MOVE_RQ),
    ],
)
def test_a_request_without_a_data_set_is_refused_and_not_awaited(archive: Archive, uid: str, request_: int) -> None:
    fields = {0x0002: wire.uid(uid), 0x0100: wire.us(request_), 0x0110: wire.us(9), 0x0700: wire.us(0)}
    if request_ == MOVE_RQ:
        fields[0x0600] = b"DEST"
    with archive.line() as line:
        line.associate((uid, [EXPLICIT]), (VERIFICATION, [EXPLICIT]))
        line.send(p_data(1, COMMAND | LAST, wire.command({**fields, 0x0800: wire.us(NO_DATA_SET)})))
        answer = Answer.of(line.response())
        assert (answer.status, answer.offending) == (0xA900, (0x00080052,))
        assert answer.comment
        line.send(p_data(3, COMMAND | LAST, wire.echo_rq()))
        assert line.status() == 0


@pytest.mark.parametrize("padding", [b"", b"\0", b" ", b"\0\0\0", b"   "])
def test_padding_of_keys_and_destinations_does_not_count(archive: Archive, padding: bytes) -> None:
    keep(archive, "4.19.1")
    elements = [(0x00080052, b"STUDY" + padding), (0x00100020, b"4.19.1" + padding), (0x0020000D, b"4.19.1" + padding)]
    identifier = b"".join(Writer(IMPLICIT).element(tag, "", value) for tag, value in elements)
    for uid, request, title in ((STUDY_FIND, FIND_RQ, b""), (STUDY_MOVE, MOVE_RQ, b"DEST")):
        fields = {0x0002: wire.uid(uid), 0x0100: wire.us(request), 0x0110: wire.us(9), 0x0700: wire.us(0)}
        if title:
            fields[0x0600] = title + padding
        with archive.line() as line:
            line.associate((uid, [IMPLICIT]))
            line.send(p_data(1, COMMAND | LAST, wire.command({**fields, 0x0800: wire.us(0)})))
            line.send(p_data(1, LAST, identifier))
            response = line.response()
            if not title:
                assert Answer.of(response).status == 0xFF00
                assert line.read().kind == P_DATA  # the answer itself
                assert line.status() == 0
            else:
                assert (Answer.of(response).status, response[0x1021]) == (0, b"\1\0")


def test_a_destination_in_other_case_is_unknown(archive: Archive) -> None:
    keep(archive, "4.19.2")
    with archive.line() as line:
        line.associate((STUDY_MOVE, [IMPLICIT]))
        fields = {0x0002: wire.uid(STUDY_MOVE), 0x0100: wire.us(MOVE_RQ), 0x0110: wire.us(9), 0x0700: wire.us(0)}
        line.send(p_data(1, COMMAND | LAST, wire.command({**fields, 0x0600: b"dest", 0x0800: wire.us(0)})))
        identifier = Writer(IMPLICIT).element(0x00080052, "", b"STUDY ") + Writer(IMPLICIT).element(
            0x0020000D, "", b"4.19.2"
        )
        line.send(p_data(1, LAST, identifier))
        answer = Answer.of(line.response())
    assert answer.status == 0xA801
    assert answer.comment


# WIRE 20


def test_unique_keys_are_in_every_answer_and_never_empty(archive: Archive) -> None:
    keep(archive, "4.20.1")
    keep(archive, "4.20.2", patient_id=None, name="Nameless^Twenty")
    for number, level in enumerate(("PATIENT", "STUDY", "SERIES", "IMAGE")):
        answers = archive.find(level, PATIENT_FIND, PatientID="4.20.1")
        if number:  # in Study Root a study may be nobody's
            answers += archive.find(level, StudyInstanceUID="4.20.2")
        for answer, keys in zip(answers, (UNIQUE[: number + 1], UNIQUE[1 : number + 1]), strict=False):
            assert all(answer[keyword].value for keyword in keys)
            assert (answer.QueryRetrieveLevel, answer.RetrieveAETitle) == (level, "PACS")
            assert answer.InstanceAvailability == "ONLINE"
        assert len(answers) == 1 + bool(number)


def test_a_key_nobody_knows_is_said_and_the_answer_still_comes(archive: Archive) -> None:
    keep(archive, "4.20.3")
    pending, final = archive.ask("STUDY", StudyInstanceUID="4.20.3", PatientTelephoneNumbers="555")
    assert (pending[0].Status, final[0].Status) == (0xFF01, 0)
    assert pending[1] is not None
    assert "PatientTelephoneNumbers" not in pending[1]


# WIRE 22


def test_a_limit_ends_with_a700_and_says_why_but_to_a_peer_that_would_drop_the_list(archive: Archive) -> None:
    for number in range(3):
        keep(archive, f"4.22.{number}", accession="LIMIT22")
    for calling, final in (("LIMITED", 0xA700), ("LISTLESS", 0)):
        answers = archive.ask("STUDY", calling=calling, AccessionNumber="LIMIT22", StudyInstanceUID="")
        assert [status.Status for status, _ in answers] == [0xFF00, 0xFF00, final]
        assert bool(answers[-1][0].get("ErrorComment")) == (final != 0)
    exactly = archive.ask("STUDY", calling="LIMITED", StudyInstanceUID=["4.22.0", "4.22.1"])
    assert [status.Status for status, _ in exactly] == [0xFF00, 0xFF00, 0]


# WIRE 25


def test_a_retrieve_has_what_its_own_association_has_just_sent(archive: Archive) -> None:
    contexts = [(CT, [EXPLICIT]), (STUDY_MOVE, [EXPLICIT])]
    with associate(*archive.address, calling_ae_title="WIRE", called_ae_title="PACS", contexts=contexts) as assoc:
        storage, move = assoc.context_for(CT), assoc.context_for(STUDY_MOVE)
        assert storage is not None and move is not None
        for number in range(10):
            study = f"4.25.{number}"
            sop = f"{study}.1.1"
            assert assoc.c_store(context=storage, sop_class_uid=CT, sop_instance_uid=sop, data=image(study)).status == 0
            identifier = encode_elements([(0x00080052, "CS", b"STUDY"), (0x0020000D, "UI", study.encode())], EXPLICIT)
            final = list(assoc.c_move(context=move, destination="DEST", identifier=identifier))[-1]
            assert (final.status, final.command.number_of_completed_suboperations) == (0, 1)
    wait_for(lambda: len([one for one in archive.receiver.arrived if one.sop_instance_uid.startswith("4.25.")]) == 10)
