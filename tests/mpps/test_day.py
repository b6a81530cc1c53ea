"""A modality's day, with programs of others: worklist by findscu, reports by dcmjs-dimse, images by storescu."""

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.data import get_testdata_file

from tests.mpps import dcmjs
from tests.mpps.reporting import begun, ended, scheduled
from tests.node import Node, wait_for
from tests.peers import peer

pytestmark = pytest.mark.live
MODALITIES = 50


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("day")) as node:
        yield node.start()


def schedule(node: Node, stations: list[str]) -> None:
    """A step for each, of a patient each; the study of station N is 1.2.826.N."""
    node.shell(
        "from apps.accounts.principal import system\n"
        "from apps.worklist import schedule\n"
        "from apps.worklist.order import Order\n"
        f"for name in {stations!r}:\n"
        "    number = name[2:]\n"
        "    schedule.schedule(principal=system('test'), order=Order(patient_id=f'P{number}', "
        "patient_name=f'Doe^{number}', accession_number=f'A{number}', requested_procedure_id=f'R{number}', "
        "scheduled_procedure_step_id=f'S{number}', study_instance_uid=f'1.2.826.{number}', modality='CT', "
        "scheduled_station_ae_title=name))\n"
    )


def worklist(node: Node, station: str) -> str:
    """What findscu shows of the station's steps."""
    keys = ["PatientID", "StudyInstanceUID", "AccessionNumber", "RequestedProcedureID"]
    item = "ScheduledProcedureStepSequence[0]"
    step = [
        f"{item}.ScheduledStationAETitle={station}",
        f"{item}.ScheduledProcedureStepID",
        f"{item}.ScheduledProcedureStepStatus",
    ]
    command = [peer("findscu"), "-W", "-v", "-aet", station, "-aec", node.ae_title]
    for key in (*keys, *step):
        command += ["-k", key]
    done = subprocess.run([*command, node.host, str(node.dimse_port)], capture_output=True, timeout=120, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def value(answer: str, keyword: str) -> list[str]:
    return re.findall(rf"\[([^\]]*?)\s*\]\s*#.*{keyword}", answer)


def images(folder: Path, number: str) -> list[str]:
    """Two images of the scheduled study, as files; their UIDs."""
    ds = dcmread(str(get_testdata_file("CT_small.dcm")))
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"1.2.826.{number}", f"1.2.826.{number}.1"
    ds.PatientID, ds.PatientName, ds.AccessionNumber = f"P{number}", f"Doe^{number}", f"A{number}"
    uids = [f"1.2.826.{number}.1.{image}" for image in (1, 2)]
    folder.mkdir()
    for uid in uids:
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid
        dcmwrite(folder / f"{uid}.dcm", ds)
    return uids


def statuses(node: Node, numbers: list[str]) -> set[str]:
    rows = node.sql("SELECT scheduled_procedure_step_id, status FROM worklist_scheduledprocedurestep")
    return {status for step, status in rows if step[1:] in numbers}


def received(node: Node, uid: str) -> str:
    code = (
        "from apps.mpps import progress\n"
        "from apps.mpps.models import PerformedProcedureStep\n"
        f"step = PerformedProcedureStep.objects.get(sop_instance_uid={uid!r})\n"
        "print(progress.of([step.pk])[step.pk])"
    )
    return node.shell(code)


def test_a_modality_fetches_reports_sends_and_ends(running: Node, tmp_path: Path) -> None:
    schedule(running, ["CT1"])
    answer = worklist(running, "CT1")
    assert value(answer, "ScheduledProcedureStepStatus") == ["SCHEDULED"]
    study, accession, step = (
        value(answer, name)[-1] for name in ("StudyInstanceUID", "AccessionNumber", "ScheduledProcedureStepID")
    )
    item = scheduled(StudyInstanceUID=study, AccessionNumber=accession, ScheduledProcedureStepID=step)
    create = dcmjs.elements(begun(item, PatientID="P1", PatientName="Doe^1"))
    tasks = [{"calling": "CT1", "uid": "1.2.9.1", "command": "create", "elements": create}]
    assert dcmjs.report(running, tasks) == {"1.2.9.1": 0x0000}
    assert value(worklist(running, "CT1"), "ScheduledProcedureStepStatus") == ["STARTED"]
    uids = images(tmp_path / "images", "1")
    called = ["-aec", running.ae_title, running.host, str(running.dimse_port)]
    files = [str(path) for path in sorted((tmp_path / "images").iterdir())]
    assert subprocess.run([peer("storescu"), *called, files[0]], capture_output=True, timeout=60).returncode == 0
    tasks = [
        {"calling": "CT1", "uid": "1.2.9.1", "command": "set", "elements": dcmjs.elements(ended("COMPLETED", *uids))}
    ]
    assert dcmjs.report(running, tasks) == {"1.2.9.1": 0x0000}
    assert statuses(running, ["1"]) == {"COMPLETED"}
    assert not value(worklist(running, "CT1"), "ScheduledProcedureStepStatus")
    wait_for(lambda: received(running, "1.2.9.1") == "1 of 2 received", every=1, what="the first image")
    assert subprocess.run([peer("storescu"), *called, files[1]], capture_output=True, timeout=60).returncode == 0
    wait_for(lambda: received(running, "1.2.9.1") == "2 of 2 received", every=1, what="the second image")


def test_fifty_modalities_have_their_day_at_once(running: Node, tmp_path: Path) -> None:
    numbers = [str(100 + number) for number in range(MODALITIES)]
    schedule(running, [f"CT{number}" for number in numbers])
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: worklist(running, f"CT{number}"), numbers))
    assert [value(answer, "ScheduledProcedureStepID")[-1] for answer in answers] == [f"S{number}" for number in numbers]

    def item(number: str) -> dict[str, object]:
        step = scheduled(
            StudyInstanceUID=f"1.2.826.{number}", AccessionNumber=f"A{number}", ScheduledProcedureStepID=f"S{number}"
        )
        return dcmjs.elements(begun(step, PatientID=f"P{number}", PatientName=f"Doe^{number}"))

    create = [
        {"calling": f"CT{number}", "uid": f"1.2.9.{number}", "command": "create", "elements": item(number)}
        for number in numbers
    ]
    assert set(dcmjs.report(running, create).values()) == {0x0000}
    assert statuses(running, numbers) == {"STARTED"}
    uids = {number: images(tmp_path / number, number) for number in numbers}

    def store(number: str) -> int:
        command = [peer("storescu"), "+sd", "-aet", f"CT{number}", "-aec", running.ae_title]
        command += [running.host, str(running.dimse_port), str(tmp_path / number)]
        return subprocess.run(command, capture_output=True, timeout=120).returncode

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(store, numbers)) == {0}
    final = [
        {
            "calling": f"CT{number}",
            "uid": f"1.2.9.{number}",
            "command": "set",
            "elements": dcmjs.elements(ended("COMPLETED", *uids[number])),
        }
        for number in numbers
    ]
    assert set(dcmjs.report(running, final).values()) == {0x0000}
    assert statuses(running, numbers) == {"COMPLETED"}
    arrived = (
        "SELECT COUNT(*) FROM mpps_performedinstance p JOIN storage_instance i ON i.sop_instance_uid = "
        "p.sop_instance_uid WHERE p.sop_instance_uid LIKE '1.2.826.1__.1._'"
    )
    wait_for(lambda: running.sql(arrived) == [(2 * MODALITIES,)], what="all images")
