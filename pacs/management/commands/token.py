"""Makes the token with which a program signs in, without the browser."""

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from apps.accounts import tokens
from apps.accounts.models import ApiToken
from apps.accounts.principal import system


class Command(BaseCommand):
    help = "Prints a new token of a user, for `Authorization: Bearer`; it is shown this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user")
        parser.add_argument("--name", default="command line", help="The program it is for.")
        parser.add_argument("--days", type=int, help="Until it expires; default: never.")
        parser.add_argument("--revoke", metavar="HINT", help="Instead: ends those of the user that begin like this.")

    def handle(self, *args: Any, **options: Any) -> None:
        user = get_user_model().objects.filter(username=options["user"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['user']}")
        principal = system("command line")
        if options["revoke"]:
            ended = list(ApiToken.objects.filter(user=user, hint__startswith=options["revoke"][:16], revoked_at=None))
            for token in ended:
                tokens.revoke(principal=principal, token=token)
            self.stdout.write(f"{len(ended)} revoked")
            return
        days: int | None = options["days"]
        if days is not None and not 0 < days < 36_500:
            raise CommandError("--days: 1 or more")
        expires_at = timezone.now() + timedelta(days=days) if days else None
        _, text = tokens.issue(principal=principal, user=user, name=options["name"][:64], expires_at=expires_at)
        self.stdout.write(text)
