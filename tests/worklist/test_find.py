"""Modality Worklist over the wire: what a modality asks, what it gets (PS3.4 annex K)."""

import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pydicom
import pytest
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from apps.network.database import give_back
from apps.network.validators import STEP_STATUSES
from apps.worklist import rows, schedule
from apps.worklist.attributes import Level
from apps.worklist.models import ScheduledProcedureStep, StepStatus, WorklistPatient
from apps.worklist.order import Order
from dicom.dimse import associate
from dicom.dimse.command import CommandField, Tag, uid
from dicom.sop_classes import MODALITY_WORKLIST_FIND
from tests.peers import peer
from tests.qr.serving import identifier, statuses
from tests.worklist.asking import RIS, asked, find, found, ordered, steps
from tests.worklist.conftest import Serve

PENDING, UNSUPPORTED, SUCCESS, CANCEL, MISMATCH, LIMIT = 0xFF00, 0xFF01, 0x0000, 0xFE00, 0xA900, 0xA700
CODE = {
    "00080100": {"vr": "SH", "Value": ["CTHEAD"]},
    "00080102": {"vr": "SH", "Value": ["99X"]},
    "00080104": {"vr": "LO", "Value": ["CT of the head"]},
}


def test_findscu_gets_what_is_scheduled(serve: Serve, tmp_path: Path) -> None:
    ordered(scheduled_procedure_step_description="Head")
    keys = ["PatientName", "ScheduledProcedureStepSequence[0].Modality=CT"]
    keys += ["ScheduledProcedureStepSequence[0].ScheduledProcedureStepDescription"]
    command = [peer("findscu"), "-W", "-X", "-od", str(tmp_path), *(part for key in keys for part in ("-k", key))]
    done = subprocess.run([*command, "127.0.0.1", str(serve().port)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    (answer,) = [pydicom.dcmread(path, force=True) for path in tmp_path.glob("rsp*.dcm")]
    assert answer.PatientName == "Doe^Jane"
    (item,) = answer.ScheduledProcedureStepSequence
    assert (item.Modality, item.ScheduledProcedureStepDescription) == ("CT", "Head")


@pytest.fixture
def day(transactional_db: None) -> None:
    """A day's steps, not in the order of their start."""
    ordered("S3", scheduled_procedure_step_start_date="20261126", scheduled_procedure_step_start_time="0700")
    ordered("S1", scheduled_procedure_step_start_time="0800", admission_id="ADM1", requested_procedure_id="RP1")
    ordered(
        "S2",
        patient_id="18",
        patient_name="Østergård^Åse=大田^花子=おおた^はなこ",
        scheduled_station_ae_title="MR1\\MR2",
        modality="MR",
        scheduled_procedure_step_start_time="1230",
        scheduled_performing_physician_name="Curie^Marie",
        scheduled_procedure_step_description="Knie 100% [links]_",
        requested_procedure_priority="STAT",
    )


KEYS: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({}, {}, ["S1", "S2", "S3"]),
    ({"ScheduledStationAETitle": "CT1"}, {}, ["S1", "S3"]),
    ({"ScheduledStationAETitle": "MR2"}, {}, ["S2"]),
    ({"ScheduledStationAETitle": "MR*"}, {}, ["S2"]),
    ({"ScheduledStationAETitle": ["MR2", "CT2"]}, {}, ["S2"]),
    ({"ScheduledStationAETitle": ["CT1", "CT2"]}, {}, ["S1", "S3"]),
    ({"ScheduledStationAETitle": "ct1"}, {}, []),
    ({"Modality": "MR"}, {}, ["S2"]),
    ({"Modality": ["MR", "CT"]}, {}, ["S1", "S2", "S3"]),
    ({"ScheduledProcedureStepStartDate": "20261125"}, {}, ["S1", "S2"]),
    ({"ScheduledProcedureStepStartDate": "20261126-"}, {}, ["S3"]),
    ({"ScheduledProcedureStepStartTime": "0730-1200"}, {}, ["S1"]),
    # WIRE 18: from the 25th at noon to the 26th at eight, not noon to eight of both days.
    (
        {"ScheduledProcedureStepStartDate": "20261125-20261126", "ScheduledProcedureStepStartTime": "1200-0800"},
        {},
        ["S2", "S3"],
    ),
    ({"ScheduledPerformingPhysicianName": "CURIE*"}, {}, ["S2"]),
    ({"ScheduledProcedureStepID": "S3"}, {}, ["S3"]),
    ({"ScheduledProcedureStepDescription": "Knie 100% [links]_"}, {}, ["S2"]),
    ({"ScheduledProcedureStepDescription": "Knie 100*[*]_"}, {}, ["S2"]),
    ({"ScheduledProcedureStepDescription": "Knie%"}, {}, []),
    ({"ScheduledProcedureStepDescription": "knie*"}, {}, []),
    ({"ScheduledProcedureStepStatus": "SCHEDULED"}, {}, ["S1", "S2", "S3"]),
    ({"ScheduledProcedureStepStatus": "ARR*"}, {}, []),
    ({}, {"PatientID": "17"}, ["S1", "S3"]),
    ({}, {"PatientID": "1_"}, []),
    ({}, {"PatientID": "1?"}, ["S1", "S2", "S3"]),
    ({}, {"PatientName": "doe^JANE^ "}, ["S1", "S3"]),
    ({}, {"PatientName": "Ostergard*"}, ["S2"]),
    ({}, {"PatientName": "*=大田*"}, ["S2"]),
    ({}, {"PatientName": "おおた^はなこ"}, ["S2"]),
    ({}, {"PatientName": "%"}, []),
    ({}, {"AccessionNumber": "A-S2"}, ["S2"]),
    ({}, {"AccessionNumber": "a-s2"}, []),
    ({}, {"RequestedProcedureID": "RP1"}, ["S1"]),
    ({}, {"AdmissionID": "ADM1"}, ["S1"]),
    ({}, {"RequestedProcedurePriority": "STAT"}, ["S2"]),
    ({"Modality": "CT"}, {"PatientID": "18"}, []),
]


@pytest.mark.django_db(transaction=True)
def test_keys_match_as_the_standard_says(day: None, serve: Serve) -> None:
    serving = serve(default_character_set="ISO_IR 192")
    for step, keys, expected in KEYS:
        assert found(serving, step, SpecificCharacterSet="ISO_IR 192", **keys) == expected, (step, keys)


def test_keys_of_two_items_are_those_of_either(day: None, serve: Serve) -> None:
    items = [identifier(ScheduledProcedureStepID="", Modality="MR"), identifier(ScheduledProcedureStepID="S3")]
    assert steps(find(serve(), identifier(ScheduledProcedureStepSequence=Sequence(items)))) == ["S2", "S3"]
    answers = find(serve(strict_identifiers=True), identifier(ScheduledProcedureStepSequence=Sequence(items)))
    assert statuses(answers) == [MISMATCH]


def test_an_answer_holds_exactly_the_keys_asked_for(serve: Serve) -> None:
    ordered(patient_sex="F", requested_procedure_description="CT head", issuer_of_accession_number="RIS")
    answers = find(
        serve(),
        asked(
            {"Modality": "", "ScheduledStationAETitle": "CT1", "ScheduledProcedureStepStatus": ""},
            PatientSex="",
            PatientWeight="",
            AccessionNumber="",
            ReferencedStudySequence=Sequence(),
            IssuerOfAccessionNumberSequence=Sequence(),
        ),
    )
    assert statuses(answers) == [PENDING, SUCCESS]
    step = identifier(
        Modality="CT",
        ScheduledStationAETitle="CT1",
        ScheduledProcedureStepID="S1",
        ScheduledProcedureStepStatus="SCHEDULED",
    )
    assert answers[0][1] == identifier(
        AccessionNumber="A-S1",
        IssuerOfAccessionNumberSequence=Sequence([identifier(LocalNamespaceEntityID="RIS")]),
        ReferencedStudySequence=Sequence(),
        PatientSex="F",
        PatientWeight=None,
        ScheduledProcedureStepSequence=Sequence([step]),
    )
    assert find(serve(), identifier(PatientID=""))[0][1] == identifier(PatientID="17")


@pytest.mark.parametrize("items", [[], [Dataset()]])
def test_an_empty_sequence_or_item_asks_for_the_whole_step(serve: Serve, items: list[Dataset]) -> None:
    ordered(
        scheduled_protocol_code_sequence=(CODE,),
        pre_medication="none",
        other_attributes={Level.STEP: {"00400004": {"vr": "DA", "Value": ["20261125"]}}},
    )
    (_, answer), *_ = find(serve(), identifier(ScheduledProcedureStepSequence=Sequence(items)))
    assert answer is not None
    (item,) = answer.ScheduledProcedureStepSequence
    assert item.ScheduledProtocolCodeSequence[0].CodeMeaning == "CT of the head"
    assert (item.Modality, item.PreMedication, item.ScheduledProcedureStepEndDate) == ("CT", "none", "20261125")
    assert [element.tag for element in item] == sorted(element.tag for element in item)


def test_what_has_no_column_is_answered_when_asked_for(serve: Serve) -> None:
    ordered(
        requested_procedure_code_sequence=(CODE,),
        other_attributes={
            Level.PATIENT: {"00102154": {"vr": "SH", "Value": ["555"]}, "001021C0": {"vr": "US", "Value": [4]}},
            Level.PROCEDURE: {"00081110": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]}},
        },
    )
    code = Sequence([identifier(CodeValue="", CodeMeaning="")])
    (status, answer), *_ = find(
        serve(),
        identifier(
            PatientTelephoneNumbers="",
            PatientAddress="",
            RequestedProcedureCodeSequence=code,
            ReferencedStudySequence=code,
        ),
    )
    assert status == PENDING
    assert answer is not None
    assert (answer.PatientTelephoneNumbers, answer.PatientAddress) == ("555", "")
    assert list(answer.RequestedProcedureCodeSequence) == [identifier(CodeValue="CTHEAD", CodeMeaning="CT of the head")]
    assert list(answer.ReferencedStudySequence) == [identifier(CodeValue="", CodeMeaning="")]


