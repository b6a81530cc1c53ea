"""C-FIND over the wire: what a workstation asks, what it gets (WIRE 17 to 22)."""

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from django.db import OperationalError
from pydicom import dcmread
from pydicom.sequence import Sequence
from pynetdicom.dsutils import encode
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from apps.qr import results
from apps.qr.rows import Row, pages
from apps.storage.models import Study
from dicom.dimse import CommandField, associate
from dicom.dimse.command import Tag, uid
from dicom.sop_classes import Service
from tests.peers import peer
from tests.qr import rows
from tests.qr.conftest import Serve
from tests.qr.serving import PATIENT_FIND, STUDY_FIND, identifier, statuses, values
from tests.storage.made import data_set, index, receive

PENDING, UNSUPPORTED, SUCCESS, CANCEL, MISMATCH, LIMIT = 0xFF00, 0xFF01, 0x0000, 0xFE00, 0xA900, 0xA700


LEVELS = {
    "PATIENT": ("P", ["PatientID=P1", "PatientName"], 1),
    "STUDY": ("P", ["PatientID=P1", "StudyInstanceUID", "StudyDate"], 2),
    "SERIES": ("S", ["StudyInstanceUID=1.1", "SeriesInstanceUID", "Modality"], 3),
    "IMAGE": ("S", ["StudyInstanceUID=1.1", "SeriesInstanceUID=1.1.1", "SOPInstanceUID", "InstanceNumber"], 2),
}


