"""What a program signs in with, and what it was answered."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from apps.fields import KeyField


class ApiToken(models.Model):
    """A user's, for one program; the token itself is nowhere: its digest finds it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=64, help_text="The program it is for.")
    digest = KeyField(max_length=64, unique=True, editable=False)
    hint = KeyField(max_length=16, editable=False, help_text="How it begins.")
    created_at = models.DateTimeField(editable=False)
    expires_at = models.DateTimeField("expires", null=True, blank=True, help_text="Empty: never.")
    revoked_at = models.DateTimeField("revoked", null=True, editable=False)
    last_used_at = models.DateTimeField("last used", null=True, editable=False)

    class Meta:
        verbose_name = "API token"
        ordering = ["user", "name", "id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.hint}...)"

    def clean(self) -> None:
        if self.expires_at and self.expires_at <= timezone.now():
            raise ValidationError({"expires_at": "This moment has passed."})

    @property
    def is_valid(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())


class AnsweredRequest(models.Model):
    """A request that its sender may send again, known by the key he gave it; without a status it still runs."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = KeyField(max_length=255)
    digest = KeyField(max_length=64, help_text="Of what was asked.")
    began_at = models.DateTimeField(db_index=True)
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(default=dict)
    body = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="accounts_request_once")]

    def __str__(self) -> str:
        return self.key
