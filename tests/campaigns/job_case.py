"""What all cases of the campaign of kills have in common: who asks, and what a kill is about."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User

from apps.accounts.principal import Principal, system
from apps.accounts.users import principal_of
from apps.jobs import kind as kinds
from apps.jobs import queue
from apps.jobs.models import Job
from apps.storage.models import Instance

Facts = Mapping[str, Any]
OURS, THEIRS, LAID_DOWN = "1.2.9", "1.2.8", "1.2.7"
CAMPAIGN = system("campaign")
OLD = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class At:
    """One kill: its number, and what is known outside of the installation."""

    number: int
    facts: Facts

    @property
    def study(self) -> str:
        return f"{OURS}.{self.number}"

    @property
    def images(self) -> list[Instance]:
        return self.images_of(OURS)

    def images_of(self, root: str) -> list[Instance]:
        uid = f"{root}.{self.number}"
        rows = Instance.objects.filter(series__study__study_instance_uid=uid).select_related("series__study")
        return list(rows.order_by("sop_instance_uid"))


@dataclass(frozen=True, slots=True)
class Case:
    ask: Callable[[At], Job]
    check: Callable[[At, Job], None]


def admin() -> Principal:
    return principal_of(User.objects.get(username="admin"))


def asked(kind: str, **arguments: Any) -> Job:
    return kinds.request(kind, principal=admin(), arguments=arguments)


def of_study(kind: str, **more: Any) -> Callable[[At], Job]:
    return lambda at: asked(kind, study_instance_uids=[at.study], **more)


def own(kind: str, **more: Any) -> Job:
    return queue.submit(kind=kind, principal=CAMPAIGN, **more)
