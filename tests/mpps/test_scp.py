"""N-CREATE, N-SET and N-GET as pynetdicom asks for them: the rules of PS3.4 F.7.2, each with its status."""

from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataset import Dataset

from apps.mpps import progress
from apps.mpps.models import PerformedProcedureStep
from dicom.datasets import SYNTAXES, data_set, encode
from dicom.dimse import associate
from dicom.sop_classes import MODALITY_PERFORMED_PROCEDURE_STEP as MPPS
from dicom.sop_classes import MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE as RETRIEVE
from dicom.sop_classes import VERIFICATION, Service
from tests.mpps.conftest import Serve
from tests.mpps.reporting import begun, change, create, ended, scheduled, series

UID = "1.2.3.99"


def names(response: Dataset, tag: int) -> bool:
    """Whether the comment says which element it is about."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})" in response.ErrorComment


def test_a_step_is_created_set_and_completed(serve: Serve) -> None:
    serving = serve()
    assert create(serving, UID).Status == 0x0000
    step = PerformedProcedureStep.objects.get()
    assert (step.sop_instance_uid, step.status, step.patient_name) == (UID, "IN PROGRESS", "Doe^Jane")
    assert step.calling_ae_title == "CALLER"
    assert change(serving, UID, ended("COMPLETED", "1.5.1", "1.5.2")).Status == 0x0000
    step.refresh_from_db()
    assert step.status == "COMPLETED"
    assert step.number_of_instances == 2
    assert step.ended_at is not None
    assert [event.action for event in step.events.all()] == ["create", "set"]
    assert str(progress.of([step.pk])[step.pk]) == "0 of 2 received"


def test_every_attribute_is_kept_and_given_back(serve: Serve) -> None:
    serving = serve()
    ds = begun(PatientName="Müller^Jörg=山田^太郎", SpecificCharacterSet="ISO_IR 192")
    ds.add_new(0x00091010, "LO", "private thing")
    ds.add_new(0x00090010, "LO", "VENDOR")
    ds.add_new(0x00091011, "OB", b"\x01\x02\x03\x04")
    ds.CommentsOnThePerformedProcedureStep = "line one\r\nline two"
    ds.ExposureTime = 17
    assert create(serving, UID, ds).Status == 0x0000
    for syntax in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"):
        with serving.call(RETRIEVE, transfer_syntaxes=[syntax]) as assoc:
            status, got = assoc.send_n_get([], RETRIEVE, UID)
        assert status.Status == 0x0000
        assert got is not None
        got.decode()
        assert got.PatientName == "Müller^Jörg=山田^太郎"
        assert got.CommentsOnThePerformedProcedureStep == "line one\r\nline two"
        assert got.ExposureTime == 17
        assert bytes(got[0x0009, 0x1011].value) == b"\x01\x02\x03\x04"
        assert got.ScheduledStepAttributesSequence[0].ScheduledProcedureStepID == "S1"
    with serving.call(RETRIEVE) as assoc:
        _, some = assoc.send_n_get([0x00400252, 0x00100020], RETRIEVE, UID)
    assert some is not None
    assert [element.keyword for element in some] == ["PatientID", "PerformedProcedureStepStatus"]


def without(*names: str) -> Dataset:
    return begun(**dict.fromkeys(names))


CREATED: dict[str, tuple[Dataset, int, int]] = {
    "completed at once": (begun(PerformedProcedureStepStatus="COMPLETED"), 0x0106, 0x00400252),
    "a status of its own": (begun(PerformedProcedureStepStatus="BUSY"), 0x0106, 0x00400252),
    "no status": (without("PerformedProcedureStepStatus"), 0x0120, 0x00400252),
    "no modality": (without("Modality"), 0x0120, 0x00080060),
    "no station": (without("PerformedStationAETitle"), 0x0120, 0x00400241),
    "no start": (without("PerformedProcedureStepStartDate"), 0x0120, 0x00400244),
    "no schedule": (without("ScheduledStepAttributesSequence"), 0x0120, 0x00400270),
    "an empty ID": (begun(PerformedProcedureStepID=""), 0x0121, 0x00400253),
    "an empty study": (begun(scheduled(StudyInstanceUID="")), 0x0121, 0x0020000D),
    "a study that is no UID": (begun(scheduled(StudyInstanceUID="1.2.x")), 0x0106, 0x0020000D),
    "a day that is none": (begun(PerformedProcedureStepStartDate="20261340"), 0x0106, 0x00400244),
    "a text as day": (begun(PerformedProcedureStepStartDate="notadate"), 0x0106, 0x00400244),
    "a time that is none": (begun(PerformedProcedureStepStartTime="250000"), 0x0106, 0x00400245),
}


@pytest.mark.parametrize("name", CREATED)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_what_cannot_begin_a_step_is_refused(serve: Serve, name: str) -> None:
    ds, status, tag = CREATED[name]
    response = create(serve(), UID, ds)
    assert f"{response.Status:04X}" == f"{status:04X}"
    assert names(response, tag)
    assert not PerformedProcedureStep.objects.exists()


def test_a_step_is_created_once(serve: Serve) -> None:
    serving = serve()
    assert create(serving, UID).Status == 0x0000
    assert create(serving, UID, begun(PatientID="18")).Status == 0x0111
    assert PerformedProcedureStep.objects.get().patient_id == "17"


def test_a_step_without_a_uid_is_given_one(serve: Serve) -> None:
    with serve().call(MPPS) as assoc:
        status, _ = assoc.send_n_create(begun(), MPPS, None)
    assert status.Status == 0x0000
    assert PerformedProcedureStep.objects.get().sop_instance_uid.startswith("2.25.")


def test_what_does_not_exist_is_neither_set_nor_shown(serve: Serve) -> None:
    serving = serve()
    assert change(serving, UID, ended()).Status == 0x0112
    with serving.call(RETRIEVE) as assoc:
        status, _ = assoc.send_n_get([], RETRIEVE, UID)
    assert status.Status == 0x0112


def test_a_malformed_uid_is_told(serve: Serve) -> None:
    """pynetdicom sends none."""
    with associate(
        "127.0.0.1", serve().port, calling_ae_title="CT1", called_ae_title="PACS", contexts=[(MPPS, SYNTAXES)]
    ) as assoc:
        context = assoc.accepted_context(MPPS)
        data = encode(begun(), context.transfer_syntax)
        for uid in ("1.2.abc", "1" * 65):
            answer = assoc.n_create(context=context, sop_class_uid=MPPS, sop_instance_uid=uid, data=data)
            assert answer.status == 0x0117
            answer = assoc.n_set(context=context, sop_class_uid=MPPS, sop_instance_uid=uid, data=data)
            assert answer.status == 0x0117


SET: dict[str, tuple[Callable[[], Dataset], int, int]] = {
    "a status of its own": (lambda: ended("DONE"), 0x0106, 0x00400252),
    "no end": (lambda: ended(PerformedProcedureStepEndDate=None), 0x0121, 0x00400250),
    "no series": (lambda: ended(PerformedSeriesSequence=[]), 0x0121, 0x00400340),
    "a series without a UID": (
        lambda: ended(PerformedSeriesSequence=[series(SeriesInstanceUID=None)]),
        0x0121,
        0x0020000E,
    ),
    "a protocol without a name": (lambda: ended(PerformedSeriesSequence=[series(ProtocolName="")]), 0x0121, 0x00181030),
    "another patient": (lambda: ended(PatientID="18"), 0x0106, 0x00100020),
    "an end on no day": (lambda: ended(PerformedProcedureStepEndDate="20261340"), 0x0106, 0x00400250),
    "an end at no time": (lambda: ended(PerformedProcedureStepEndTime="noon"), 0x0106, 0x00400251),
}


@pytest.mark.parametrize("name", SET)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_what_cannot_end_a_step_is_refused(serve: Serve, name: str) -> None:
    serving = serve()
    create(serving, UID)
    made, status, tag = SET[name]
    response = change(serving, UID, made())
    assert f"{response.Status:04X}" == f"{status:04X}"
    assert names(response, tag)
    assert PerformedProcedureStep.objects.get().status == "IN PROGRESS"


@pytest.mark.parametrize("final", ["COMPLETED", "DISCONTINUED"])
def test_nothing_changes_after_the_end(serve: Serve, final: str) -> None:
    serving = serve()
    create(serving, UID)
    assert change(serving, UID, ended(final)).Status == 0x0000
    before = PerformedProcedureStep.objects.values().get()
    for late in (data_set(PerformedProcedureStepStatus="IN PROGRESS"), ended("COMPLETED"), ended("DISCONTINUED")):
        response = change(serving, UID, late)
        assert response.Status == 0x0110
        assert response.ErrorID == 0xA710
        assert "no longer be updated" in response.ErrorComment
    assert PerformedProcedureStep.objects.values().get() == before


TOLERATED: dict[str, Callable[[], Dataset]] = {
    "what was created is repeated": lambda: data_set(
        PatientID="17", PatientName="Doe^Jane", PerformedProcedureStepStartDate="20261125", Modality="CT"
    ),
    "what was never created is set": lambda: data_set(CommentsOnThePerformedProcedureStep="late"),
    "still in progress": lambda: data_set(
        PerformedProcedureStepStatus="IN PROGRESS", PerformedSeriesSequence=[series()]
    ),
    "discontinued without a series": lambda: ended("DISCONTINUED", PerformedSeriesSequence=[]),
}


@pytest.mark.parametrize("name", TOLERATED)
def test_habits_of_modalities_are_borne(serve: Serve, name: str) -> None:
    serving = serve()
    create(serving, UID)
    assert change(serving, UID, TOLERATED[name]()).Status == 0x0000


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("what was created is repeated", 0x0106),
        ("what was never created is set", 0x0105),
        ("still in progress", 0x0000),
        ("discontinued without a series", 0x0121),
    ],
)
def test_a_strict_peer_is_held_to_the_table(serve: Serve, name: str, status: int) -> None:
    serving = serve(strict_mpps=True)
    assert create(serving, UID, without("PatientSex")).Status == 0x0120
    assert create(serving, UID).Status == 0x0000
    assert change(serving, UID, TOLERATED[name]()).Status == status


def test_an_attribute_of_type_2_may_be_missing_unless_the_peer_is_strict(serve: Serve) -> None:
    assert create(serve(), UID, without("PatientSex", "ReferencedPatientSequence", "StudyID")).Status == 0x0000


def test_ten_thousand_images_are_counted(serve: Serve) -> None:
    serving = serve()
    create(serving, UID)
    uids = [f"1.5.{number}" for number in range(10_000)]
    assert change(serving, UID, ended("COMPLETED", *uids)).Status == 0x0000
    step = PerformedProcedureStep.objects.get()
    assert step.number_of_instances == step.instances.count() == 10_000


def test_a_series_that_is_reported_again_replaces_what_it_said(serve: Serve) -> None:
    serving = serve()
    create(serving, UID)
    change(serving, UID, data_set(PerformedSeriesSequence=[series("1.5.1", "1.5.2")]))
    change(serving, UID, data_set(PerformedSeriesSequence=[series("1.5.2", "1.5.3")]))
    step = PerformedProcedureStep.objects.get()
    assert set(step.instances.values_list("sop_instance_uid", flat=True)) == {"1.5.2", "1.5.3"}


def test_a_data_set_that_cannot_be_read_is_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> bytes:
        return b"\x08\x00\x60\x00CS\xff\x00CT"

    monkeypatch.setattr("pynetdicom.association.encode", broken)
    assert create(serve(), UID).Status == 0x0212
    assert not PerformedProcedureStep.objects.exists()


def test_without_a_right_nothing_is_reported(serve: Serve) -> None:
    serving = serve(services=frozenset(Service) - {Service.MPPS})
    with serving.call(MPPS, VERIFICATION) as assoc, pytest.raises(ValueError, match="presentation context"):
        assoc.send_n_create(begun(), MPPS, UID)
    assert not PerformedProcedureStep.objects.exists()