def test_a_key_that_is_not_matched_is_said_and_answered(serve: Serve) -> None:
    ordered(medical_alerts="METASTASIS")
    (status, answer), *_ = find(serve(), identifier(MedicalAlerts="NONE", Modality="MR"))
    assert status == UNSUPPORTED
    assert answer == identifier(MedicalAlerts="METASTASIS")  # of the step, whose own keys are in its sequence


@pytest.mark.parametrize("station", ["CT1", "CT1\\CT2", "*", "CT*", ""])
def test_a_step_for_no_station_is_for_the_one_that_asks(serve: Serve, station: str) -> None:
    ordered(scheduled_station_ae_title="")
    serving = serve(worklist_own_station_only=True)
    (_, answer), *_ = find(serving, asked({"ScheduledStationAETitle": station.split("\\")}))
    given = {"CT1": "CT1", "CT1\\CT2": "CT1", "CT*": None}.get(station, "CALLER")
    assert (answer.ScheduledProcedureStepSequence[0].ScheduledStationAETitle if answer else None) == given


def test_what_a_modality_needs_is_never_empty(serve: Serve) -> None:
    schedule.schedule(principal=RIS, order=Order(patient_id="17", patient_name="Doe^Jane"))
    keys = dict.fromkeys(("PatientName", "PatientID", "StudyInstanceUID", "RequestedProcedureID"), "")
    step = dict.fromkeys(
        (
            "ScheduledStationAETitle",
            "ScheduledProcedureStepStartDate",
            "ScheduledProcedureStepStartTime",
            "Modality",
            "ScheduledProcedureStepID",
        ),
        "",
    )
    (_, answer), *_ = find(serve(), asked(step, **keys))
    assert answer is not None
    assert all(answer[name].value for name in keys)
    assert all(answer.ScheduledProcedureStepSequence[0][name].value for name in step)


