"""The Celery task: an answer to the doorbell."""

from celery import shared_task

from apps.jobs import sweep
from apps.jobs.bell import LOOK


@shared_task(name=LOOK, ignore_result=True)
def look() -> None:
    """No arguments, acknowledged early: what there is to do stands in the rows. The jobs run in threads beside, so that
    the worker hears the broker and ends when it shall, however long they take."""
    sweep.look()
