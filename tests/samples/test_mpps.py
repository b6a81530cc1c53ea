"""The samples of the modality performed procedure step, against pynetdicom in both roles."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from dicom.datasets import SYNTAXES, data_set, encode
from dicom.dimse import associate
from dicom.sop_classes import MODALITY_PERFORMED_PROCEDURE_STEP as MPPS
from dicom.values import is_uid
from tests.samples.programs import HOST, sample, serving

pytestmark = pytest.mark.live

UID = "1.2.826.0.1.3680043.10.1461.4711"


@pytest.fixture
def scp(tmp_path: Path) -> Iterator[int]:
    with serving("mpps_scp", tmp_path) as port:
        yield port


@pytest.fixture
def modality(scp: int) -> Iterator[Association]:
    ae = AE("MODALITY")
    ae.add_requested_context(MPPS)
    assoc = ae.associate(HOST, scp)
    assert assoc.is_established
    yield assoc
    assoc.release()


def created(assoc: Association, state: str = "IN PROGRESS", uid: str | None = UID) -> Dataset:
    step = data_set(PerformedProcedureStepStatus=state, PatientName="Müller", SpecificCharacterSet="ISO_IR 100")
    return assoc.send_n_create(step, MPPS, uid)[0]


def changed(assoc: Association, **values: object) -> Dataset:
    return assoc.send_n_set(data_set(**values), MPPS, UID)[0]


def test_a_step_is_kept_as_a_file_that_every_change_goes_into(modality: Association, tmp_path: Path) -> None:
    assert created(modality).Status == 0x0000
    kept = dcmread(tmp_path / f"{UID}.dcm")
    assert (kept.PatientName, kept.PerformedProcedureStepStatus) == ("Müller", "IN PROGRESS")
    series = data_set(SeriesInstanceUID="1.2.3", SeriesDescription="große Serie", SpecificCharacterSet="ISO_IR 192")
    assert changed(modality, SpecificCharacterSet="ISO_IR 192", PerformedSeriesSequence=[series]).Status == 0x0000
    assert changed(modality, PerformedProcedureStepStatus="COMPLETED").Status == 0x0000
    kept = dcmread(tmp_path / f"{UID}.dcm")
    assert (kept.PatientName, kept.PerformedProcedureStepStatus) == ("Müller", "COMPLETED")
    assert kept.PerformedSeriesSequence[0].SeriesDescription == "große Serie"
    assert kept.file_meta.MediaStorageSOPInstanceUID == UID


def test_a_step_is_created_once_and_only_in_progress(modality: Association, tmp_path: Path) -> None:
    assert created(modality, "COMPLETED").Status == 0x0106
    assert not list(tmp_path.iterdir())
    assert created(modality).Status == 0x0000
    assert created(modality).Status == 0x0111


def test_a_step_that_nobody_created_cannot_be_changed(modality: Association) -> None:
    assert changed(modality, PerformedProcedureStepStatus="COMPLETED").Status == 0x0112


def test_a_status_that_is_none_changes_nothing(modality: Association, tmp_path: Path) -> None:
    created(modality)
    assert changed(modality, PerformedProcedureStepStatus="PAUSED", StudyID="7").Status == 0x0106
    assert "StudyID" not in dcmread(tmp_path / f"{UID}.dcm")


@pytest.mark.parametrize("final", ["COMPLETED", "DISCONTINUED"])
def test_a_step_that_is_over_stays_as_it_is(modality: Association, tmp_path: Path, final: str) -> None:
    created(modality)
    assert changed(modality, PerformedProcedureStepStatus=final).Status == 0x0000
    answer = changed(modality, PerformedProcedureStepStatus="IN PROGRESS")
    assert (answer.Status, answer.ErrorID) == (0x0110, 0xA710)
    assert answer.ErrorComment == "Performed Procedure Step Object may no longer be updated"
    assert dcmread(tmp_path / f"{UID}.dcm").PerformedProcedureStepStatus == final


def test_a_uid_is_made_where_none_is_given(modality: Association, tmp_path: Path) -> None:
    assert created(modality, uid=None).Status == 0x0000
    (path,) = tmp_path.iterdir()
    assert is_uid(path.stem)


def test_a_uid_never_becomes_a_path(scp: int, tmp_path: Path) -> None:
    contexts = [(MPPS, SYNTAXES)]
    step = encode(data_set(PerformedProcedureStepStatus="IN PROGRESS"), SYNTAXES[0])
    with associate(HOST, scp, calling_ae_title="ME", called_ae_title="YOU", contexts=contexts) as assoc:
        context = assoc.accepted_context(MPPS)
        answer = assoc.n_create(context=context, sop_class_uid=MPPS, sop_instance_uid="../escaped", data=step)
    assert answer.status == 0x0117
    assert not list(tmp_path.parent.glob("escaped*"))


class Ris:
    """pynetdicom's SCP; what it was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Dataset]] = []
        self.status = 0x0000
        ae = AE("RIS")
        ae.add_supported_context(MPPS)
        handlers = [(evt.EVT_N_CREATE, self._create), (evt.EVT_N_SET, self._set)]
        self.server = ae.start_server((HOST, 0), block=False, evt_handlers=handlers)
        self.port = self.server.server_address[1]

    def _create(self, event: Event) -> tuple[int, Dataset]:
        return self._take(event.request.AffectedSOPInstanceUID, event.attribute_list)

    def _set(self, event: Event) -> tuple[int, Dataset]:
        return self._take(event.request.RequestedSOPInstanceUID, event.modification_list)

    def _take(self, uid: str, ds: Dataset) -> tuple[int, Dataset]:
        ds.decode()
        self.sent.append((uid, ds))
        return self.status, Dataset()