@pytest.mark.parametrize("level", LEVELS)
def test_findscu_is_answered_at_every_level(archive: None, serve: Serve, tmp_path: Path, level: str) -> None:
    model, keys, expected = LEVELS[level]
    command = [peer("findscu"), f"-{model}", "-X", "-od", str(tmp_path), "-k", f"QueryRetrieveLevel={level}"]
    for key in keys:
        command += ["-k", key]
    done = subprocess.run([*command, "127.0.0.1", str(serve().port)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answers = [pydicom.dcmread(path, force=True) for path in tmp_path.glob("rsp*.dcm")]
    assert len(answers) == expected
    assert {answer.QueryRetrieveLevel for answer in answers} == {level}
    assert {answer.RetrieveAETitle for answer in answers} == {"PACS"}


def test_an_answer_holds_exactly_the_keys_asked_for(archive: None, serve: Serve) -> None:
    answers = serve().find(
        QueryRetrieveLevel="SERIES", StudyInstanceUID="1.1", SeriesInstanceUID="", Modality="SR", SeriesDescription=""
    )
    assert statuses(answers) == [PENDING, SUCCESS]
    assert answers[0][1] == identifier(
        QueryRetrieveLevel="SERIES",
        RetrieveAETitle="PACS",
        InstanceAvailability="ONLINE",
        Modality="SR",
        SeriesDescription="Series 3",
        StudyInstanceUID="1.1",
        SeriesInstanceUID="1.1.3",
    )


def test_answers_of_a_listener_that_only_finds_name_those_that_retrieve(archive: None, serve: Serve) -> None:
    serving = serve()
    (default,) = serving.rules.rules.listeners
    finder = replace(default, services=frozenset({Service.ECHO, Service.FIND}))
    others = [
        replace(default, name=title, ae_title=title, services=frozenset({service}))
        for title, service in (("MOVES", Service.MOVE), ("GETS", Service.GET), ("TAKES", Service.STORE))
    ]
    serving.rules.rules = replace(serving.rules.rules, listeners=(finder, *others))
    answers = serving.find(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.1")
    assert values(answers, "RetrieveAETitle") == [["GETS", "MOVES"]]


def test_unique_keys_above_the_level_are_answered_unasked(archive: None, serve: Serve) -> None:
    (_, answer), *_ = serve().find(PATIENT_FIND, QueryRetrieveLevel="IMAGE", SOPInstanceUID="1.1.1.2")
    assert answer is not None
    assert (answer.PatientID, answer.StudyInstanceUID, answer.SeriesInstanceUID) == ("P1", "1.1", "1.1.1")


@pytest.mark.parametrize("level", ["study", " STUDY ", "Study"])
def test_the_level_is_read_in_odd_case_and_with_spaces(archive: None, serve: Serve, level: str) -> None:
    assert len(serve().find(QueryRetrieveLevel=level, StudyInstanceUID="1.1")) == 2


@pytest.mark.parametrize(
    ("keys", "offending"),
    [
        ({"PatientID": "P1"}, 0x00080052),
        ({"QueryRetrieveLevel": "PATIENT", "PatientID": "P1"}, 0x00080052),
        ({"QueryRetrieveLevel": "NONSENSE", "PatientID": "P1"}, 0x00080052),
        ({"QueryRetrieveLevel": "STUDY", "StudyDate": "yesterday"}, 0x00080020),
        ({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "../../x"}, 0x0020000D),
        ({"QueryRetrieveLevel": "STUDY", "StudyTime": "noon"}, 0x00080030),
    ],
)
def test_a_wrong_identifier_is_refused_with_the_offending_element(
    archive: None, serve: Serve, keys: dict[str, str], offending: int
) -> None:
    with pydicom.config.disable_value_validation(), serve().call(STUDY_FIND) as assoc:
        ((status, answer),) = assoc.send_c_find(identifier(**keys), STUDY_FIND)
    assert status.Status == MISMATCH
    assert status.OffendingElement == offending
    assert status.ErrorComment
    assert answer is None


def test_a_query_without_a_data_set_is_refused_not_awaited(archive: None, serve: Serve) -> None:
    contexts = [(STUDY_FIND, ["1.2.840.10008.1.2"])]
    with associate("127.0.0.1", serve().port, calling_ae_title="X", called_ae_title="PACS", contexts=contexts) as assoc:
        context = assoc.context_for(STUDY_FIND)
        assert context is not None
        assert (
            assoc._call(context, CommandField.C_FIND, {Tag.AFFECTED_SOP_CLASS_UID: uid(STUDY_FIND)}).status == MISMATCH
        )
        (answer, end) = assoc.c_find(
            context=context,
            identifier=encode(identifier(QueryRetrieveLevel="STUDY", PatientID="P2"), True, True) or b"",
        )
        assert (answer.status, end.status) == (PENDING, SUCCESS)


def test_names_match_without_case_and_accents_other_text_by_its_case(archive: None, serve: Serve) -> None:
    serving = serve()
    assert len(serving.find(QueryRetrieveLevel="STUDY", PatientName="dÖE^JANE^^ ")) == 3
    assert values(serving.find(QueryRetrieveLevel="STUDY", AccessionNumber="ACC1"), "StudyInstanceUID") == ["1.1"]
    assert values(serving.find(QueryRetrieveLevel="STUDY", AccessionNumber="acc*"), "StudyInstanceUID") == ["1.3"]


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"StudyDate": "20240115"}, ["1.1"]),
        ({"StudyDate": "20240101-"}, ["1.1", "1.2"]),
        ({"StudyDate": "-20240115"}, ["1.1", "1.3"]),
        ({"StudyTime": "0800-1030"}, ["1.1", "1.2"]),
        ({"ModalitiesInStudy": "SR"}, ["1.1"]),
        ({"ModalitiesInStudy": "C*"}, ["1.1", "1.3"]),
        ({"ModalitiesInStudy": ["MR", "SR"]}, ["1.1", "1.2"]),
        ({"SOPClassesInStudy": rows.SR}, ["1.1"]),
        ({"StudyInstanceUID": ["1.1", "1.3", "9.9"]}, ["1.1", "1.3"]),
        ({"PatientName": "Do?^J*", "PatientSex": "M"}, ["1.3"]),
        ({"Modality": "SR"}, ["1.1"]),
        ({"PatientName": "*"}, ["1.1", "1.2", "1.3"]),
        ({"PatientName": "%"}, []),
        ({"AccessionNumber": "ACC_"}, []),
    ],
)
def test_keys_match_as_the_standard_says(archive: None, serve: Serve, keys: dict[str, Any], found: list[str]) -> None:
    answers = serve().find(QueryRetrieveLevel="STUDY", **keys)
    assert sorted(values(answers, "StudyInstanceUID")) == found
    assert answers[-1] == (SUCCESS, None)


def test_numbers_of_what_belongs_to_a_study_a_patient_a_series_are_answered(archive: None, serve: Serve) -> None:
    serving = serve()
    (_, study), *_ = serving.find(
        QueryRetrieveLevel="STUDY",
        StudyInstanceUID="1.1",
        NumberOfStudyRelatedSeries="",
        NumberOfStudyRelatedInstances="",
        ModalitiesInStudy="",
        SOPClassesInStudy="",
    )
    assert study is not None
    assert (study.NumberOfStudyRelatedSeries, study.NumberOfStudyRelatedInstances) == (3, 6)
    assert list(study.ModalitiesInStudy) == ["CT", "SR"]
    assert list(study.SOPClassesInStudy) == sorted([rows.CT, rows.SR])
    (_, patient), *_ = serving.find(
        PATIENT_FIND,
        QueryRetrieveLevel="PATIENT",
        PatientID="P1",
        NumberOfPatientRelatedStudies="",
        NumberOfPatientRelatedSeries="",
        NumberOfPatientRelatedInstances="",
    )
    assert patient is not None
    assert patient.NumberOfPatientRelatedStudies == 2
    assert (patient.NumberOfPatientRelatedSeries, patient.NumberOfPatientRelatedInstances) == (4, 8)
    series = serving.find(QueryRetrieveLevel="SERIES", StudyInstanceUID="1.2", NumberOfSeriesRelatedInstances="")
    assert values(series, "NumberOfSeriesRelatedInstances") == [2]


