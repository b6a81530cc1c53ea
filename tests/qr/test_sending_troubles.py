"""The kind of job "send" to peers in trouble of every sort: why stands at the job, nobody else waits, and afterwards
everybody has everything."""

from contextlib import ExitStack
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.jobs import queue
from apps.jobs.models import Job, JobState
from apps.jobs.runner import run_due
from apps.qr import sending
from dicom import status
from dicom.dimse import Association, Message, Timeouts
from tests.node import free_port
from tests.qr.files import SR, assert_same, keep
from tests.qr.jobs import ME, asked, destination
from tests.qr.receiver import Receiver
from tests.storage.made import CT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("folders")]

BOTH = (CT, SR)
NOT_TAKEN = "0122: SOP class not supported: The receiver does not accept this SOP class"


class Closing(Receiver):
    """Ends the association after each instance, in its way."""

    how = ""

    def _store(self, assoc: Association, message: Message) -> None:
        super()._store(assoc, message)
        {"abort": assoc.abort, "release": assoc.release, "close": assoc.close}[self.how]()


@pytest.mark.parametrize("how", ["abort", "release", "close"])
def test_a_peer_that_is_through_after_each_instance_gets_all_of_them(how: str) -> None:
    kept = keep(*range(1, 7))
    with Closing() as receiver:
        receiver.how = how
        destination(receiver.port)
        job = asked()
        attempts()
    job.refresh_from_db()
    assert (job.state, job.done) == (JobState.SUCCEEDED, 6)
    assert_same(kept, {one.sop_instance_uid: one.data_set for one in receiver.arrived})


def attempts(number: int = 3) -> None:
    """Of all that waits, as if the time had come."""
    for _ in range(number):
        Job.objects.filter(state=JobState.QUEUED).update(due_at=timezone.now())
        run_due()


def told(client: Client, job: Job) -> tuple[str, str, set[str]]:
    """State, reason, and those of items, as REST shows them."""
    document: dict[str, Any] = client.get(f"/api/jobs/{job.pk}/").json()
    items = client.get(f"/api/jobs/{job.pk}/items/?limit=100").json()["results"]
    return document["state"], document["error"], {each["error"] for each in items if each["error"]}


def test_why_something_is_not_sent_stands_at_each_job_and_the_others_go_on(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_PATIENCE", Timeouts(connect=5, acse=5, dimse=3))
    kept = keep(*range(1, 5)) | keep(1, series="1.2.3.2", sop_class=SR, modality="SR")
    with ExitStack() as stack:
        slow = stack.enter_context(Receiver(lambda number, assoc: slow.hang(), sop_classes=BOTH))
        picky = stack.enter_context(Receiver(sop_classes=(CT,)))
        nothing = stack.enter_context(Receiver(sop_classes=()))
        refusing = stack.enter_context(Receiver(refuse=True))
        forbidding = stack.enter_context(Receiver(lambda number, assoc: status.NOT_AUTHORIZED, sop_classes=BOTH))
        well = stack.enter_context(Receiver(sop_classes=BOTH))
        receivers = {
            **{"slow": slow, "picky": picky, "nothing": nothing},
            **{"refusing": refusing, "forbidding": forbidding, "well": well},
        }
        ports = {"down": free_port(), **{name: receiver.port for name, receiver in receivers.items()}}
        for name, port in ports.items():
            destination(port, name)
        jobs = {name: asked(name) for name in ports}
        attempts(1)
        found = {name: told(admin_client, job) for name, job in jobs.items()}
    assert found.pop("well") == ("succeeded", "", set())
    assert found.pop("picky") == ("failed", "1 of 5 failed", {NOT_TAKEN})
    assert found.pop("nothing") == ("failed", "5 of 5 failed", {NOT_TAKEN})
    assert found.pop("forbidding") == ("failed", "5 of 5 failed", {"0124: Not authorised"})
    down, slow_one, refused = found["down"], found["slow"], found["refusing"]
    assert {state for state, _, _ in found.values()} == {"queued"}
    assert down[1].startswith("5 of 5 still to be sent: Cannot connect to 127.0.0.1")
    assert slow_one[1].startswith("5 of 5 still to be sent: Timed out")
    assert "rejected the association" in refused[1]
    with Receiver(sop_classes=BOTH) as receiver:
        for name in ports:
            destination(receiver.port, name)
        for job in jobs.values():
            queue.retry(job, principal=ME)
        attempts()
    arrived = {one.sop_instance_uid: one.data_set for one in receiver.arrived}
    assert_same(kept, arrived)
    assert set(Job.objects.values_list("state", "done")) == {(JobState.SUCCEEDED, 5)}
