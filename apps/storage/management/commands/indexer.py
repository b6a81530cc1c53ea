import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.network.nodes import Heartbeat
from apps.storage.indexer import AlreadyRunning, Indexer, SpoolReplaced
from apps.storage.spool import spool


class Command(BaseCommand):
    help = "Index what this node receives, until SIGTERM or Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        try:
            with Indexer(spool()) as indexer:
                heartbeat = Heartbeat("indexer")
                heartbeat.start()
                indexer.run(stopping)
                heartbeat.stop()
        except AlreadyRunning as error:
            raise CommandError(f"Another indexer owns {error}.") from error
        except SpoolReplaced as error:
            raise CommandError(f"The spool was moved or removed: {error}. The indexer must start again.") from error
