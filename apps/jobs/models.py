"""Work that outlives the request that asked for it. The rows are the truth; the broker is a doorbell."""

from typing import Self

from django.db import models

from apps.accounts.principal import Kind, Principal
from apps.fields import KeyField
from apps.jobs.cron import validate as validate_cron


class JobState(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobQuerySet(models.QuerySet["Job"]):
    def visible_to(self, principal: Principal) -> Self:
        """His own; all of them for administrators and the program."""
        if principal.administers or principal.kind is Kind.SYSTEM:
            return self
        if principal.kind is not Kind.USER or principal.key is None:
            return self.none()
        return self.filter(owner=principal.key)


class Job(models.Model):
    """`lease` counts the claims: who writes names the count he was given; one thought dead changes nothing any more."""

    kind = models.CharField(max_length=64)
    key = KeyField(max_length=200, blank=True, help_text="Of one kind and key, one job waits at a time.")
    arguments = models.JSONField(default=dict, blank=True)
    principal = models.JSONField(help_text="For whom it runs.")
    submitted_by = models.CharField(max_length=150, blank=True)
    owner = models.BigIntegerField(null=True, editable=False, help_text="Key of the user who asked.")
    state = models.CharField(max_length=16, choices=JobState, default=JobState.QUEUED)
    paused = models.BooleanField(default=False, help_text="Waits until somebody lets it go on.")
    peer = KeyField(max_length=64, blank=True, help_text="Name of who is called: so many of its jobs run at once.")
    slot = models.PositiveSmallIntegerField(null=True, editable=False, help_text="Which of the peer's it has.")
    result = models.JSONField(default=dict, blank=True, help_text="What came of it.")
    priority = models.SmallIntegerField(default=0, help_text="Higher goes first.")
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    maximum_attempts = models.PositiveIntegerField(default=5)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(db_index=True)
    due_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    cancel_requested = models.BooleanField(default=False)
    lease = models.PositiveBigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    worker = models.CharField(max_length=128, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "key"],
                name="jobs_job_waits_once",
                condition=models.Q(state=JobState.QUEUED) & ~models.Q(key=""),
            ),
            models.UniqueConstraint(
                fields=["peer", "slot"],
                name="jobs_job_slot_once",
                condition=models.Q(state=JobState.RUNNING) & ~models.Q(peer=""),
            ),
        ]
        indexes = [
            models.Index(
                fields=["-priority", "due_at"], name="jobs_job_due", condition=models.Q(state=JobState.QUEUED)
            ),
            models.Index(fields=["lease_until"], name="jobs_job_leased", condition=models.Q(state=JobState.RUNNING)),
            # Lists, the latest first.
            models.Index(fields=["state", "-id"], name="jobs_job_by_state"),
            models.Index(fields=["kind", "-id"], name="jobs_job_by_kind"),
            models.Index(fields=["owner", "-id"], name="jobs_job_by_owner", condition=models.Q(owner__isnull=False)),
            models.Index(fields=["peer", "-id"], name="jobs_job_by_peer", condition=~models.Q(peer="")),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class ItemState(models.TextChoices):
    QUEUED = "queued"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class JobItem(models.Model):
    """One step of a job, done once: an instance to send, a file to read."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="items")
    position = models.PositiveIntegerField()
    key = KeyField(max_length=255, help_text="What the step is about.")
    state = models.CharField(max_length=16, choices=ItemState, default=ItemState.QUEUED)
    error = models.TextField(blank=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["job", "position"], name="jobs_item_position")]
        indexes = [
            models.Index(
                fields=["job", "position"], name="jobs_item_waiting", condition=models.Q(state=ItemState.QUEUED)
            )
        ]

    def __str__(self) -> str:
        return self.key


class JobLine(models.Model):
    """What a job has to say while it runs."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="lines")
    at = models.DateTimeField()
    text = models.TextField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.text


class Schedule(models.Model):
    """A job that is submitted again and again: for the program, or for who made it, with the rights he has then."""

    name = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=64)
    arguments = models.JSONField(default=dict, blank=True)
    every = models.PositiveIntegerField(null=True, blank=True, help_text="Seconds between two runs.")
    at = models.TimeField(null=True, blank=True, help_text="Or once a day, at this local time.")
    cron = models.CharField(
        max_length=200,
        blank=True,
        validators=[validate_cron],
        help_text="Or minute, hour, day of the month, month, day of the week, local time: 30 2 * * 1-5.",
    )
    principal = models.JSONField(null=True, editable=False, help_text="For whom it runs; none: for the program.")
    enabled = models.BooleanField(default=True)
    next_at = models.DateTimeField(db_index=True)
    last_at = models.DateTimeField(null=True, blank=True)
    last_job = models.BigIntegerField(null=True, editable=False, help_text="Key of the job it made last.")

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="jobs_schedule_every_at_or_cron",
                condition=models.Q(every__isnull=False, every__gt=0, at__isnull=True, cron="")
                | models.Q(every__isnull=True, at__isnull=False, cron="")
                | (models.Q(every__isnull=True, at__isnull=True) & ~models.Q(cron="")),
                violation_error_message="Either seconds between two runs, a time of day, or a cron expression.",
            )
        ]

    def __str__(self) -> str:
        return self.name


class OutboxEvent(models.Model):
    """What happened, written in the transaction in which it happened; gone once its jobs are made."""

    event = models.CharField(max_length=64)
    payload = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.event
