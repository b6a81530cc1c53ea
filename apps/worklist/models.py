"""Orders as PS3.4 K.6.1.2.2 sees them: an imaging service request of a patient has requested procedures, which have
scheduled procedure steps (PS3.4 Figure K.6-1).

Columns are DICOM keywords in snake_case holding the text as given; `_value` holds the date or time, `_key` a name
normalised by `dicom.values.name_key`. `other_attributes` keeps, as DICOM JSON by tag, what has no column. `revision`
goes up with every change of a row.
"""

from __future__ import annotations

from django.db import models

from apps.accounts.principal import Principal
from apps.fields import KeyField
from dicom.sop_classes import Service

UID = 64
TEXT = 256
NAME = 400


class WorklistPatient(models.Model):
    patient_id = KeyField(max_length=TEXT)
    issuer_of_patient_id = KeyField(max_length=TEXT, blank=True)
    patient_name = models.CharField(max_length=NAME)
    patient_name_key = KeyField(max_length=NAME, blank=True, db_index=True)
    patient_name_ideographic_key = KeyField(max_length=NAME, blank=True)
    patient_name_phonetic_key = KeyField(max_length=NAME, blank=True)
    patient_birth_date = models.CharField(max_length=TEXT, blank=True)
    patient_birth_date_value = models.DateField(null=True)
    patient_sex = KeyField(max_length=TEXT, blank=True)
    other_patient_ids = models.CharField("other patient IDs", max_length=TEXT, blank=True)
    patient_size = models.CharField(max_length=TEXT, blank=True)
    patient_weight = models.CharField(max_length=TEXT, blank=True)
    ethnic_group = models.CharField(max_length=TEXT, blank=True)
    patient_comments = models.TextField(blank=True)
    patient_state = models.CharField(max_length=TEXT, blank=True)
    pregnancy_status = models.CharField(max_length=8, blank=True)
    medical_alerts = models.CharField(max_length=TEXT, blank=True)
    allergies = models.CharField(max_length=TEXT, blank=True)
    special_needs = models.CharField(max_length=TEXT, blank=True)
    confidentiality_constraint_on_patient_data_description = models.CharField(max_length=TEXT, blank=True)
    other_attributes = models.JSONField(default=dict, blank=True)
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["patient_id", "issuer_of_patient_id"], name="worklist_patient_identity")
        ]
        indexes = [
            models.Index(
                fields=["patient_name_ideographic_key"],
                name="worklist_patient_ideographic",
                condition=~models.Q(patient_name_ideographic_key=""),
            ),
            models.Index(
                fields=["patient_name_phonetic_key"],
                name="worklist_patient_phonetic",
                condition=~models.Q(patient_name_phonetic_key=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.patient_name} ({self.patient_id})"


class Visit(models.Model):
    patient = models.ForeignKey(WorklistPatient, models.PROTECT, related_name="visits")
    admission_id = KeyField(max_length=TEXT, blank=True, db_index=True)
    current_patient_location = models.CharField(max_length=TEXT, blank=True)
    other_attributes = models.JSONField(default=dict, blank=True)
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["patient", "admission_id"], name="worklist_visit_identity"),
        ]

    def __str__(self) -> str:
        return self.admission_id


class ImagingServiceRequest(models.Model):
    patient = models.ForeignKey(WorklistPatient, models.PROTECT, related_name="requests")
    visit = models.ForeignKey(Visit, models.PROTECT, null=True, blank=True, related_name="requests")
    accession_number = KeyField(max_length=TEXT, blank=True, db_index=True)
    issuer_of_accession_number = KeyField(max_length=TEXT, blank=True)
    requesting_physician = models.CharField(max_length=NAME, blank=True)
    requesting_physician_key = KeyField(max_length=NAME, blank=True)
    referring_physician_name = models.CharField(max_length=NAME, blank=True)
    referring_physician_name_key = KeyField(max_length=NAME, blank=True)
    requesting_service = models.CharField(max_length=TEXT, blank=True)
    placer_order_number_imaging_service_request = KeyField(max_length=TEXT, blank=True)
    filler_order_number_imaging_service_request = KeyField(max_length=TEXT, blank=True)
    imaging_service_request_comments = models.TextField(blank=True)
    other_attributes = models.JSONField(default=dict, blank=True)
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [
            # Orders of another system may come without an accession number (type 2): each is one of its own.
            models.UniqueConstraint(
                fields=["accession_number", "issuer_of_accession_number"],
                condition=~models.Q(accession_number=""),
                name="worklist_request_identity",
            )
        ]

    def __str__(self) -> str:
        return self.accession_number


