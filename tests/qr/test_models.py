"""The information models of C-FIND: which levels, which keys, who must ask how (WIRE 19)."""

import pytest
from pynetdicom.dsutils import encode
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import PatientStudyOnlyQueryRetrieveInformationModelFind

from apps.accounts.principal import Kind, Principal
from apps.qr.attributes import InformationModel
from apps.qr.query import from_identifier
from apps.qr.results import Answers
from dicom.sop_classes import Service
from tests.qr import rows
from tests.qr.conftest import Serve
from tests.qr.rows import EXPLICIT_LITTLE
from tests.qr.serving import PATIENT_FIND, STUDY_FIND, identifier, statuses, values

PENDING, UNSUPPORTED, SUCCESS, CANCEL, MISMATCH, LIMIT = 0xFF00, 0xFF01, 0x0000, 0xFE00, 0xA900, 0xA700


def test_a_patient_without_id_is_no_patient_of_the_patient_root(serve: Serve, transactional_db: None) -> None:
    rows.study(rows.patient("", "Nobody^Known", sole_study_instance_uid="1.9"), "1.9")
    serving = serve()
    assert statuses(serving.find(PATIENT_FIND, QueryRetrieveLevel="PATIENT", PatientName="Nobody*")) == [SUCCESS]
    answers = serving.find(QueryRetrieveLevel="STUDY", PatientName="Nobody*", PatientID="")
    assert values(answers, "StudyInstanceUID") == ["1.9"]


def test_a_study_without_instances_is_not_found(serve: Serve, transactional_db: None) -> None:
    rows.study(rows.patient(), "1.9", series=())
    serving = serve()
    assert statuses(serving.find(QueryRetrieveLevel="STUDY", PatientID="P1")) == [SUCCESS]
    assert statuses(serving.find(PATIENT_FIND, QueryRetrieveLevel="PATIENT", PatientID="P1")) == [SUCCESS]


@pytest.mark.parametrize(
    ("keys", "offending"),
    [
        ({"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": ""}, 0x0020000D),
        (
            {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": "1.1", "SeriesInstanceUID": "", "StudyDate": ""},
            0x80020,
        ),
        ({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "", "Modality": "CT"}, 0x00080060),
        ({"QueryRetrieveLevel": "STUDY", "PatientName": "Doe*"}, 0x0020000D),
        ({"QueryRetrieveLevel": "study", "StudyInstanceUID": ""}, 0x00080052),
    ],
)
def test_a_strict_peer_asks_hierarchically(archive: None, serve: Serve, keys: dict[str, str], offending: int) -> None:
    with serve(strict_identifiers=True).call(STUDY_FIND) as assoc:
        ((status, _),) = assoc.send_c_find(identifier(**keys), STUDY_FIND)
    assert (status.Status, status.OffendingElement) == (MISMATCH, offending)


def test_a_strict_peer_that_asks_as_the_standard_says_is_answered(archive: None, serve: Serve) -> None:
    serving = serve(strict_identifiers=True)
    assert len(serving.find(QueryRetrieveLevel="STUDY", PatientName="doe*", StudyInstanceUID="")) == 4
    assert len(serving.find(QueryRetrieveLevel="SERIES", StudyInstanceUID="1.1", SeriesInstanceUID="")) == 4


def test_a_strict_peer_may_ask_relationally_once_that_is_negotiated(archive: None, serve: Serve) -> None:
    keys = {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": "", "PatientID": "P1", "Modality": "CT"}
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid, item.service_class_application_information = STUDY_FIND, b"\x01"
    serving = serve(strict_identifiers=True)
    assert sorted(values(serving.find(extended=[item], **keys), "SeriesInstanceUID")) == ["1.1.1", "1.1.2"]
    assert statuses(serving.find(**keys)) == [MISMATCH]


def test_the_model_for_old_workstations_knows_patients_and_studies_only(archive: None, serve: Serve) -> None:
    model = PatientStudyOnlyQueryRetrieveInformationModelFind
    serving = serve()
    assert len(serving.find(model, QueryRetrieveLevel="PATIENT", PatientID="P1")) == 2
    assert len(serving.find(model, QueryRetrieveLevel="STUDY", PatientID="P1")) == 3
    assert statuses(serving.find(model, QueryRetrieveLevel="SERIES", PatientID="P1")) == [MISMATCH]


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
def test_answers_come_in_the_transfer_syntax_of_the_context(archive: None, serve: Serve, syntax: str) -> None:
    keys = {
        "QueryRetrieveLevel": "IMAGE",
        "SOPInstanceUID": "1.1.1.1",
        "Rows": None,
        "ImageType": "",
        "SOPClassUID": "",
    }
    with serve().call(STUDY_FIND, transfer_syntaxes=[syntax]) as assoc:
        ((_, answer), _) = assoc.send_c_find(identifier(**keys), STUDY_FIND)
    assert answer is not None
    assert (answer.Rows, answer.SOPClassUID, list(answer.ImageType)) == (512, rows.CT, ["ORIGINAL", "PRIMARY"])


def test_a_query_with_thousands_of_uids_is_answered(archive: None, serve: Serve) -> None:
    uids = [f"9.{number}" for number in range(5000)] + ["1.1", "1.3"]
    answers = serve().find(QueryRetrieveLevel="STUDY", StudyInstanceUID=uids)
    assert sorted(values(answers, "StudyInstanceUID")) == ["1.1", "1.3"]


def test_what_a_principal_may_not_see_is_not_counted_either(archive: None) -> None:
    nobody = Principal(kind=Kind.PEER, name="nobody", services=frozenset({Service.STORE}))
    asked = identifier(QueryRetrieveLevel="PATIENT", PatientID="P1", NumberOfPatientRelatedStudies="")
    query = from_identifier(
        encode(asked, False, True), transfer_syntax_uid=EXPLICIT_LITTLE, model=InformationModel.PATIENT_ROOT
    )
    assert not list(Answers(query, nobody, transfer_syntax_uid=EXPLICIT_LITTLE, retrieve_ae_title="PACS"))
