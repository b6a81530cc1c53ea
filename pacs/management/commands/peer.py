"""Makes or changes a peer without the browser: for scripts that set up an installation."""

import time
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.principal import system
from apps.network import config
from apps.network.models import Peer
from apps.network.rules import Rules, resolve_nothing
from apps.network.snapshot import read_snapshot
from dicom.sop_classes import Service
from pacs.client.target import InvalidTarget, parse

INTERVAL = 1.0  # seconds between two looks of a listener process
LONGEST = 2.0


def _wait_until_it_holds() -> None:
    """So that the next line of a script finds it known: until a running listener has kept it, and all have looked."""
    version = Rules.load(resolve_nothing).version
    deadline = time.monotonic() + LONGEST
    while (kept := read_snapshot()) is not None and kept.version < version and time.monotonic() < deadline:
        time.sleep(0.1)
    if kept is not None:
        time.sleep(INTERVAL)


class Command(BaseCommand):
    help = "A remote application entity that may call us from its address, and that we can send to."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("target", metavar="AET@HOST:PORT")
        parser.add_argument("--name", help="Default: its AE title.")
        parser.add_argument(
            "--services",
            default=",".join(Service),
            help="What it may ask of us, separated by commas; default: everything.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            target = parse(options["target"])
            peer = Peer.objects.filter(name=options["name"] or target.ae_title).first() or Peer()
            peer.name = options["name"] or target.ae_title
            peer.ae_title, peer.host, peer.port = target.ae_title, target.host, target.port
            peer.services = [service for service in options["services"].split(",") if service]
            config.save(peer, principal=system("command line"))
        except InvalidTarget as error:
            raise CommandError(str(error)) from error
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        _wait_until_it_holds()
        self.stdout.write(f"Peer {peer.name}: {peer.ae_title}@{peer.host}:{peer.port}, may {', '.join(peer.services)}")
