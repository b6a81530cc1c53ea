"""What modalities report of the steps they perform (PS3.3 B.17): all of it as DICOM JSON, and columns for what is
listed and searched.

Columns are DICOM keywords in snake_case holding the text as sent; `_value` holds a date or time, `_key` a name
normalised by `dicom.values.name_key`.
"""

from __future__ import annotations

from django.db import models

from apps.accounts.principal import Principal
from apps.fields import KeyField
from apps.worklist.models import ScheduledProcedureStep
from dicom.sop_classes import Service

UID = 64
TEXT = 256
NAME = 400


class PerformedStatus(models.TextChoices):
    IN_PROGRESS = "IN PROGRESS", "In progress"
    COMPLETED = "COMPLETED", "Completed"
    DISCONTINUED = "DISCONTINUED", "Discontinued"


class PerformedQuerySet(models.QuerySet["PerformedProcedureStep"]):
    def visible_to(self, principal: Principal) -> PerformedQuerySet:
        return self if principal.may(Service.MPPS) or principal.may(Service.WORKLIST) else self.none()


class PerformedProcedureStep(models.Model):
    sop_instance_uid = KeyField(max_length=UID, unique=True)
    status = KeyField(max_length=16, choices=PerformedStatus, default=PerformedStatus.IN_PROGRESS)
    attributes = models.JSONField(default=dict, help_text="The whole data set, in the DICOM JSON model.")
    performed_procedure_step_id = KeyField(max_length=TEXT, blank=True)
    performed_procedure_step_description = models.CharField(max_length=TEXT, blank=True)
    performed_station_ae_title = KeyField(max_length=TEXT, blank=True, db_index=True)
    performed_station_name = models.CharField(max_length=TEXT, blank=True)
    performed_location = models.CharField(max_length=TEXT, blank=True)
    performed_procedure_step_start_date = models.CharField(max_length=TEXT, blank=True)
    performed_procedure_step_start_date_value = models.DateField(null=True)
    performed_procedure_step_start_time = models.CharField(max_length=TEXT, blank=True)
    performed_procedure_step_start_time_value = models.TimeField(null=True)
    performed_procedure_step_end_date = models.CharField(max_length=TEXT, blank=True)
    performed_procedure_step_end_time = models.CharField(max_length=TEXT, blank=True)
    modality = KeyField(max_length=TEXT, blank=True)
    study_id = KeyField(max_length=TEXT, blank=True)
    patient_id = KeyField(max_length=TEXT, blank=True, db_index=True)
    issuer_of_patient_id = KeyField(max_length=TEXT, blank=True)
    patient_name = models.CharField(max_length=NAME, blank=True)
    patient_name_key = KeyField(max_length=NAME, blank=True, db_index=True)
    patient_birth_date = models.CharField(max_length=TEXT, blank=True)
    patient_sex = KeyField(max_length=TEXT, blank=True)
    discontinuation_reason = models.CharField(max_length=TEXT, blank=True)
    # The modality chose the wrong worklist entry: the scheduled step is given back, the images are somebody else's.
    needs_reconciliation = models.BooleanField(default=False)
    number_of_instances = models.PositiveIntegerField(default=0, help_text="That it refers to.")
    calling_ae_title = KeyField(max_length=16, blank=True)
    peer = models.CharField(max_length=64, blank=True)
    revision = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField(db_index=True)
    ended_at = models.DateTimeField(null=True)

    objects = PerformedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(status__in=PerformedStatus.values), name="mpps_performed_status")
        ]
        indexes = [
            models.Index(fields=["status", "-id"], name="mpps_performed_board"),
            models.Index(fields=["performed_procedure_step_start_date_value", "id"], name="mpps_performed_start"),
        ]

    def __str__(self) -> str:
        return self.sop_instance_uid


class ScheduledStepAttributes(models.Model):
    """One item of the Scheduled Step Attributes Sequence, and the scheduled step that it means, if there is one."""

    performed = models.ForeignKey(PerformedProcedureStep, models.CASCADE, related_name="scheduled")
    position = models.PositiveSmallIntegerField()
    study_instance_uid = KeyField(max_length=UID, db_index=True)
    accession_number = KeyField(max_length=TEXT, blank=True)
    requested_procedure_id = KeyField(max_length=TEXT, blank=True)
    scheduled_procedure_step_id = KeyField(max_length=TEXT, blank=True, db_index=True)
    step = models.ForeignKey(
        ScheduledProcedureStep, models.SET_NULL, null=True, blank=True, related_name="performed_as"
    )
    of_another_patient = models.BooleanField(
        default=False, help_text="Names a step of another patient, and is not linked to it: a person decides."
    )
    by_hand = models.BooleanField(default=False, help_text="Linked or unlinked by a person.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["performed", "position"], name="mpps_scheduled_once")]

    def __str__(self) -> str:
        return f"{self.scheduled_procedure_step_id or 'unscheduled'}"


class PerformedInstance(models.Model):
    """One instance that a performed series refers to."""

    performed = models.ForeignKey(PerformedProcedureStep, models.CASCADE, related_name="instances")
    series_instance_uid = KeyField(max_length=UID)
    sop_class_uid = KeyField(max_length=UID)
    sop_instance_uid = KeyField(max_length=UID, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["performed", "sop_instance_uid"], name="mpps_instance_once")]

    def __str__(self) -> str:
        return self.sop_instance_uid


class PerformedEvent(models.Model):
    """The step's history: what was reported or done by hand, when, by whom; rows are added, never changed."""

    performed = models.ForeignKey(PerformedProcedureStep, models.CASCADE, related_name="events")
    at = models.DateTimeField()
    action = models.CharField(max_length=32)
    status = KeyField(max_length=16, choices=PerformedStatus, help_text="After it.")
    actor = models.CharField(max_length=150)
    reason = models.CharField(max_length=TEXT, blank=True)
    detail = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.action} {self.performed_id}"


class ForwardedStep(models.Model):
    """What another system, a peer by its name, was told of a step."""

    performed = models.ForeignKey(PerformedProcedureStep, models.CASCADE, related_name="forwarded")
    peer = models.CharField(max_length=64)
    created = models.BooleanField(default=False, help_text="By N-CREATE.")
    digest = models.CharField(max_length=32, blank=True, help_text="Of the attributes it was told last.")
    forwarded_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["performed", "peer"], name="mpps_forwarded_once")]

    def __str__(self) -> str:
        return f"{self.performed_id} to {self.peer}"
