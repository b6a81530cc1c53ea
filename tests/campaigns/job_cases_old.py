"""Cases of the campaign of kills: what is old and goes."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from apps.accounts.models import AnsweredRequest
from apps.commitment.models import CommitmentRequest, Direction
from apps.jobs.models import Job, JobItem, JobState
from apps.network.models import AssociationLog
from apps.qr import exporting
from apps.routing.models import Destination, RoutedInstance
from tests.campaigns.job_case import (
    OLD,
    At,
    Case,
    own,
)


def _old_associations(at: At) -> Job:
    when = timezone.now() - OLD
    for number in range(3):
        AssociationLog.objects.create(
            association_id=f"old {at.number} {number}", node="x", process=1, began_at=when, ended_at=when
        )
    return own("prune_associations")


def _old_jobs(at: At) -> Job:
    when = timezone.now() - OLD
    for _ in range(3):
        job = own("prune_exports", items=["1", "2"])
        Job.objects.filter(pk=job.pk).update(
            state=JobState.SUCCEEDED, key=f"old {at.number}", created_at=when, ended_at=when
        )
    return own("prune_jobs")


def _old_answers(at: At) -> Job:
    user = User.objects.get(username="admin")
    for number in range(3):
        AnsweredRequest.objects.create(user=user, key=f"{at.number} {number}", began_at=timezone.now() - OLD)
    return own("prune_answers")


def _old_commitments(at: At) -> Job:
    for number in range(3):
        CommitmentRequest.objects.create(
            direction=Direction.RECEIVED,
            transaction_uid=f"1.2.4.{at.number}.{number}",
            calling_ae_title="OLD",
            references=0,
            created_at=timezone.now() - OLD,
        )
    return own("prune_commitments")


def _old_exports(at: At) -> Job:
    when = time.time() - OLD.total_seconds()
    for path in _exports(at):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        os.utime(path, (when, when))
    return own("prune_exports")


def _old_marks(at: At) -> Job:
    destination = Destination.objects.create(last_name=f"old {at.number}")
    for number in range(3):
        uid, when = f"1.2.5.{at.number}.{number}", timezone.now() - OLD
        RoutedInstance.objects.create(
            destination=destination, sop_instance_uid=uid, digest="x", rule=1, job=1, routed_at=when
        )
    return own("prune_routed")


def _marks(at: At) -> bool:
    kept = RoutedInstance.objects.filter(sop_instance_uid__startswith=f"1.2.5.{at.number}.")
    return kept.exists() or Destination.objects.filter(last_name=f"old {at.number}").exists()


def _exports(at: At) -> list[Path]:
    return [exporting.folder() / f"old-{at.number}-{number}.zip" for number in range(3)]


def _gone(rows: Callable[[At], Any]) -> Callable[[At, Job], None]:
    def check(at: At, job: Job) -> None:
        assert not rows(at), "something old is left"

    return check


CASES: Mapping[str, Case] = {
    "prune_associations": Case(
        _old_associations,
        _gone(lambda at: AssociationLog.objects.filter(association_id__startswith=f"old {at.number} ").exists()),
    ),
    "prune_jobs": Case(
        _old_jobs,
        _gone(
            lambda at: (
                Job.objects.filter(key=f"old {at.number}").exists()
                or JobItem.objects.filter(job__key=f"old {at.number}").exists()
            )
        ),
    ),
    "prune_answers": Case(
        _old_answers, _gone(lambda at: AnsweredRequest.objects.filter(key__startswith=f"{at.number} ").exists())
    ),
    "prune_commitments": Case(
        _old_commitments,
        _gone(lambda at: CommitmentRequest.objects.filter(transaction_uid__startswith=f"1.2.4.{at.number}.").exists()),
    ),
    "prune_routed": Case(_old_marks, _gone(_marks)),
    "prune_exports": Case(_old_exports, _gone(lambda at: [path for path in _exports(at) if path.exists()])),
}
