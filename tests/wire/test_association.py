"""WIRE 1 to 7: who gets an association, for what, and how long."""

import time

import pytest
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts

from tests.campaigns.wire import ASSOCIATE_AC, Ended
from tests.node import wait_for
from tests.storage.made import CT, EXPLICIT, IMPLICIT, MR, data_set
from tests.wire.calls import VERIFICATION, Archive, rejection, results, send, syntaxes

pytestmark = pytest.mark.live

NOT_OFFERED = "1.2.840.10008.5.1.1.9"  # Basic Grayscale Print Management
DIRECTORY = "1.2.840.10008.1.3.10"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
ECHO = (VERIFICATION, [IMPLICIT])
REFERENCES = {f"1.2.840.10008.1.2.4.{number}" for number in (94, 95, 204, 205)} | {
    f"1.2.840.10008.1.2.7.{number}" for number in (1, 2, 3)
}


@pytest.mark.parametrize(
    ("calling", "called"), [("  TRIMMED", "PACS\0\0\0"), ("TRIMMED\0\0", " PACS  "), ("T", "PACS")]
)
def test_spaces_and_nul_around_ae_titles_do_not_matter(archive: Archive, calling: str, called: str) -> None:
    assert archive.negotiate(ECHO, calling=calling, called=called).kind == ASSOCIATE_AC


def test_an_ae_title_in_other_case_is_rejected_and_the_console_says_why(archive: Archive) -> None:
    assert rejection(archive.negotiate(ECHO, calling="CASE", called="Pacs")) == (1, 1, 7)
    query = "SELECT reason FROM network_refusedcaller WHERE calling_ae_title = 'CASE'"
    ((reason,),) = wait_for(lambda: archive.node.sql(query))
    assert "upper and lower case" in reason


def test_what_is_not_allowed_is_refused_by_context_and_nothing_allowed_by_rejection(archive: Archive) -> None:
    image, other = (CT, [EXPLICIT]), (NOT_OFFERED, [IMPLICIT])
    assert results(archive.negotiate(ECHO, image, other, calling="ECHOONLY")) == [0, 1, 3]
    assert rejection(archive.negotiate(image, other, calling="ECHOONLY")) == (1, 1, 3)
    assert rejection(archive.negotiate(other, calling="ECHOONLY")) == (1, 1, 7)


def test_a_peer_has_no_more_associations_at_once_than_it_may(archive: Archive) -> None:
    with archive.line() as line:
        assert line.associate(calling="ONCE").kind == ASSOCIATE_AC
        assert rejection(archive.negotiate(ECHO, calling="ONCE")) == (2, 3, 2)
        assert archive.negotiate(ECHO, calling="WIRE").kind == ASSOCIATE_AC
        assert line.echo() == 0
        line.release()
    assert archive.negotiate(ECHO, calling="ONCE").kind == ASSOCIATE_AC


def test_the_transfer_syntax_is_lossless_before_plain_and_plain_before_lossy(archive: Archive) -> None:
    accepted = archive.negotiate(
        (CT, [IMPLICIT, JPEG_BASELINE, EXPLICIT, JPEG_LOSSLESS]),
        (CT, [JPEG_BASELINE, IMPLICIT]),
        (CT, [JPEG_BASELINE]),
        (CT, [IMPLICIT, EXPLICIT]),
    )
    assert syntaxes(accepted) == [JPEG_LOSSLESS, IMPLICIT, JPEG_BASELINE, EXPLICIT]


def test_an_association_is_idle_as_long_as_its_peer_may(archive: Archive) -> None:
    with archive.line(archive.impatient) as modality, archive.line(archive.impatient) as stranger:
        assert modality.associate(calling="ALLDAY", called="SHORT").kind == ASSOCIATE_AC
        assert stranger.associate(calling="WIRE", called="SHORT").kind == ASSOCIATE_AC
        assert stranger.fate() != "open"
        time.sleep(1)  # well beyond the listener's second
        assert modality.echo() == 0
        with pytest.raises(Ended):
            stranger.echo()


