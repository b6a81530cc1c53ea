"""Requests to commit to the safekeeping of instances (PS3.4 annex J): those of peers to us, and ours to peers."""

from django.db import models

from apps.fields import KeyField
from apps.jobs.models import Job

PAGE = 500  # references of one row


class Direction(models.TextChoices):
    RECEIVED = "received", "A peer asked us"
    SENT = "sent", "We asked a peer"


class State(models.TextChoices):
    ASKED = "asked", "Asked"
    DECIDED = "decided", "Decided, not reported yet"
    REPORTED = "reported", "Reported"
    NOT_REPORTED = "not_reported", "Could not be reported"
    REFUSED = "refused", "Refused"
    OVERDUE = "overdue", "No report came"


class CommitmentRequest(models.Model):
    """One transaction. `held_by` alone reports until `held_until`: the association that asked, or a job."""

    direction = models.CharField(max_length=16, choices=Direction)
    state = models.CharField(max_length=16, choices=State, default=State.ASKED)
    transaction_uid = KeyField("transaction UID", max_length=64)
    repeats = models.BooleanField(
        default=False, help_text="The transaction UID is one of an earlier request for other instances."
    )
    peer = models.CharField(max_length=64, db_index=True)
    calling_ae_title = KeyField("calling AE title", max_length=16, help_text="Of the N-ACTION.")
    called_ae_title = KeyField("called AE title", max_length=16)
    digest = KeyField(max_length=64, help_text="Of the references.")
    references = models.PositiveIntegerField()
    committed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="+", help_text="That asks or decides.")
    held_by = models.CharField(max_length=64, blank=True)
    held_until = models.DateTimeField(null=True)
    error = models.CharField(max_length=400, blank=True, help_text="Why it could not be reported or asked.")
    created_at = models.DateTimeField(db_index=True)
    asked_at = models.DateTimeField(null=True, help_text="When the N-ACTION was answered with success.")
    decided_at = models.DateTimeField(null=True)
    reported_at = models.DateTimeField(null=True)
    concluded = models.BooleanField(default=False, help_text="The job that asked has told what came of it.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["direction", "calling_ae_title", "transaction_uid"],
                name="commitment_transaction_once",
                condition=models.Q(repeats=False),
            )
        ]

    def __str__(self) -> str:
        return self.transaction_uid


class CommitmentPage(models.Model):
    """Some of the references, each [SOP class UID, SOP instance UID, reason or null while undecided, what it is]."""

    request = models.ForeignKey(CommitmentRequest, models.CASCADE, related_name="pages")
    number = models.PositiveIntegerField()
    references = models.JSONField()
    decided = models.BooleanField(default=False)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["request", "number"], name="commitment_page_once")]

    def __str__(self) -> str:
        return f"{self.request_id}/{self.number}"
