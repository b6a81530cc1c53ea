"""Jobs while the storage of the archive does not answer: they wait, and nothing fails for good."""

from collections.abc import Mapping
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.principal import system
from apps.jobs import kind
from apps.jobs.models import Job, JobState
from apps.jobs.runner import run_due
from apps.storage.store import Away, store
from tests.qr.files import keep
from tests.qr.jobs import destination
from tests.qr.receiver import Receiver

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("folders")]

STUDY = {"study_instance_uids": ["1.2.3"]}


def ran(job: Job) -> Job:
    Job.objects.filter(state=JobState.QUEUED).update(due_at=timezone.now())
    run_due()
    job.refresh_from_db()
    return job


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("send", {"peer": "workstation", **STUDY}),
        ("export", STUDY),
        ("export", {"dicomdir": True, **STUDY}),
        ("warm_caches", STUDY),
        ("reindex", {}),
    ],
)
def test_what_needs_the_files_waits_for_them(
    name: str, arguments: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise Away("nobody listens there")

    keep(*range(1, 9))
    with Receiver() as receiver:
        destination(receiver.port)
        job = kind.request(name, principal=system("test"), arguments=arguments)
        with monkeypatch.context() as patch:
            for asked in ("open", "places"):
                patch.setattr(type(store()), asked, away)
            ran(job)
        assert (job.state, job.failures) == (JobState.QUEUED, 0)
        assert "The storage of the archive does not answer" in job.error
        assert not receiver.arrived
        assert ran(job).state == JobState.SUCCEEDED
