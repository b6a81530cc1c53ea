"""Makes or changes a listener without the browser: for scripts that set up an installation."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.principal import system
from apps.network import config
from apps.network.models import Listener
from dicom.sop_classes import Service
from pacs.client.target import InvalidTarget, parse
from pacs.environment import join


class Command(BaseCommand):
    help = "A port of ours: where it listens, the AE title it answers to, what it offers. Running listeners follow."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="As `celery -A pacs worker --dimse=NAME` and `listeners --names` call it.")
        parser.add_argument("target", metavar="AET@ADDRESS:PORT", nargs="?", help="Of one that exists: as it is.")
        parser.add_argument(
            "--services", help=f"What it offers, separated by commas: {', '.join(Service)}; default: everything."
        )
        parser.add_argument(
            "--balancers", help="Addresses or networks, separated by commas, that send a PROXY protocol header."
        )
        switch = parser.add_mutually_exclusive_group()
        switch.add_argument("--disable", action="store_true", help="It closes its port.")
        switch.add_argument("--delete", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        row = Listener.objects.filter(name=name).first()
        if row is None and (options["delete"] or not options["target"]):
            raise CommandError(f"There is no listener {name!r}; AET@ADDRESS:PORT makes it.")
        row = row or Listener(name=name, services=[str(service) for service in Service])
        if options["delete"]:
            config.delete(row, principal=system("command line"))
            self.stdout.write(f"Listener {name} is deleted")
            return
        try:
            self._change(row, options)
            config.save(row, principal=system("command line"))
        except InvalidTarget as error:
            raise CommandError(str(error)) from error
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        offered = f"offers {', '.join(row.services)}" if row.enabled else "disabled"
        self.stdout.write(f"Listener {name}: {row.ae_title}@{join((row.host, row.port))}, {offered}")

    @staticmethod
    def _change(row: Listener, options: dict[str, Any]) -> None:
        """What is not named stays as it is."""
        row.enabled = not options["disable"]
        if options["target"]:
            target = parse(options["target"])
            row.ae_title, row.host, row.port = target.ae_title, target.host, target.port
        if options["services"] is not None:
            row.services = [service for service in options["services"].split(",") if service]
        if options["balancers"] is not None:
            row.balancers = "\n".join(options["balancers"].split(","))