def test_an_optional_key_we_do_not_have_is_said_and_left_out(archive: None, serve: Serve) -> None:
    answers = serve().find(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.1", PatientTelephoneNumbers="555")
    assert statuses(answers) == [UNSUPPORTED, SUCCESS]
    assert answers[0][1] is not None and "PatientTelephoneNumbers" not in answers[0][1]


COMMON_KEYS = """
    StudyDate StudyTime AccessionNumber ModalitiesInStudy ReferringPhysicianName StudyDescription PatientName PatientID
    PatientBirthDate PatientSex StudyInstanceUID StudyID NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances
    InstanceAvailability RetrieveAETitle IssuerOfPatientID SOPClassesInStudy NameOfPhysiciansReadingStudy PatientAge
    AdmittingDiagnosesDescription PatientSize PatientWeight OtherPatientIDs PatientBirthTime EthnicGroup
    PatientComments TimezoneOffsetFromUTC SpecificCharacterSet NumberOfPatientRelatedStudies
    NumberOfPatientRelatedSeries NumberOfPatientRelatedInstances
"""


def test_common_keys_of_workstations_are_all_supported(archive: None, serve: Serve) -> None:
    keys = dict.fromkeys(COMMON_KEYS.split(), "")
    answers = serve().find(QueryRetrieveLevel="STUDY", **keys)
    assert statuses(answers) == [PENDING, PENDING, PENDING, SUCCESS]
    assert answers[0][1] is not None
    assert {element.keyword for element in answers[0][1]} == keys.keys() - {"SpecificCharacterSet"} | {
        "QueryRetrieveLevel"
    }


def test_an_empty_sequence_asks_for_all_of_it_an_item_for_its_keys(archive: None, serve: Serve) -> None:
    serving = serve()
    (_, answer), *_ = serving.find(
        QueryRetrieveLevel="SERIES", SeriesInstanceUID="1.1.1", RequestAttributesSequence=Sequence()
    )
    assert answer is not None
    (item,) = answer.RequestAttributesSequence
    assert (item.RequestedProcedureID, item.ScheduledProcedureStepDescription) == ("RP1", "Head")
    asked = Sequence([identifier(RequestedProcedureID="", AccessionNumber="")])
    (_, answer), *_ = serving.find(
        QueryRetrieveLevel="SERIES", SeriesInstanceUID="1.1.1", RequestAttributesSequence=asked
    )
    assert answer is not None
    assert list(answer.RequestAttributesSequence) == [identifier(AccessionNumber="", RequestedProcedureID="RP1")]


def test_a_sequence_comes_back_as_the_images_had_it(folders: None, serve: Serve) -> None:
    code = identifier(CodeValue="X1", CodingSchemeDesignator="L", CodeMeaning="Schädel")
    item = identifier(ScheduledProcedureStepID="S1", ScheduledProtocolCodeSequence=Sequence([code]))
    item.ScheduledProcedureStepDescription = "Schädel"
    ds = dcmread(BytesIO(data_set(character_set="ISO_IR 100")), force=True)
    ds.RequestAttributesSequence = Sequence([item, identifier(RequestedProcedureID="RP2")])
    receive(encode(ds, False, True) or b"")
    index()
    (_, answer), *_ = serve().find(
        QueryRetrieveLevel="SERIES", SeriesInstanceUID="", RequestAttributesSequence=Sequence()
    )
    assert answer is not None
    assert answer.RequestAttributesSequence == ds.RequestAttributesSequence
    assert answer.SpecificCharacterSet == "ISO_IR 100"


def test_comments_and_lists_longer_than_a_line_are_matched_and_answered_whole(folders: None, serve: Serve) -> None:
    ds = dcmread(BytesIO(data_set()), force=True)
    ds.PatientComments = "\r\n".join(["comes in a wheelchair"] * 80)
    ds.OtherPatientIDs = [f"OTHER-HOSPITAL-{number:03}" for number in range(100)]
    ds.AdmittingDiagnosesDescription = [f"diagnosis {number:03}" for number in range(100)]
    receive(encode(ds, False, True) or b"")
    index()
    keys = {"OtherPatientIDs": "OTHER-HOSPITAL-099", "AdmittingDiagnosesDescription": "*sis 09?"}
    (_, answer), *_ = serve().find(QueryRetrieveLevel="STUDY", PatientComments="", **keys)
    assert answer is not None
    for keyword in ("PatientComments", "OtherPatientIDs", "AdmittingDiagnosesDescription"):
        assert answer[keyword].value == ds[keyword].value


def test_more_patterns_than_a_database_takes_are_refused(archive: None, serve: Serve) -> None:
    answers = serve().find(QueryRetrieveLevel="STUDY", AccessionNumber=[f"{number}*" for number in range(2000)])
    assert statuses(answers) == [MISMATCH]


def test_a_database_that_is_away_is_out_of_resources(
    archive: None, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise OperationalError("connection refused")

    serving = serve()
    monkeypatch.setattr(results, "pages", away)
    assert statuses(serving.find(QueryRetrieveLevel="STUDY", PatientID="P1")) == [LIMIT]


def test_keys_in_a_sequence_match_one_and_the_same_item(archive: None, serve: Serve) -> None:
    serving = serve()

    def series(**keys: str) -> list[str]:
        asked = Sequence([identifier(**keys)])
        return values(
            serving.find(QueryRetrieveLevel="SERIES", SeriesInstanceUID="", RequestAttributesSequence=asked),
            "SeriesInstanceUID",
        )

    assert series(RequestedProcedureID="RP*", ScheduledProcedureStepID="S1") == ["1.1.1"]
    assert series(RequestedProcedureID="RP1", ScheduledProcedureStepID="S2") == []


def test_date_and_time_are_one_range_only_when_negotiated(archive: None, serve: Serve) -> None:
    serving = serve()
    keys = {"QueryRetrieveLevel": "STUDY", "StudyDate": "20231231-20240115", "StudyTime": "200000-110000"}
    assert values(serving.find(**keys), "StudyInstanceUID") == []
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid, item.service_class_application_information = STUDY_FIND, b"\x00\x01"
    assert sorted(values(serving.find(extended=[item], **keys), "StudyInstanceUID")) == ["1.1", "1.3"]


def test_a_limit_ends_with_out_of_resources_after_the_answers(archive: None, serve: Serve) -> None:
    answers = serve(query_limit=2).find(QueryRetrieveLevel="STUDY", StudyInstanceUID="")
    assert statuses(answers) == [PENDING, PENDING, LIMIT]


def test_a_limit_just_reached_is_a_success(archive: None, serve: Serve) -> None:
    assert statuses(serve(query_limit=3).find(QueryRetrieveLevel="STUDY", StudyInstanceUID=""))[-1] == SUCCESS


def test_a_peer_that_drops_the_list_on_a_warning_gets_success_at_the_limit(archive: None, serve: Serve) -> None:
    answers = serve(query_limit=2, success_at_limit=True).find(QueryRetrieveLevel="STUDY", StudyInstanceUID="")
    assert statuses(answers) == [PENDING, PENDING, SUCCESS]


def test_a_cancel_stops_between_two_answers(archive: None, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = threading.Event()

    def one_by_one(*arguments: Any) -> Iterator[list[Row]]:
        (page,) = pages(*arguments)
        yield page[:1]
        assert cancelled.wait(20)
        yield page[1:]

    monkeypatch.setattr("apps.network.answering.BATCHES", 1)
    monkeypatch.setattr(results, "pages", one_by_one)
    asked = encode(identifier(QueryRetrieveLevel="STUDY", StudyInstanceUID=""), True, True) or b""
    contexts = [(STUDY_FIND, ["1.2.840.10008.1.2"])]
    with associate("127.0.0.1", serve().port, calling_ae_title="X", called_ae_title="PACS", contexts=contexts) as assoc:
        responses = assoc.c_find(context=assoc.accepted_context(STUDY_FIND), identifier=asked)
        assert next(responses).status == PENDING
        responses.cancel()
        cancelled.set()
        assert [response.status for response in responses] == [CANCEL]


def test_more_answers_than_a_page_come_once_each(transactional_db: None, serve: Serve) -> None:
    for number in range(30):
        patient = rows.patient(f"P{number}", f"Name{number % 7}^X")
        for other in range(20):
            rows.study(patient, f"1.{number}.{other}", series=(), study_date=f"202401{other + 1:02}")
    Study.objects.update(number_of_study_related_instances=1)
    serving = serve()
    for keys in ({}, {"StudyDate": "20240101-20241231"}, {"PatientName": "name*"}, {"PatientID": "P*"}):
        found = values(serving.find(QueryRetrieveLevel="STUDY", **{"StudyInstanceUID": "", **keys}), "StudyInstanceUID")
        assert len(found) == len(set(found)) == 600, keys