def test_the_status_on_the_wire_is_one_of_the_standard(serve: Serve) -> None:
    for status in StepStatus:
        if status is StepStatus.DISCONTINUED:
            ordered(status, status=StepStatus.STARTED)
            step = ScheduledProcedureStep.objects.get(scheduled_procedure_step_id=status)
            schedule.advance(principal=RIS, step_id=step.pk, to=status, reason="test")
        else:
            ordered(status, status=status)
    names = {"ScheduledProcedureStepStatus": ""}
    assert {
        step.ScheduledProcedureStepID: step.ScheduledProcedureStepStatus
        for _, answer in find(serve(worklist_statuses=tuple(StepStatus)), asked(names))
        if answer is not None
        for step in answer.ScheduledProcedureStepSequence
    } == {
        "SCHEDULED": "SCHEDULED",
        "ARRIVED": "ARRIVED",
        "READY": "READY",
        "STARTED": "STARTED",
        "COMPLETED": "DEPARTED",
        "DISCONTINUED": "",
        "CANCELLED": "",
    }
    assert set(found(serve())) == {"SCHEDULED", "ARRIVED", "READY", "STARTED"}
    assert found(serve(), {"ScheduledProcedureStepStatus": ["READY", "STARTED"]}) == ["READY", "STARTED"]
    assert found(serve(), {"ScheduledProcedureStepStatus": "DEPARTED"}) == []
    assert found(serve(worklist_statuses=())) == []


def test_a_peer_is_shown_no_status_that_steps_do_not_have() -> None:
    assert tuple(StepStatus.values) == STEP_STATUSES


