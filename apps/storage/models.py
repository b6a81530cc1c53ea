"""The index of the archive: PS3.3 Patient, Study, Series, Instance; what the files say, as columns.

Columns are DICOM keywords in snake_case holding the text as sent; `_value` holds a date or time that could be read,
`_key` a name normalised by `dicom.values.name_key`. `sources` names, for each shown attribute, the file it came from
(`*`: for all that are not named), so that rows do not depend on the order of arrival: names of files begin with the
receive time.

A patient, a study and a series are there as long as an instance is. A series belongs to the study its earliest received
instance names, with all its instances; a study to the patient its earliest instance with a Patient ID names.
"""

from django.db import models

from apps.fields import KeyField
from apps.network.models import DuplicatePolicy
from apps.storage.visibility import StudyQuerySet

UID = 64
TEXT = 256
NAME = 400


class Patient(models.Model):
    patient_id = KeyField(max_length=TEXT)
    issuer_of_patient_id = KeyField(max_length=TEXT, blank=True)
    # An empty Patient ID never merges people: such a patient is one study's alone.
    sole_study_instance_uid = KeyField(max_length=UID, blank=True)
    patient_name = models.CharField(max_length=NAME, blank=True)
    patient_name_key = KeyField(max_length=NAME, blank=True, db_index=True)
    patient_name_ideographic_key = KeyField(max_length=NAME, blank=True)
    patient_name_phonetic_key = KeyField(max_length=NAME, blank=True)
    patient_birth_date = models.CharField(max_length=TEXT, blank=True)
    patient_birth_date_value = models.DateField(null=True)
    patient_birth_time = models.CharField(max_length=TEXT, blank=True)
    patient_sex = KeyField(max_length=TEXT, blank=True)
    other_patient_ids = models.TextField(blank=True)
    ethnic_group = models.CharField(max_length=TEXT, blank=True)
    patient_comments = models.TextField(blank=True)
    sources = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["patient_id", "issuer_of_patient_id", "sole_study_instance_uid"],
                name="storage_patient_identity",
            )
        ]
        indexes = [
            models.Index(
                fields=["patient_name_ideographic_key"],
                name="storage_patient_ideographic",
                condition=~models.Q(patient_name_ideographic_key=""),
            ),
            models.Index(
                fields=["patient_name_phonetic_key"],
                name="storage_patient_phonetic",
                condition=~models.Q(patient_name_phonetic_key=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.patient_name} ({self.patient_id})"


class Study(models.Model):
    study_instance_uid = KeyField(max_length=UID, unique=True)
    patient = models.ForeignKey(Patient, models.PROTECT, related_name="studies")
    study_date = models.CharField(max_length=TEXT, blank=True)
    study_date_value = models.DateField(null=True)
    study_time = models.CharField(max_length=TEXT, blank=True)
    study_time_value = models.TimeField(null=True)
    accession_number = KeyField(max_length=TEXT, blank=True, db_index=True)
    issuer_of_accession_number = models.CharField(max_length=TEXT, blank=True)
    study_id = KeyField(max_length=TEXT, blank=True)
    study_description = KeyField(max_length=TEXT, blank=True)
    referring_physician_name = models.CharField(max_length=NAME, blank=True)
    referring_physician_name_key = KeyField(max_length=NAME, blank=True, db_index=True)
    referring_physician_name_ideographic_key = KeyField(max_length=NAME, blank=True, default="", db_default="")
    referring_physician_name_phonetic_key = KeyField(max_length=NAME, blank=True, default="", db_default="")
    name_of_physicians_reading_study = models.CharField(max_length=NAME, blank=True)
    admitting_diagnoses_description = models.TextField(blank=True)
    patient_age = models.CharField(max_length=TEXT, blank=True)
    patient_size = models.CharField(max_length=TEXT, blank=True)
    patient_weight = models.CharField(max_length=TEXT, blank=True)
    timezone_offset_from_utc = models.CharField(max_length=TEXT, blank=True)
    specific_character_set = models.CharField(max_length=TEXT, blank=True)
    # Derived from series and instances; backslash-separated, sorted.
    modalities_in_study = models.CharField(max_length=TEXT, blank=True)
    sop_classes_in_study = models.TextField(blank=True)
    number_of_study_related_series = models.PositiveIntegerField(default=0)
    number_of_study_related_instances = models.PositiveIntegerField(default=0)
    sources = models.JSONField(default=dict)
    revision = models.PositiveBigIntegerField(default=0)
    received_at = models.DateTimeField(db_index=True, help_text="First instance.")
    changed_at = models.DateTimeField(db_index=True, help_text="Last change of what the study holds.")

    objects = StudyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "studies"
        indexes = [
            # `id` behind the key: keyset pages of one date walk the index.
            models.Index(fields=["study_date_value", "id"], name="storage_study_date"),
            models.Index(
                fields=["referring_physician_name_ideographic_key"],
                name="storage_study_ideographic",
                condition=~models.Q(referring_physician_name_ideographic_key=""),
            ),
        ]

    def __str__(self) -> str:
        return self.study_instance_uid


class Series(models.Model):
    series_instance_uid = KeyField(max_length=UID, unique=True)
    study = models.ForeignKey(Study, models.PROTECT, related_name="series")
    modality = KeyField(max_length=TEXT, blank=True)
    series_number = models.CharField(max_length=TEXT, blank=True)
    series_number_value = models.BigIntegerField(null=True)
    series_description = KeyField(max_length=TEXT, blank=True)
    series_date = models.CharField(max_length=TEXT, blank=True)
    series_date_value = models.DateField(null=True)
    series_time = models.CharField(max_length=TEXT, blank=True)
    series_time_value = models.TimeField(null=True)
    body_part_examined = KeyField(max_length=TEXT, blank=True)
    laterality = KeyField(max_length=TEXT, blank=True)
    protocol_name = KeyField(max_length=TEXT, blank=True)
    station_name = KeyField(max_length=TEXT, blank=True)
    institution_name = KeyField(max_length=TEXT, blank=True)
    manufacturer = KeyField(max_length=TEXT, blank=True)
    performing_physician_name = models.CharField(max_length=NAME, blank=True)
    performing_physician_name_key = KeyField(max_length=NAME, blank=True)
    performing_physician_name_ideographic_key = KeyField(max_length=NAME, blank=True, default="", db_default="")
    performing_physician_name_phonetic_key = KeyField(max_length=NAME, blank=True, default="", db_default="")
    operators_name = models.CharField(max_length=NAME, blank=True)
    performed_procedure_step_start_date = models.CharField(max_length=TEXT, blank=True)
    performed_procedure_step_start_date_value = models.DateField(null=True)
    performed_procedure_step_start_time = models.CharField(max_length=TEXT, blank=True)
    performed_procedure_step_start_time_value = models.TimeField(null=True)
    performed_procedure_step_id = KeyField(max_length=TEXT, blank=True)
    # DICOM JSON of Request Attributes Sequence (0040,0275), its matching keys repeated in `SeriesRequest`.
    request_attributes_sequence = models.JSONField(default=list)
    sop_classes = models.TextField(blank=True, help_text="Of its instances, backslash-separated, sorted.")
    number_of_series_related_instances = models.PositiveIntegerField(default=0)
    sources = models.JSONField(default=dict)
    revision = models.PositiveBigIntegerField(
        default=0, help_text="Goes up with every change of what the series holds."
    )
    changed_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "series"
        indexes = [models.Index(fields=["study", "modality"], name="storage_series_modality")]

    def __str__(self) -> str:
        return self.series_instance_uid


class SeriesRequest(models.Model):
    """The keys of one item of a series' Request Attributes Sequence, for matching."""

    series = models.ForeignKey(Series, models.CASCADE, related_name="requests")
    requested_procedure_id = KeyField(max_length=TEXT, blank=True, db_index=True)
    scheduled_procedure_step_id = KeyField(max_length=TEXT, blank=True, db_index=True)
    accession_number = KeyField(max_length=TEXT, blank=True)
    study_instance_uid = KeyField(max_length=UID, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "series",
                    "requested_procedure_id",
                    "scheduled_procedure_step_id",
                    "accession_number",
                    "study_instance_uid",
                ],
                name="storage_series_request_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.requested_procedure_id}/{self.scheduled_procedure_step_id}"


class StoredFile(models.Model):
    """What every kept file has, current, quarantined or deleted: where its bytes are and where they came from."""

    name = KeyField(max_length=64, unique=True, help_text="Given at reception; begins with the receive time in ns.")
    path = models.CharField(max_length=200, help_text="Below the archive root.")
    digest = KeyField(max_length=64, help_text="BLAKE3 of the data set as received, without group 0002; hexadecimal.")
    size = models.BigIntegerField(help_text="Bytes of the data set.")
    transfer_syntax_uid = KeyField(max_length=UID)
    storage_format = models.PositiveSmallIntegerField(default=0, help_text="0: DICOM Part 10, plain.")
    key_id = models.PositiveIntegerField(null=True)
    dataset_offset = models.PositiveIntegerField(help_text="Of the data set in the file.")
    pixel_offset = models.BigIntegerField(null=True, help_text="Of the pixel data element in the file.")
    received_at = models.DateTimeField()
    # Set when a human's decision, not its reception, made it what it is: that decision's time; else empty.
    decided_ns = models.BigIntegerField(null=True)
    decided_current = models.BooleanField(default=False, help_text="Decided to be the current version.")
    calling_ae_title = KeyField(max_length=16, blank=True)
    # Null: indexed before there was this column; `reindex` fills it.
    called_ae_title = KeyField(max_length=16, blank=True, null=True)  # type: ignore[misc]
    peer = models.CharField(max_length=64, blank=True)

    class Meta:
        abstract = True


class Instance(StoredFile):
    sop_instance_uid = KeyField(max_length=UID, unique=True)
    series = models.ForeignKey(Series, models.PROTECT, related_name="instances")
    sop_class_uid = KeyField(max_length=UID)
    instance_number = models.CharField(max_length=64, blank=True)
    instance_number_value = models.BigIntegerField(null=True)
    content_date = models.CharField(max_length=64, blank=True)
    content_time = models.CharField(max_length=64, blank=True)
    acquisition_number = models.CharField(max_length=64, blank=True)
    image_type = models.CharField(max_length=TEXT, blank=True)
    number_of_frames = models.CharField(max_length=64, blank=True)
    rows = models.PositiveIntegerField(null=True)
    columns = models.PositiveIntegerField(null=True)
    bits_allocated = models.PositiveIntegerField(null=True)
    revision = models.PositiveIntegerField(default=1)

    def __str__(self) -> str:
        return self.sop_instance_uid


class QuarantineState(models.TextChoices):
    OPEN = "open", "waits for a decision"
    REPLACED = "replaced", "replaced by a version an administrator accepted"
    DISCARDED = "discarded", "discarded"


class QuarantinedInstance(StoredFile):
    """Another version of an instance we hold: kept, shown to an administrator, not served."""

    sop_instance_uid = KeyField(max_length=UID, db_index=True)
    sop_class_uid = KeyField(max_length=UID)
    study_instance_uid = KeyField(max_length=UID, db_index=True)
    series_instance_uid = KeyField(max_length=UID)
    duplicate_policy = models.CharField(  # noqa: DJ001 - null: indexed before there was this column
        max_length=16, choices=DuplicatePolicy, null=True, help_text="Of the peer it came from, at that time."
    )
    reason = models.CharField(max_length=200)
    state = models.CharField(max_length=16, choices=QuarantineState, default=QuarantineState.OPEN)
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.CharField(max_length=150, blank=True)
    purged_at = models.DateTimeField(null=True, help_text="When its file was removed for good.")

    def __str__(self) -> str:
        return f"{self.sop_instance_uid} ({self.state})"


class DeletedInstance(StoredFile):
    """In the recycle area: restorable until its file is purged."""

    sop_instance_uid = KeyField(max_length=UID, db_index=True)
    sop_class_uid = KeyField(max_length=UID)
    study_instance_uid = KeyField(max_length=UID, db_index=True)
    series_instance_uid = KeyField(max_length=UID, db_index=True)
    record = KeyField(max_length=64, db_index=True, help_text="The archive record of this deletion.")
    was_current = models.BooleanField(default=True, help_text="Else it was in quarantine.")
    deleted_at = models.DateTimeField(db_index=True)
    deleted_by = models.CharField(max_length=150)
    purged_at = models.DateTimeField(null=True, help_text="When its file was removed for good.")

    def __str__(self) -> str:
        return self.sop_instance_uid


class ConflictKind(models.TextChoices):
    PATIENT = "patient", "Same patient ID, other person's data"
    STUDY = "study", "Instances of a study disagree"
    SERIES = "series", "Instances of a series disagree"
    STUDY_OF_TWO_PATIENTS = "study_of_two_patients", "A study of two patients"
    SERIES_OF_TWO_STUDIES = "series_of_two_studies", "A series of two studies"
    INSTANCE_OF_TWO_SERIES = "instance_of_two_series", "An instance of two series"


class Conflict(models.Model):
    """Values that disagree, all of them, whatever came first; listed until a human dismisses it."""

    kind = models.CharField(max_length=32, choices=ConflictKind)
    key = KeyField(max_length=600, help_text="UID of the study, series or instance, or patient ID and issuer.")
    attribute = models.CharField(max_length=64)
    values = models.JSONField(default=list, help_text="[value, earliest file that says so], in order of reception.")
    first_seen = models.DateTimeField(help_text="When the second value came.")
    last_seen = models.DateTimeField(help_text="When the latest value came.")
    is_open = models.BooleanField(default=True, help_text="Holds a value that has not been dismissed.")
    dismissed_values = models.JSONField(default=list)
    dismissed_at = models.DateTimeField(null=True)
    dismissed_by = models.CharField(max_length=150, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "key", "attribute"], name="storage_conflict_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.key} {self.attribute}"


class FailedFile(models.Model):
    """A received file that could not be indexed: put aside in the spool's `failed/`, never in the way, never lost."""

    node = models.CharField(max_length=64)
    name = KeyField(max_length=64, unique=True)
    reason = models.TextField()
    failed_at = models.DateTimeField()
    retried_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


class DamagedFile(models.Model):
    """A stored file that is not what was received, found by reading it; open until it is found whole or is gone."""

    name = KeyField(max_length=64, unique=True, help_text="Given at reception.")
    path = models.CharField(max_length=200, help_text="Below the archive root.")
    sop_instance_uid = KeyField(max_length=UID, db_index=True)
    fault = models.CharField(max_length=200)
    found_by = models.CharField(max_length=100, help_text="What read it.")
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    is_open = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.sop_instance_uid


class ArchiveRecord(models.Model):
    """A durable decision (deletion, restoration, quarantine verdict) already applied to this index."""

    name = KeyField(max_length=64, unique=True)
    applied_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