class RequestedProcedure(models.Model):
    imaging_service_request = models.ForeignKey(ImagingServiceRequest, models.PROTECT, related_name="procedures")
    requested_procedure_id = KeyField(max_length=TEXT, db_index=True)
    study_instance_uid = KeyField(max_length=UID, unique=True)
    requested_procedure_description = models.CharField(max_length=TEXT, blank=True)
    requested_procedure_code_sequence = models.JSONField(default=list, blank=True)
    requested_procedure_priority = KeyField(max_length=TEXT, blank=True)
    requested_procedure_location = models.CharField(max_length=TEXT, blank=True)
    requested_procedure_comments = models.TextField(blank=True)
    reason_for_the_requested_procedure = models.CharField(max_length=TEXT, blank=True)
    patient_transport_arrangements = models.CharField(max_length=TEXT, blank=True)
    confidentiality_code = models.CharField(max_length=TEXT, blank=True)
    other_attributes = models.JSONField(default=dict, blank=True)
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["imaging_service_request", "requested_procedure_id"], name="worklist_procedure_identity"
            )
        ]

    def __str__(self) -> str:
        return self.requested_procedure_id


class StepStatus(models.TextChoices):
    SCHEDULED = "SCHEDULED", "Scheduled"
    ARRIVED = "ARRIVED", "Arrived"
    READY = "READY", "Ready"
    STARTED = "STARTED", "Started"
    COMPLETED = "COMPLETED", "Completed"
    DISCONTINUED = "DISCONTINUED", "Discontinued"
    CANCELLED = "CANCELLED", "Cancelled"


class StepQuerySet(models.QuerySet["ScheduledProcedureStep"]):
    def visible_to(self, principal: Principal) -> StepQuerySet:
        return self if principal.may(Service.WORKLIST) else self.none()

    def with_order(self) -> StepQuerySet:
        """With all the rows above, in one statement."""
        request = "requested_procedure__imaging_service_request"
        return self.select_related(f"{request}__patient", f"{request}__visit")


class ScheduledProcedureStep(models.Model):
    requested_procedure = models.ForeignKey(RequestedProcedure, models.PROTECT, related_name="steps")
    scheduled_procedure_step_id = KeyField(max_length=TEXT, db_index=True)
    status = KeyField(max_length=16, choices=StepStatus, default=StepStatus.SCHEDULED)
    modality = KeyField(max_length=16)
    # Several stations may do the step: separated by backslashes.
    scheduled_station_ae_title = KeyField(max_length=TEXT, blank=True)
    scheduled_station_name = models.CharField(max_length=TEXT, blank=True)
    # Two values of the wall clock where the step is done, never shifted.
    scheduled_procedure_step_start_date = models.CharField(max_length=TEXT)
    scheduled_procedure_step_start_date_value = models.DateField(null=True)
    scheduled_procedure_step_start_time = models.CharField(max_length=TEXT)
    scheduled_procedure_step_start_time_value = models.TimeField(null=True)
    duration_minutes = models.PositiveSmallIntegerField(null=True, blank=True)
    scheduled_performing_physician_name = models.CharField(max_length=NAME, blank=True)
    scheduled_performing_physician_name_key = KeyField(max_length=NAME, blank=True)
    scheduled_procedure_step_description = models.CharField(max_length=TEXT, blank=True)
    scheduled_protocol_code_sequence = models.JSONField(default=list, blank=True)
    scheduled_procedure_step_location = models.CharField(max_length=TEXT, blank=True)
    pre_medication = models.CharField(max_length=TEXT, blank=True)
    requested_contrast_agent = models.CharField(max_length=TEXT, blank=True)
    comments_on_the_scheduled_procedure_step = models.TextField(blank=True)
    other_attributes = models.JSONField(default=dict, blank=True)
    revision = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField(db_index=True)

    objects = StepQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["requested_procedure", "scheduled_procedure_step_id"], name="worklist_step_identity"
            ),
            models.CheckConstraint(condition=models.Q(status__in=StepStatus.values), name="worklist_step_status"),
        ]
        indexes = [
            # As answers are sorted; `id` behind it: keyset pages of one moment walk the index. What else a modality
            # asks for stands in it too: of a day's steps only those that match are read.
            models.Index(
                fields=[
                    "scheduled_procedure_step_start_date_value",
                    "scheduled_procedure_step_start_time_value",
                    "id",
                    "scheduled_station_ae_title",
                    "modality",
                    "status",
                ],
                name="worklist_step_start",
            ),
            models.Index(
                fields=["scheduled_station_ae_title", "scheduled_procedure_step_start_date_value"],
                name="worklist_step_station",
            ),
            # Of steps for several stations.
            models.Index(
                fields=["scheduled_procedure_step_start_date_value"],
                name="worklist_step_stations",
                condition=models.Q(scheduled_station_ae_title__contains="\\"),
            ),
        ]

    def __str__(self) -> str:
        return self.scheduled_procedure_step_id

    @property
    def version(self) -> str:
        """Changes with the step and with every row above it: what a form or an ETag was made from."""
        procedure = self.requested_procedure
        request = procedure.imaging_service_request
        rows = (self, procedure, request, request.patient, *([request.visit] if request.visit else ()))
        return ".".join(str(row.revision) for row in rows)


