"""What the conformance statement says, asked of a running installation by pynetdicom and over HTTP."""

import json
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UID_dictionary
from pynetdicom import AE, build_context
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (
    ModalityWorklistInformationFind,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from apps.worklist.attributes import snake_case
from tests.node import Node
from tests.pacs.conformance import reading

CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY = "1.2.3.99"
ACCEPTED, ABSTRACT_SYNTAX, TRANSFER_SYNTAX = 0, 3, 4
_VALUES = {"DA": "20200102", "TM": "101112", "PN": "Doe^Jane", "IS": "7", "DS": "1.5", "US": 16, "AS": "040Y"}
_STEP = "ScheduledProcedureStepSequence"

Proposal = tuple[str, str]


def _instance() -> Dataset:
    """With a value of its own in each attribute that the statement has at the levels of a query."""
    ds = Dataset()
    for number, (_, _, tag, vr, *_) in enumerate(reading.rows("Query (PS3.4 annex C)", 6)):
        keyword = keyword_for_tag(int(tag.replace(",", ""), 16))
        if vr not in ("SQ", "UI") and not keyword.startswith("NumberOf"):
            setattr(ds, keyword, _VALUES.get(vr) or f"V{number}")
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = STUDY, f"{STUDY}.1", f"{STUDY}.1.1"
    ds.SOPClassUID, ds.Modality, ds.PatientSex, ds.Laterality = CT, "CT", "F", "L"
    ds.ModalitiesInStudy, ds.SOPClassesInStudy, ds.AvailableTransferSyntaxUID = "CT", CT, ExplicitVRLittleEndian
    item = Dataset()
    item.RequestedProcedureID, item.ScheduledProcedureStepID = "RP1", "SPS1"
    ds.RequestAttributesSequence = [item]
    return ds


@dataclass(frozen=True, slots=True)
class Installation:
    node: Node
    instance: Dataset

    def results(self, proposals: Sequence[Proposal]) -> dict[Proposal, int]:
        """Of one context each; Verification goes with them, so that an association comes about."""
        found: dict[Proposal, int] = {}
        for start in range(0, len(proposals), 127):
            ae = AE("CONFORM")
            contexts = [
                build_context(Verification, ExplicitVRLittleEndian),
                *(build_context(abstract, [syntax]) for abstract, syntax in proposals[start : start + 127]),
            ]
            assoc = ae.associate(self.node.host, self.node.dimse_port, ae_title="PACS", contexts=contexts)
            assert assoc.is_established
            for answer in (*assoc.accepted_contexts, *assoc.rejected_contexts):
                (syntax,) = _proposed(contexts, answer)
                found[str(answer.abstract_syntax), syntax] = answer.result or 0
            assoc.release()
        return found

    def find(self, model: str, keys: Dataset) -> list[int]:
        """Statuses of the answers, without the last."""
        ae = AE("CONFORM")
        assoc = ae.associate(self.node.host, self.node.dimse_port, ae_title="PACS", contexts=[build_context(model)])
        assert assoc.is_established
        statuses = [status.Status for status, _ in assoc.send_c_find(keys, model)]
        assoc.release()
        assert statuses[-1] == 0
        return statuses[:-1]

    def search(self, level: str, **keys: str) -> tuple[int, str]:
        """How many there are, and the Warning."""
        request = self.request(f"/dicomweb/{level}?{urlencode(keys)}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return len(json.loads(answer.read() or b"[]")), answer.headers.get("Warning", "")

    def request(self, path: str, document: Any = None) -> urllib.request.Request:
        password = b64encode(f"admin:{self.node.admin_password}".encode()).decode()
        headers = {"Authorization": f"Basic {password}", "Content-Type": "application/json"}
        data = None if document is None else json.dumps(document).encode()
        return urllib.request.Request(f"http://{self.node.host}:{self.node.http_port}{path}", data, headers)


def _proposed(contexts: Sequence[PresentationContext], answer: PresentationContext) -> Sequence[str]:
    number = (answer.context_id or 0) // 2
    return [str(uid) for uid in contexts[number].transfer_syntax]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Node(tmp_path_factory.mktemp("conform"), PACS_PROCESSES="1", PACS_READY_ROLES="listeners,indexer") as node:
        node.manage("prepare")
        node.start("listeners", "indexer", "web")
        made = Installation(node, _instance())
        _store(node, made.instance)
        order = {snake_case(keyword): value for keyword, value in _ORDERED.items()}
        urllib.request.urlopen(made.request("/api/worklist/", order), timeout=30).close()
        yield made


_ORDERED = {
    "PatientID": "WL1",
    "IssuerOfPatientID": "HOSP",
    "PatientName": "Doe^Jane",
    "PatientBirthDate": "19800102",
    "PatientSex": "F",
    "OtherPatientIDs": "WL2",
    "AdmissionID": "ADM1",
    "AccessionNumber": "A0001",
    "RequestingPhysician": "Roe^Richard",
    "ReferringPhysicianName": "Poe^Paula",
    "PlacerOrderNumberImagingServiceRequest": "PL1",
    "FillerOrderNumberImagingServiceRequest": "FI1",
    "RequestedProcedureID": "RP1",
    "StudyInstanceUID": "1.2.3.98",
    "RequestedProcedureDescription": "CT head",
    "RequestedProcedurePriority": "HIGH",
    "ScheduledProcedureStepID": "SPS1",
    "Modality": "CT",
    "ScheduledStationAETitle": "CT1",
    "ScheduledStationName": "ROOM1",
    "ScheduledProcedureStepStartDate": "20261125",
    "ScheduledProcedureStepStartTime": "0830",
    "ScheduledPerformingPhysicianName": "Low^Laura",
    "ScheduledProcedureStepDescription": "CT head plain",
    "ScheduledProcedureStepLocation": "HOUSE1",
    "CommentsOnTheScheduledProcedureStep": "carefully",
}


def _store(node: Node, ds: Dataset) -> None:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ae = AE("CONFORM")
    assoc = ae.associate(
        node.host, node.dimse_port, ae_title="PACS", contexts=[build_context(CT, ExplicitVRLittleEndian)]
    )
    assert assoc.send_c_store(ds).Status == 0
    assoc.release()  # answered when it is indexed


def _unlisted(kinds: Sequence[str], listed: Sequence[str]) -> list[str]:
    return [uid for uid, (_, kind, *_) in UID_dictionary.items() if kind in kinds and uid not in listed]


def test_each_sop_class_is_accepted_in_each_of_its_transfer_syntaxes(installation: Installation) -> None:
    said = [(uid, syntax) for uid, syntaxes in reading.sop_classes().items() for syntax in syntaxes]
    results = installation.results(said)
    assert [proposal for proposal in said if results[proposal] != ACCEPTED] == []
    assert len(said) > 5000


def test_what_is_not_in_the_statement_is_refused(installation: Installation) -> None:
    others = _unlisted(["SOP Class", "Meta SOP Class"], list(reading.sop_classes()))
    results = installation.results([(uid, ExplicitVRLittleEndian) for uid in others])
    assert set(results.values()) == {ACCEPTED, ABSTRACT_SYNTAX}  # accepted: Verification, which goes along
    assert [uid for (uid, _), result in results.items() if result == ACCEPTED] == [Verification]
    assert len(others) > 50


def test_a_transfer_syntax_that_is_not_in_the_statement_is_refused(installation: Installation) -> None:
    stored = _unlisted(["Transfer Syntax"], reading.transfer_syntaxes())
    plain = _unlisted(["Transfer Syntax"], reading.uids(reading.PLAIN))
    asked = [(CT, uid) for uid in stored] + [(str(StudyRootQueryRetrieveInformationModelFind), uid) for uid in plain]
    results = installation.results(asked)
    assert {results[proposal] for proposal in asked} == {TRANSFER_SYNTAX}
    assert len(stored) > 4 and len(plain) > 30


def _attributes() -> list[Any]:
    return [
        pytest.param(*row, id=keyword_for_tag(int(row[2].replace(",", ""), 16)))
        for row in reading.rows("Query (PS3.4 annex C)", 6)
        if row[3] != "SQ"
    ]


def _asked(installation: Installation, tag: str) -> tuple[str, str]:
    keyword = keyword_for_tag(int(tag.replace(",", ""), 16))
    return keyword, str(installation.instance.get(keyword, "1"))


@pytest.mark.parametrize(("level", "_name", "tag", "vr", "_usage", "matching"), _attributes())
def test_a_key_is_matched_or_said_not_to_be_as_stated(
    installation: Installation, level: str, _name: str, tag: str, vr: str, _usage: str, matching: str
) -> None:
    keyword, value = _asked(installation, tag)
    keys = Dataset()
    keys.StudyInstanceUID = STUDY
    if level in ("SERIES", "IMAGE"):
        keys.SeriesInstanceUID = f"{STUDY}.1"
    keys.QueryRetrieveLevel = "STUDY" if level == "PATIENT" else level
    setattr(keys, keyword, int(value) if vr == "US" else value)
    pending = 0xFF01 if matching == "-" else 0xFF00
    assert installation.find(StudyRootQueryRetrieveInformationModelFind, keys) == [pending]


@pytest.mark.parametrize(("level", "_name", "tag", "vr", "_usage", "matching"), _attributes())
def test_a_search_of_the_web_by_a_stated_attribute_finds_what_has_it(
    installation: Installation, level: str, _name: str, tag: str, vr: str, _usage: str, matching: str
) -> None:
    keyword, value = _asked(installation, tag)
    place = {"SERIES": "series", "IMAGE": "instances"}.get(level, "studies")
    found, warning = installation.search(place, **{keyword: value})
    if matching == "-":
        assert keyword in warning
        return
    assert (found, warning) == (1, "")
    if matching == "ignored":
        return
    other = {"DA": "19990101", "TM": "235959", "IS": "8", "UI": "1.2.9"}.get(vr, "elsewhere")
    assert installation.search(place, **{keyword: other}) == (0, "")
    if "wildcard" in matching:
        assert installation.search(place, **{keyword: f"{value[:-1]}*"}) == (1, "")
    if "range" in matching:
        assert installation.search(place, **{keyword: f"{value}-"}) == (1, "")


def test_items_of_requests_are_matched_as_stated(installation: Installation) -> None:
    for keyword, value in (("RequestedProcedureID", "RP1"), ("ScheduledProcedureStepID", "SPS1")):
        assert installation.search("series", **{f"RequestAttributesSequence.{keyword}": value}) == (1, "")
        assert installation.search("series", **{f"RequestAttributesSequence.{keyword}": "9"}) == (0, "")


def _worklist() -> list[Any]:
    return [
        pytest.param(*row, id=keyword_for_tag(int(row[2].replace(",", ""), 16)))
        for row in reading.rows("Modality Worklist (PS3.4 annex K)", 6)
        if row[5] != "-"
    ]


@pytest.mark.parametrize(("module", "_name", "tag", "vr", "_type", "_matching"), _worklist())
def test_a_key_of_the_worklist_is_matched_as_stated(
    installation: Installation, module: str, _name: str, tag: str, vr: str, _type: str, _matching: str
) -> None:
    keyword = keyword_for_tag(int(tag.replace(",", ""), 16))
    value = {"ScheduledProcedureStepStatus": "SCHEDULED", **_ORDERED}[keyword]
    other = {"DA": "19990101", "TM": "235959", "UI": "1.2.9"}.get(vr, "ELSEWHERE")
    for asked, statuses in ((value, [0xFF00]), (other, [])):
        keys = Dataset()
        step = Dataset()
        setattr(step if module == "scheduled procedure step" else keys, keyword, asked)
        setattr(keys, _STEP, [step])
        assert installation.find(ModalityWorklistInformationFind, keys) == statuses
