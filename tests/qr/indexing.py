"""The indexer of a test's own spool, beside the test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from apps.accounts.principal import system
from apps.jobs import queue
from apps.jobs.models import Job
from apps.storage.indexer import Indexer
from apps.storage.models import Instance
from apps.storage.placement import path_of
from apps.storage.spool import spool
from tests.node import wait_for
from tests.storage.made import EXPLICIT, data_set, receive


@contextmanager
def indexing() -> Iterator[None]:
    stopping = threading.Event()

    def index() -> None:
        try:
            with Indexer(spool()) as indexer:
                indexer.run(stopping)
        finally:
            connection.close()

    thread = threading.Thread(target=index, name="indexer")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def stored() -> dict[str, bytes]:
    """Data sets in our archive, by SOP Instance UID."""
    return {
        row.sop_instance_uid: path_of(row.path).read_bytes()[row.dataset_offset :] for row in Instance.objects.all()
    }


def keep(*numbers: int, study: str = "1.2.3", series: str = "1.2.3.1", syntax: str = EXPLICIT) -> dict[str, bytes]:
    """Images of a series with these numbers, taken in; SOP Instance UID -> data set."""
    kept = {}
    for number in numbers:
        uid = f"{series}.{number}"
        own = {"study": study, "series": series, "sop": uid, "number": str(number), "pixels": bytes([number]) * 3000}
        kept[uid] = data_set(transfer_syntax_uid=syntax, **own)
        receive(kept[uid], transfer_syntax_uid=syntax, sop=uid)
    wait_for(lambda: kept.keys() <= stored().keys(), what="they are indexed")
    return kept


def cancel(job: Job) -> None:
    """From a thread of a server, which keeps no connection of the database."""
    queue.cancel(job, principal=system("test"))
    connection.close()


def cancelled_when(heard: threading.Event, job: Job) -> threading.Thread:
    """By a thread to join."""

    def run() -> None:
        heard.wait(60)
        cancel(job)

    thread = threading.Thread(target=run)
    thread.start()
    return thread