@pytest.fixture
def ris() -> Iterator[Ris]:
    made = Ris()
    yield made
    made.server.shutdown()


WORKLIST = {
    "PatientName": "Müller^Jörg",
    "PatientID": "4711",
    "Modality": "CT",
    "AccessionNumber": "A1",
    "StudyInstanceUID": "1.2.3",
    "RequestedProcedureID": "R1",
    "ScheduledProcedureStepID": "S1",
}


@pytest.mark.parametrize(("option", "final"), [((), "COMPLETED"), (("--discontinue",), "DISCONTINUED")])
def test_our_scu_begins_and_ends_a_step_of_the_worklist(ris: Ris, option: tuple[str, ...], final: str) -> None:
    values = [f"{keyword}={text}" for keyword, text in WORKLIST.items()]
    done = sample("mpps_scu", HOST, ris.port, *values, "--calling", "CT1", *option)
    assert done.returncode == 0, done.stderr
    (uid, begun), (same, ended) = ris.sent
    assert uid == same and uid in done.stdout
    assert (begun.PerformedProcedureStepStatus, ended.PerformedProcedureStepStatus) == ("IN PROGRESS", final)
    assert begun.PerformedStationAETitle == "CT1"
    scheduled = begun.ScheduledStepAttributesSequence[0]
    assert {keyword: str((begun if keyword in begun else scheduled)[keyword].value) for keyword in WORKLIST} == WORKLIST
    assert len(begun.PerformedProcedureStepStartDate) == 8 and not begun.PerformedProcedureStepEndDate
    assert len(ended.PerformedProcedureStepEndTime) == 6
    assert ended.PerformedSeriesSequence[0].SeriesInstanceUID


def test_our_scu_says_what_it_was_refused_with(ris: Ris) -> None:
    ris.status = 0x0111
    done = sample("mpps_scu", HOST, ris.port)
    assert done.returncode != 0 and "Status 0111" in done.stderr
    assert len(ris.sent) == 1


def test_our_scu_and_our_scp(scp: int, tmp_path: Path) -> None:
    assert sample("mpps_scu", HOST, scp, "PatientID=4711").returncode == 0
    (kept,) = map(dcmread, tmp_path.glob("*.dcm"))
    assert (kept.PatientID, kept.PerformedProcedureStepStatus) == ("4711", "COMPLETED")
