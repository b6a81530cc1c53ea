"""The trail: rows are added, never changed or removed by the program."""

from typing import Any, Never

from django.db import models

from apps.fields import KeyField


class AppendOnly(TypeError):
    """Somebody tried to rewrite the trail."""


class AuditQuerySet(models.QuerySet["AuditEvent"]):
    def update(self, **values: Any) -> int:
        if not values.keys() <= {"digest", "previous"}:  # what the sealer adds
            raise AppendOnly("Audit events are not changed.")
        return super().update(**values)

    def delete(self) -> Never:
        raise AppendOnly("Audit events are not removed.")


class AuditEvent(models.Model):
    """Who did what to what, and how it ended. Text only: it outlives the rows it speaks of."""

    at = models.DateTimeField(db_index=True, verbose_name="time")
    actor_kind = models.CharField(max_length=16, blank=True)
    actor_name = models.CharField(max_length=150, db_index=True, verbose_name="who")
    actor_ae_title = models.CharField(max_length=64, blank=True, verbose_name="AE title")
    address = models.CharField(max_length=64, blank=True)
    action = models.CharField(max_length=64, db_index=True)
    object_kind = models.CharField(max_length=64, blank=True)
    object_uid = KeyField(max_length=256, blank=True, db_index=True, verbose_name="object")
    outcome = models.CharField(max_length=64)
    detail = models.JSONField(default=dict, blank=True)
    # For a sealer that chains the rows: each digest covers its row and the digest before it.
    digest = models.CharField(max_length=64, null=True, editable=False)  # noqa: DJ001 - null: not yet sealed
    previous = models.CharField(max_length=64, null=True, editable=False)  # noqa: DJ001

    objects = AuditQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["digest"], name="audit_event_unsealed", condition=models.Q(digest__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor_name} {self.action}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise AppendOnly("Audit events are not changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        raise AppendOnly("Audit events are not removed.")
