"""A random history of an archive: files stored, some of them late in the index, and decisions meanwhile."""

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import QuerySet

from apps.accounts.principal import system
from apps.storage import archive
from apps.storage.index import index_batch
from apps.storage.models import (
    Conflict,
    DeletedInstance,
    Instance,
    Patient,
    QuarantinedInstance,
    QuarantineState,
    Series,
    Study,
)
from apps.storage.received import Received
from apps.storage.spool import spool
from tests.storage.made import provenance, receive
from tests.storage.test_order import arrivals

ADMIN = system("admin")
NOTHING_TO_DO = (
    archive.Unknown,
    archive.DeletedAlready,
    archive.Gone,
    archive.AlreadyDecided,
    ObjectDoesNotExist,  # somebody else has removed it meanwhile
)

_Row = TypeVar("_Row")


class History:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.waiting: list[Received] = []  # acknowledged, and not indexed yet
        self.told: list[str] = []  # for a report of a failure

    def unfold(self) -> None:
        for _ in range(self.rng.choice((10, 25, 40))):
            self._do(self.rng.choice((self.store, self.store, self.store, *self._decisions())))
            assert list(inconsistencies()) == [], self.told
        self._index(len(self.waiting))

    def receive(self, times: int) -> None:
        """Its part of a history of which others unfold the rest meanwhile."""
        for _ in range(times):
            self.store()
        self._index(len(self.waiting))

    def decide(self, times: int) -> None:
        for _ in range(times):
            self._do(self.rng.choice(self._decisions()))

    def _decisions(self) -> tuple[Callable[[], None], ...]:
        return self.delete, self.delete_instance, self.restore, self.accept, self.discard, self.dismiss, self.purge

    def _do(self, act: Callable[[], None]) -> None:
        try:
            act()
        except NOTHING_TO_DO as error:
            self.told.append(f"{act.__name__}: {error}")

    def store(self) -> None:
        for one in arrivals(self.rng, self.rng.choice((1, 2, 5))):
            source = provenance(policy=one.policy, issuer="D")
            self.waiting.append(receive(transfer_syntax_uid=one.syntax, source=source, **one.values))
        self.rng.shuffle(self.waiting)
        self._index(self.rng.randint(0, len(self.waiting)))

    def _index(self, count: int) -> None:
        some, self.waiting = self.waiting[:count], self.waiting[count:]
        if some:
            index_batch(some, spool())
        self.told.append(f"index {[one.name for one in some]}")

    def _one(self, rows: QuerySet[Any, _Row]) -> _Row:
        found = list(rows)
        if not found:
            raise archive.Unknown("There is none")
        row = self.rng.choice(found)
        self.told.append(str(row))
        return row

    def delete(self) -> None:
        study = self._one(Study.objects.order_by("study_instance_uid"))
        archive.delete(principal=ADMIN, study_instance_uid=study.study_instance_uid)

    def delete_instance(self) -> None:
        row = self._one(Instance.objects.order_by("sop_instance_uid"))
        archive.delete(
            principal=ADMIN,
            study_instance_uid=row.series.study.study_instance_uid,
            series_instance_uid=self.rng.choice(("", row.series.series_instance_uid)),
            sop_instance_uids=[row.sop_instance_uid],
        )

    def restore(self) -> None:
        there = DeletedInstance.objects.filter(purged_at=None).order_by("record")
        archive.restore(principal=ADMIN, deletion=self._one(there.values_list("record", flat=True).distinct()))

    def accept(self) -> None:
        archive.accept(principal=ADMIN, name=self._quarantined())

    def discard(self) -> None:
        archive.discard(principal=ADMIN, name=self._quarantined())

    def _quarantined(self) -> str:
        rows = QuarantinedInstance.objects.exclude(state=QuarantineState.DISCARDED).order_by("name")
        return self._one(rows.values_list("name", flat=True))

    def dismiss(self) -> None:
        archive.dismiss(principal=ADMIN, conflict=self._one(Conflict.objects.order_by("pk")))

    def purge(self) -> None:
        if self.rng.random() < 0.3:
            archive.purge(principal=ADMIN, before=timedelta(0))


def inconsistencies() -> Iterator[str]:
    """Where counts and summaries say other than the instances do."""
    for study in Study.objects.all():
        held = Instance.objects.filter(series__study=study)
        counted = study.number_of_study_related_series, study.number_of_study_related_instances
        if counted != (study.series.count(), held.count()) or not held.exists():
            yield f"{study}: {counted}"
        modalities = set(study.series.values_list("modality", flat=True)) - {""}
        if set(filter(None, study.modalities_in_study.split("\\"))) != modalities:
            yield f"{study}: {study.modalities_in_study}"
        classes = set(held.values_list("sop_class_uid", flat=True))
        if set(filter(None, study.sop_classes_in_study.split("\\"))) != classes:
            yield f"{study}: {study.sop_classes_in_study}"
    for series in Series.objects.all():
        if series.number_of_series_related_instances != series.instances.count() or not series.instances.exists():
            yield f"{series}: {series.number_of_series_related_instances}"
    yield from (f"{patient}: no study" for patient in Patient.objects.filter(studies=None))