def test_a_peer_that_takes_64_bytes_at_a_time_is_answered_and_gets_its_images(archive: Archive) -> None:
    sop, study = "2.1.4.1.1", "2.1.4"
    whole = data_set(sop=sop, series=f"{study}.1", study=study, patient_id="TINY", pixels=bytes(range(250)) * 8)
    assert archive.store(whole, sop).status == 0
    (_, answer), _ = archive.ask("STUDY", StudyInstanceUID=study, PatientName="", maximum_pdu=64)
    assert answer is not None
    assert answer.PatientName == "Doe^John"
    assert archive.get("STUDY", StudyInstanceUID=study, maximum_pdu=64) == {sop: (EXPLICIT, whole)}


def test_a_probe_of_a_load_balancer_is_no_line_in_the_log(archive: Archive) -> None:
    wait_for(archive.is_quiet, what="the associations of other tests are over")
    before = len(archive.node.log_text())
    for _ in range(3):
        archive.line().close()
    assert archive.negotiate(ECHO, calling="BEHIND").kind == ASSOCIATE_AC
    wait_for(lambda: "BEHIND" in archive.node.log_text()[before:])
    added = archive.node.log_text()[before:]
    assert not [line for line in added.splitlines() if "WARNING" in line or "ERROR" in line]


@pytest.mark.parametrize(
    ("name", "uid"),
    [
        ("retired ultrasound", "1.2.840.10008.5.1.4.1.1.6"),
        ("retired nuclear medicine", "1.2.840.10008.5.1.4.1.1.5"),
        ("private", "1.3.12.2.1107.5.9.1"),
    ],
)
def test_classes_of_old_archives_and_of_vendors_are_stored(archive: Archive, name: str, uid: str) -> None:
    study = f"2.12.{len(name)}"
    whole = data_set(sop_class=uid, sop=f"{study}.1.1", series=f"{study}.1", study=study)
    assert archive.store(whole, f"{study}.1.1", sop_class=uid).status == 0
    assert archive.found("SOPClassUID", "IMAGE", StudyInstanceUID=study) == [uid]


def test_every_storage_class_that_pynetdicom_knows_is_accepted_but_those_without_patient(archive: Archive) -> None:
    known = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    for start in range(0, len(known), 100):
        accepted = archive.negotiate(*((uid, [EXPLICIT]) for uid in known[start : start + 100]))
        refused = {uid for uid, result in zip(known[start : start + 100], results(accepted), strict=True) if result}
        assert not {uid for uid in refused if uid.startswith("1.2.840.10008.5.1.4.1.1.") and ".200." not in uid} - {
            "1.2.840.10008.5.1.4.1.1.201.1"  # an inventory is of many patients
        }


@pytest.mark.parametrize(
    "uid",
    [
        DIRECTORY,
        "1.2.840.10008.5.1.4.38.1",  # Hanging Protocol
        "1.2.840.10008.5.1.4.39.1",  # Color Palette
        "1.2.840.10008.5.1.1.16",  # Printer
        "1.2.840.10008.1.9",  # Basic Study Content Notification
        "../../x",
    ],
)
def test_what_is_no_image_of_a_patient_is_refused_and_the_rest_goes_on(archive: Archive, uid: str) -> None:
    with archive.line() as line:
        assert results(line.associate(ECHO, (uid, [EXPLICIT]))) == [0, 3]
        assert line.echo() == 0


def test_every_transfer_syntax_that_holds_pixels_is_accepted_and_references_are_not(archive: Archive) -> None:
    known = [str(uid) for uid in ALL_TRANSFER_SYNTAXES]
    accepted = archive.negotiate(*((MR, [uid]) for uid in [*known, "1.2.3.4"]))
    refused = [uid for uid, result in zip([*known, "1.2.3.4"], results(accepted), strict=True) if result == 4]
    assert set(refused) == {uid for uid in known if uid in REFERENCES} | {"1.2.3.4"}
    assert set(results(accepted)) == {0, 4}


def test_a_command_that_names_what_is_no_image_is_refused_in_the_context_of_one(archive: Archive) -> None:
    sop = "2.2.9.1.1"
    whole = data_set(sop=sop, series="2.2.9.1", study="2.2.9", sop_class=DIRECTORY)
    with archive.line() as line:
        line.associate((CT, [EXPLICIT]))
        answer = send(line, whole, sop, sop_class=DIRECTORY)
        assert (answer.status, answer.offending) == (0x0122, (0x00000002,))
        assert answer.comment
        line.release()
    assert archive.found("SOPInstanceUID", "IMAGE", StudyInstanceUID="2.2.9") == []
