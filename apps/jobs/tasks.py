"""The Celery task: an answer to the doorbell."""

from celery import shared_task

from apps.jobs.bell import LOOK
from apps.jobs.runner import run_due


@shared_task(name=LOOK, ignore_result=True)
def look() -> None:
    """No arguments, acknowledged early: what there is to do stands in the rows."""
    run_due()