def test_a_peer_may_see_its_own_station_only(serve: Serve) -> None:
    ordered("S1", scheduled_station_ae_title="CT1\\CALLER")
    ordered("S2", scheduled_station_ae_title="CALLER2")
    assert found(serve(worklist_own_station_only=True)) == ["S1"]
    assert found(serve(worklist_own_station_only=True), {"ScheduledStationAETitle": "CALLER2"}) == []


def test_a_peer_may_see_some_days_only(serve: Serve) -> None:
    today = timezone.localdate()
    for days in (-2, -1, 0, 1, 2):
        ordered(f"S{days}", scheduled_procedure_step_start_date=f"{today + timedelta(days):%Y%m%d}")
    assert found(serve(worklist_days_back=1)) == ["S-1", "S0", "S1", "S2"]
    assert found(serve(worklist_days_back=0, worklist_days_ahead=0)) == ["S0"]


def test_answers_are_sorted_by_start_over_pages_each_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "FIRST_PAGE", 2)
    monkeypatch.setattr(rows, "PAGE", 2)
    for number, (day, moment) in enumerate(
        [(25, "09"), (26, "08"), (24, "12"), (25, "09"), (25, "08"), (24, "12"), (25, "9x")]
    ):
        ordered(
            f"S{number}", scheduled_procedure_step_start_date=f"202611{day}", scheduled_procedure_step_start_time=moment
        )
    for name in ("N1", "N2", "N3"):
        ordered(name, scheduled_procedure_step_start_date="soon")
    answered = found(serve())
    assert [name for name in answered if name[0] == "S" and name != "S6"] == ["S2", "S5", "S4", "S0", "S3", "S1"]
    assert sorted(answered) == ["N1", "N2", "N3", *(f"S{number}" for number in range(7))]
    assert sorted(found(serve(), {"ScheduledProcedureStepStartDate": "20261124-"})) == [f"S{n}" for n in range(7)]


def test_more_answers_than_the_limit_end_with_out_of_resources(serve: Serve) -> None:
    for number in range(3):
        ordered(f"S{number}")
    assert statuses(find(serve(query_limit=2), asked())) == [PENDING, PENDING, LIMIT]
    assert statuses(find(serve(query_limit=2, success_at_limit=True), asked())) == [PENDING, PENDING, SUCCESS]
    assert statuses(find(serve(query_limit=3), asked())) == [PENDING, PENDING, PENDING, SUCCESS]