class OrderChanges(models.Model):
    """How often a row above steps was changed: the sum of all rows. Several, so that two who change orders at the same
    time do not wait for each other. Who finds the same sum need not look at the rows above the steps again."""

    number = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.number)


class StepEvent(models.Model):
    """The step's history: who did what to it, and why; rows are added, never changed."""

    step = models.ForeignKey(ScheduledProcedureStep, models.CASCADE, related_name="events")
    at = models.DateTimeField()
    action = models.CharField(max_length=32)
    status = KeyField(max_length=16, choices=StepStatus, help_text="After it.")
    actor = models.CharField(max_length=150)
    reason = models.CharField(max_length=TEXT, blank=True)
    detail = models.JSONField(default=dict, blank=True, help_text="Attribute: [before, after].")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.action} {self.step_id}"


class LinkState(models.TextChoices):
    LINKED = "linked", "Linked"
    MISMATCH = "mismatch", "To be decided"
    DISMISSED = "dismissed", "Dismissed"
    WITHDRAWN = "withdrawn", "Does not match any more"


def sees_links(principal: Principal) -> bool:
    """A link tells whose a study is, so it asks for the right to see studies, too."""
    sees_studies = any(principal.may(service) for service in (Service.FIND, Service.MOVE, Service.GET))
    return sees_studies and principal.may(Service.WORKLIST)


class LinkQuerySet(models.QuerySet["StudyLink"]):
    def visible_to(self, principal: Principal) -> LinkQuerySet:
        return self if sees_links(principal) else self.none()


class StudyLink(models.Model):
    """A study of the archive and the requested procedure that it may fulfil. Nothing in the images changes by it."""

    study_instance_uid = KeyField(max_length=UID)
    requested_procedure = models.ForeignKey(RequestedProcedure, models.CASCADE, related_name="study_links")
    state = KeyField(max_length=16, choices=LinkState)
    matched_by = KeyField(max_length=32, help_text="Name of the attribute that brought them together.")
    compared = models.JSONField(default=dict, help_text="Attribute: [of the study, of the order].")
    differences = models.JSONField(default=list, help_text="Names of those that differ.")
    question = models.CharField(max_length=TEXT, blank=True, help_text="Why a person has to look, though all agrees.")
    decided_by = models.CharField(max_length=150, blank=True, help_text="The person whose decision the state is.")
    reason = models.CharField(max_length=TEXT, blank=True)
    revision = models.PositiveIntegerField(default=1)
    changed_at = models.DateTimeField()

    objects = LinkQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["study_instance_uid", "requested_procedure"], name="worklist_link_once"),
            models.CheckConstraint(condition=models.Q(state__in=LinkState.values), name="worklist_link_known"),
        ]
        indexes = [models.Index(fields=["state", "id"], name="worklist_link_state")]

    def __str__(self) -> str:
        return f"{self.study_instance_uid} {self.state}"


class StudyLinkEvent(models.Model):
    link = models.ForeignKey(StudyLink, models.CASCADE, related_name="events")
    at = models.DateTimeField()
    action = models.CharField(max_length=32)
    state = KeyField(max_length=16, choices=LinkState, help_text="After it.")
    actor = models.CharField(max_length=150)
    reason = models.CharField(max_length=TEXT, blank=True)
    differences = models.JSONField(default=list)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.action} {self.link_id}"


class ProcedureTemplate(models.Model):
    """What a form for a new step is filled with."""

    name = models.CharField(max_length=64, unique=True)
    modality = KeyField(max_length=16)
    requested_procedure_description = models.CharField(max_length=64, blank=True)
    requested_procedure_code_sequence = models.JSONField(default=list, blank=True)
    scheduled_procedure_step_description = models.CharField(max_length=64, blank=True)
    scheduled_protocol_code_sequence = models.JSONField(default=list, blank=True)
    scheduled_station_ae_title = KeyField(max_length=TEXT, blank=True)
    duration_minutes = models.PositiveSmallIntegerField(null=True, blank=True)
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["modality", "name"]

    def __str__(self) -> str:
        return f"{self.modality} {self.name}"
