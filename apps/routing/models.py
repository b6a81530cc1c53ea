"""Rules that say what is sent on to whom, and what has been."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from apps.fields import KeyField
from apps.network.models import DicomwebServer, Peer
from apps.storage.models import UID

LONGEST_QUIET = 7 * 24 * 3600
OVER_THE_WEB = "dicomweb:"  # before the name of a server, which a peer may have as well


class When(models.TextChoices):
    IMAGE = "image", "Each image at once"
    QUIET = "quiet", "A study, once it is quiet"


class Match(models.TextChoices):
    ALL = "all", "All of them"
    ANY = "any", "Any of them"


class DestinationKind(models.TextChoices):
    PEER = "peer", "A peer, by C-STORE"
    SERVER = "dicomweb", "A DICOMweb server, by STOW-RS"


class Destination(models.Model):
    """Whom rules send to. It outlives who it is, so that a rule can say who is missing, and follows a new name."""

    kind = KeyField(max_length=16, default="peer", choices=DestinationKind)
    peer = models.ForeignKey(Peer, models.SET_NULL, null=True, related_name="+")
    server = models.ForeignKey(DicomwebServer, models.SET_NULL, null=True, related_name="+")
    last_name = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["peer"], name="routing_destination_peer_once", condition=models.Q(peer__isnull=False)
            ),
            models.UniqueConstraint(
                fields=["server"], name="routing_destination_server_once", condition=models.Q(server__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def target(self) -> Peer | DicomwebServer | None:
        return self.server if self.kind == DestinationKind.SERVER else self.peer

    @property
    def own_name(self) -> str:
        return self.target.name if self.target else self.last_name

    @property
    def name(self) -> str:
        """As rules name it."""
        return f"{OVER_THE_WEB if self.kind == DestinationKind.SERVER else ''}{self.own_name}"


class RoutingRule(models.Model):
    name = models.CharField(max_length=64, unique=True)
    position = models.PositiveIntegerField(help_text="Rules are looked at in this order.")
    enabled = models.BooleanField(default=True)
    when = KeyField(max_length=16, choices=When, default=When.QUIET)
    quiet_seconds = models.PositiveIntegerField(
        default=60,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_QUIET)],
        help_text="Seconds in which nothing came.",
    )
    match = KeyField(max_length=8, choices=Match, default=Match.ALL)
    conditions = models.JSONField(default=list, blank=True)
    destinations = models.ManyToManyField(Destination, related_name="rules")
    stops = models.BooleanField(default=False, help_text="Later rules do not see what this one has chosen.")
    priority = models.SmallIntegerField(default=0, help_text="Of its jobs; higher goes first.")
    revision = models.PositiveIntegerField(default=0)
    # Images that were received before are sent only when somebody asks for it.
    in_force_since = models.DateTimeField(null=True, editable=False, help_text="When it was first switched on.")
    fired = models.PositiveBigIntegerField(default=0, editable=False, help_text="Jobs it has made.")
    images = models.PositiveBigIntegerField(default=0, editable=False, help_text="Images in them.")
    last_fired_at = models.DateTimeField(null=True, editable=False)
    last_error = models.TextField(blank=True, editable=False)
    last_error_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.name


class RoutedInstance(models.Model):
    """A version of an instance that a job sends, or has sent, to a destination: no rule sends it there again."""

    destination = models.ForeignKey(Destination, models.PROTECT, related_name="routed")
    sop_instance_uid = KeyField(max_length=UID)
    digest = KeyField(max_length=64)
    rule = models.PositiveBigIntegerField(help_text="Its number; the row may be gone.")
    job = models.PositiveBigIntegerField(help_text="Its number.")
    routed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["destination", "sop_instance_uid", "digest"], name="routing_routed_once")
        ]

    def __str__(self) -> str:
        return f"{self.sop_instance_uid} to {self.destination}"