def test_a_query_is_cancelled_between_two_answers(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = threading.Event()

    def pages(*arguments: Any, **options: Any) -> Iterator[list[rows.Row]]:
        for page in original(*arguments, **options):
            yield page[:1]
            assert cancelled.wait(20)
            yield page[1:]

    original = rows.pages
    monkeypatch.setattr("apps.network.answering.BATCHES", 1)
    monkeypatch.setattr(rows, "pages", pages)
    for number in range(3):
        ordered(f"S{number}")
    contexts = [(MODALITY_WORKLIST_FIND, ["1.2.840.10008.1.2"])]
    with associate("127.0.0.1", serve().port, calling_ae_title="X", called_ae_title="PACS", contexts=contexts) as assoc:
        context = assoc.context_for(MODALITY_WORKLIST_FIND)
        assert context is not None
        responses = assoc.c_find(context=context, identifier=b"\x10\0\x20\0\0\0\0\0")
        assert next(responses).status == PENDING
        responses.cancel()
        cancelled.set()
        assert [response.status for response in responses] == [CANCEL]


@pytest.mark.parametrize(
    ("step", "keys", "offending"),
    [
        ({"ScheduledProcedureStepStartDate": "tomorrow"}, {}, 0x00400002),
        ({"ScheduledProcedureStepStartTime": "noon"}, {}, 0x00400003),
        ({"ScheduledProcedureStepDescription": "*x" * 600}, {}, 0x00400007),
        ({}, {"StudyInstanceUID": "../../x"}, 0x0020000D),
        ({}, {"AccessionNumber": [f"{number}*" for number in range(200)]}, 0x00080050),
    ],
)
def test_a_wrong_identifier_is_refused_with_the_offending_element(
    serve: Serve, step: dict[str, Any], keys: dict[str, Any], offending: int
) -> None:
    with pydicom.config.disable_value_validation(), serve().call(MODALITY_WORKLIST_FIND) as assoc:
        ((status, answer),) = assoc.send_c_find(asked(step, **keys), MODALITY_WORKLIST_FIND)
    assert status.Status == MISMATCH
    assert status.OffendingElement == offending
    assert status.ErrorComment
    assert answer is None


def test_a_query_without_a_data_set_is_refused_not_awaited(serve: Serve) -> None:
    contexts = [(MODALITY_WORKLIST_FIND, ["1.2.840.10008.1.2"])]
    with associate("127.0.0.1", serve().port, calling_ae_title="X", called_ae_title="PACS", contexts=contexts) as assoc:
        context = assoc.context_for(MODALITY_WORKLIST_FIND)
        assert context is not None
        elements = {Tag.AFFECTED_SOP_CLASS_UID: uid(MODALITY_WORKLIST_FIND)}
        assert assoc._call(context, CommandField.C_FIND, elements).status == MISMATCH


def test_ten_thousand_characters_are_asked_for_and_answered(serve: Serve) -> None:
    long = "Größe " * 1700
    ordered(comments_on_the_scheduled_procedure_step=long.strip(), imaging_service_request_comments="x" * 10_000)
    with pydicom.config.disable_value_validation():
        (_, answer), *_ = find(
            serve(),
            asked(
                {"CommentsOnTheScheduledProcedureStep": ""},
                ImagingServiceRequestComments="",
                SpecificCharacterSet="ISO_IR 100",
            ),
        )
        assert answer is not None
        assert answer.ScheduledProcedureStepSequence[0].CommentsOnTheScheduledProcedureStep == long.strip()
        assert len(answer.ImagingServiceRequestComments) == 10_000
        assert found(serve(), PatientID="x" * 10_000) == []
        items = Sequence([asked({"ScheduledProcedureStepID": "S1"}) for _ in range(3000)])
        assert statuses(find(serve(), identifier(ReferencedPatientSequence=items)))[-1] == SUCCESS


def test_a_changed_step_is_answered_as_it_is_now(serve: Serve) -> None:
    step = ordered()
    serving = serve()
    for name in ("Doe^Jane", "Roe^Jane"):
        schedule.reschedule(principal=RIS, step_id=step.pk, changes=Order(patient_name=name), update_patient=True)
        (_, answer), *_ = find(serving, identifier(PatientName=""))
        assert answer == identifier(PatientName=name)


def test_what_an_order_changes_above_other_steps_is_answered_as_it_is_now(serve: Serve) -> None:
    ordered("S1", accession_number="A1", requested_procedure_id="RP1")
    serving = serve()
    asked_again = identifier(AdmissionID="", CurrentPatientLocation="", RequestedProcedureDescription="")
    assert len(find(serving, asked_again)) == 2
    ordered("S2", accession_number="A1", requested_procedure_id="RP1", admission_id="ADM1")
    ordered(
        "S3",
        accession_number="A1",
        requested_procedure_id="RP1",
        requested_procedure_description="Knee",
        admission_id="ADM1",
        current_patient_location="Ward 3",
    )
    answers = [answer for _, answer in find(serving, asked_again) if answer is not None]
    now = identifier(AdmissionID="ADM1", CurrentPatientLocation="Ward 3", RequestedProcedureDescription="Knee")
    assert answers == [now] * 3


def test_who_changes_rows_by_other_means_is_seen_after_a_while(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    ordered()
    serving = serve()
    for name in ("Doe^Jane", "Roe^Jane", "Poe^Jane"):
        WorklistPatient.objects.update(patient_name=name, revision=F("revision") + 1)
        monkeypatch.setattr("apps.worklist.results._TRUSTED", 0.0)
        (_, answer), *_ = find(serving, identifier(PatientName=""))
        assert answer == identifier(PatientName=name)


def test_two_who_change_orders_at_once_do_not_wait_for_each_other_and_both_are_seen(serve: Serve) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    steps_of = {name: ordered(name, patient_id=name).pk for name in ("S1", "S2", "S3")}
    serving = serve()

    def change(name: str) -> None:
        changes = Order(requested_procedure_description=f"of {name}")
        schedule.reschedule(principal=RIS, step_id=steps_of[name], changes=changes)

    def in_a_thread() -> None:
        change("S2")
        give_back()

    change("S1")
    with transaction.atomic():
        change("S3")
        other = threading.Thread(target=in_a_thread)
        other.start()
        other.join(20)
        assert not other.is_alive()
        asked_again = identifier(RequestedProcedureDescription="")
        seen = [answer.RequestedProcedureDescription for _, answer in find(serving, asked_again) if answer is not None]
        assert seen == ["of S1", "of S2", ""]
    seen = [answer.RequestedProcedureDescription for _, answer in find(serving, asked_again) if answer is not None]
    assert seen == ["of S1", "of S2", "of S3"]
