"""Listeners, peers, and what the network told us about callers."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, URLValidator
from django.db import models

from apps.fields import KeyField, SecretField
from apps.network import tls
from apps.network.validators import (
    validate_ae_title,
    validate_certificates,
    validate_character_sets,
    validate_host,
    validate_networks,
    validate_services,
    validate_step_statuses,
    validate_transfer_syntaxes,
)

STATUSES_SHOWN = ("SCHEDULED", "ARRIVED", "READY", "STARTED")
PORT = [MinValueValidator(1), MaxValueValidator(65535)]


def statuses_shown() -> list[str]:
    return list(STATUSES_SHOWN)


class ConfigVersion(models.Model):
    """One row; bumped in the transaction that changes a listener or a peer, read each second by the listeners."""

    version = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.version)


class Listener(models.Model):
    """An AE title on a port, and the services it offers."""

    name = models.CharField(max_length=64, unique=True)
    ae_title = KeyField("AE title", max_length=16, validators=[validate_ae_title])
    any_called_ae_title = models.BooleanField(
        "any called AE title", default=False, help_text="Answer whatever AE title the caller calls us."
    )
    host = models.CharField(
        max_length=255, default="0.0.0.0", validators=[validate_host], help_text="Address to listen on."
    )
    port = models.PositiveIntegerField(validators=PORT)
    services = models.JSONField(default=list, blank=True, validators=[validate_services])
    enabled = models.BooleanField(default=True)
    balancers = models.TextField(
        blank=True,
        default="",
        validators=[validate_networks],
        help_text="Addresses or networks, one a line, that say by a PROXY protocol header (v2) who calls.",
    )
    certificate = models.CharField(
        max_length=20000,
        blank=True,
        default="",
        validators=[validate_certificates],
        help_text="Ours, and those between it and its root (PEM): with it, callers have to talk TLS.",
    )
    private_key = SecretField(
        blank=True, default="", help_text="Of the certificate (PEM, no passphrase); kept encrypted, never shown."
    )
    client_certificate_authority = models.CharField(
        max_length=20000,
        blank=True,
        default="",
        validators=[validate_certificates],
        help_text="Certificates that have to vouch for who calls (PEM); empty: callers need none.",
    )
    maximum_associations = models.PositiveIntegerField(default=200, help_text="At once, from all callers.")
    maximum_length = models.PositiveIntegerField(
        "largest PDU", default=262144, help_text="That we offer to receive, in bytes."
    )
    acse_timeout = models.PositiveIntegerField(
        "ACSE timeout", default=30, help_text="Seconds for the association request, TLS included."
    )
    pdu_timeout = models.PositiveIntegerField(
        "PDU timeout", default=30, help_text="Seconds in which a PDU once begun must be complete."
    )
    dimse_timeout = models.PositiveIntegerField(
        "DIMSE timeout", default=60, help_text="Seconds to the next fragment of a message."
    )
    idle_timeout = models.PositiveIntegerField(default=600, help_text="Seconds between messages; 0 is for ever.")
    locked = models.JSONField(
        default=list, editable=False, help_text="Fields that the environment of the server decides."
    )

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["host", "port"],
                name="network_listener_address",
                violation_error_message="Another listener has this address and port.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.ae_title} on {self.host}:{self.port}"

    def clean(self) -> None:
        if not self.certificate and (self.private_key or self.client_certificate_authority):
            raise ValidationError({"certificate": "TLS needs it."})
        if self.certificate:
            try:
                tls.server(self.certificate, self.private_key, self.client_certificate_authority)
            except tls.InvalidTls as error:
                raise ValidationError({"private_key": str(error)}) from error


class DuplicatePolicy(models.TextChoices):
    KEEP_FIRST = "keep_first", "Keep the first, quarantine the other version"
    MAKE_CURRENT = "make_current", "Make the new version current, keep the old in quarantine"


class Peer(models.Model):
    """A remote application entity: what it may do here, and how we reach it."""

    name = models.CharField(max_length=64, unique=True)
    ae_title = KeyField("AE title", max_length=16, validators=[validate_ae_title], help_text="* is any AE title.")
    enabled = models.BooleanField(default=True)
    address_ranges = models.TextField(
        blank=True,
        validators=[validate_networks],
        help_text="Addresses or networks it calls from, one a line; empty: its host.",
    )
    services = models.JSONField(
        default=list, blank=True, validators=[validate_services], help_text="What it may ask of us."
    )
    host = models.CharField(
        max_length=255, blank=True, validators=[validate_host], help_text="Address or name, where we call it."
    )
    port = models.PositiveIntegerField(null=True, blank=True, validators=PORT)
    tls = models.BooleanField("TLS", default=False, help_text="It is called over TLS.")
    verify_tls = models.BooleanField(
        "verify TLS", default=True, help_text="Whether its certificate must be good; off only for tests."
    )
    certificate_authority = models.CharField(
        max_length=20000,
        blank=True,
        default="",
        validators=[validate_certificates],
        help_text="Certificates that vouch for it (PEM); empty: those this machine trusts.",
    )
    certificate = models.CharField(
        max_length=20000,
        blank=True,
        default="",
        validators=[validate_certificates],
        help_text="Ours (PEM), where it wants to see one.",
    )
    private_key = SecretField(
        blank=True, default="", help_text="Of our certificate (PEM, no passphrase); kept encrypted, never shown."
    )
    # Switches of WIRE: one peer's habits.
    specific_character_set = models.CharField(
        max_length=64,
        blank=True,
        validators=[validate_character_sets],
        help_text="Of answers to its queries, such as ISO_IR 100; empty: as it asks.",
    )
    default_character_set = models.CharField(
        max_length=64,
        blank=True,
        validators=[validate_character_sets],
        help_text="Assumed for its data sets that declare none.",
    )
    default_issuer_of_patient_id = models.CharField(
        "default issuer of patient ID",
        max_length=64,
        blank=True,
        help_text="Of patient IDs that come without an issuer.",
    )
    duplicate_policy = models.CharField(max_length=16, choices=DuplicatePolicy, default=DuplicatePolicy.KEEP_FIRST)
    strict_identifiers = models.BooleanField(default=False, help_text="Refuse queries that break PS3.4 C.4.")
    success_at_limit = models.BooleanField(
        default=False, help_text="Answer Success, not A700, when the result limit is reached."
    )
    query_limit = models.PositiveIntegerField(default=0, help_text="Most answers to one query; 0 is no limit.")
    worklist_own_station_only = models.BooleanField(
        "own station only",
        default=False,
        help_text="Show it the steps of its own AE title, and those that name no station.",
    )
    worklist_statuses = models.JSONField(
        "statuses",
        default=statuses_shown,
        blank=True,
        validators=[validate_step_statuses],
        help_text="Of the steps in its worklist.",
    )
    worklist_days_back = models.PositiveSmallIntegerField(
        "days back",
        null=True,
        blank=True,
        help_text="How old a step in its worklist may be; empty: as old as it likes.",
    )
    worklist_days_ahead = models.PositiveSmallIntegerField(
        "days ahead", null=True, blank=True, help_text="How far in the future it may be; empty: as far as it likes."
    )
    preferred_transfer_syntaxes = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_transfer_syntaxes],
        help_text="UIDs, one a line, best first; chosen before our own order.",
    )
    strict_mpps = models.BooleanField(
        "strict MPPS", default=False, help_text="Refuse performed procedure steps that break PS3.4 Table F.7.2-1."
    )
    private_sop_classes = models.BooleanField(
        "private SOP classes", default=True, help_text="Take private storage SOP classes."
    )
    maximum_associations = models.PositiveIntegerField(
        default=0, help_text="At once from it; 0 is no limit of its own."
    )
    idle_timeout = models.PositiveIntegerField(
        null=True, blank=True, help_text="Seconds; empty: as the listener, 0: for ever."
    )
    # What we do to it.
    jobs_at_once = models.PositiveSmallIntegerField(
        default=2, validators=[MinValueValidator(1), MaxValueValidator(64)], help_text="Jobs that call it at once."
    )
    associations_per_job = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(16)],
        help_text="That one send opens to it at once.",
    )
    rate_limit = models.PositiveIntegerField(default=0, help_text="Of all that is sent to it, in KiB/s; 0 is no limit.")
    forwards_mpps = models.BooleanField(
        "performed steps are forwarded",
        default=False,
        help_text="Report to it the performed procedure steps that others report to us.",
    )
    commits_storage = models.BooleanField(
        "storage commitment",
        default=False,
        help_text="Ask it to commit to what was sent to it (Storage Commitment Push Model).",
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if bool(self.host) != bool(self.port):
            raise ValidationError({"port" if self.host else "host": "To be called, a peer needs a host and a port."})
        if self.ae_title == "*" and self.host:
            raise ValidationError({"host": "A row for any AE title cannot be called."})
        if self.services and not self.address_ranges.split() and not self.host:
            raise ValidationError(
                {"address_ranges": "It may ask for services, but without an address or a host it is nobody."}
            )
        if self.private_key and not self.certificate:
            raise ValidationError({"certificate": "A key needs the certificate it belongs to."})
        if self.certificate:
            try:
                tls.client(
                    certificate_authority="", verify=True, certificate=self.certificate, private_key=self.private_key
                )
            except tls.InvalidTls as error:
                raise ValidationError({"private_key": str(error)}) from error


class DicomwebServer(models.Model):
    """A server of others that we store to and retrieve from over the web."""

    name = models.CharField(max_length=64, unique=True)
    enabled = models.BooleanField(default=True)
    url = models.CharField(
        "URL",
        max_length=500,
        validators=[URLValidator(schemes=["http", "https"])],
        help_text="Below which /studies is found, such as https://archive.example/dicom-web.",
    )
    username = models.CharField("user name", max_length=150, blank=True, help_text="For Basic authentication.")
    password = SecretField(blank=True, help_text="Kept encrypted, never shown.")
    token = SecretField(blank=True, help_text="Or a bearer token; kept encrypted, never shown.")
    verify_tls = models.BooleanField(
        "verify TLS", default=True, help_text="Whether its certificate must be good; off only for tests."
    )
    certificate_authority = models.CharField(
        max_length=20000,
        blank=True,
        validators=[validate_certificates],
        help_text="Certificates that vouch for it (PEM); empty: those this machine trusts.",
    )
    timeout = models.PositiveIntegerField(
        default=60, validators=[MinValueValidator(1)], help_text="Seconds without a byte, after which it is given up."
    )
    jobs_at_once = models.PositiveSmallIntegerField(
        default=2, validators=[MinValueValidator(1), MaxValueValidator(64)], help_text="Jobs that call it at once."
    )

    class Meta:
        ordering = ["name"]
        verbose_name = "DICOMweb server"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.token and (self.username or self.password):
            raise ValidationError({"token": "Either a token, or a user name and a password."})
        if "@" in self.url.partition("://")[2].partition("/")[0]:
            raise ValidationError({"url": "User and password have fields of their own."})
        if "?" in self.url or "#" in self.url:
            raise ValidationError({"url": "Without a query and a fragment."})


class RefusedCaller(models.Model):
    """Who was turned away, so that an administrator can accept him with one click."""

    calling_ae_title = KeyField("calling AE title", max_length=16)
    called_ae_title = KeyField("called AE title", max_length=16)
    address = models.GenericIPAddressField()
    reason = models.CharField(max_length=200)
    count = models.PositiveIntegerField(default=1)
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()

    class Meta:
        ordering = ["-last_seen"]
        constraints = [
            models.UniqueConstraint(
                fields=["calling_ae_title", "called_ae_title", "address"], name="network_refused_caller_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.calling_ae_title} from {self.address}"


class AssociationLog(models.Model):
    """One association, living (ended_at empty) or past."""

    association_id = models.CharField(max_length=32, unique=True)
    node = models.CharField(max_length=64)
    process = models.PositiveIntegerField()
    listener = models.CharField(max_length=64)
    peer = models.CharField(max_length=64, blank=True)
    calling_ae_title = KeyField("calling AE title", max_length=16)
    called_ae_title = KeyField("called AE title", max_length=16)
    address = models.GenericIPAddressField(null=True)
    began_at = models.DateTimeField(db_index=True)
    ended_at = models.DateTimeField(null=True, db_index=True)
    outcome = models.CharField(max_length=200, blank=True)  # released, aborted by peer, timed out, ...
    messages = models.JSONField(default=dict)  # by request and status: {"C-STORE": {"0000": 120}}
    abort_requested = models.BooleanField(default=False)

    class Meta:
        ordering = ["-began_at"]
        verbose_name = "association"

    def __str__(self) -> str:
        return f"{self.calling_ae_title} {self.association_id}"


class Node(models.Model):
    """A process of ours and when it was last alive."""

    node = models.CharField(max_length=64)
    role = models.CharField(max_length=32)
    process = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    version = models.CharField(max_length=32)

    class Meta:
        ordering = ["node", "role"]
        constraints = [models.UniqueConstraint(fields=["node", "role", "process"], name="network_node_once")]

    def __str__(self) -> str:
        return f"{self.role} on {self.node}"
