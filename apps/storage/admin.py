"""What the archive holds, and what waits for a human: quarantine, conflicts, failed and deleted files."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import pluralize
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.accounts.users import asking
from apps.audit.lists import ButtonAdmin, EitherFilter, ReadOnlyAdmin, date, moment, text, uid
from apps.storage import archive, failed, spool
from apps.storage.differences import differences
from apps.storage.models import (
    Conflict,
    DamagedFile,
    DeletedInstance,
    FailedFile,
    Instance,
    Patient,
    QuarantinedInstance,
    QuarantineState,
    Series,
    Study,
)
from apps.storage.store import store
from dicom.errors import DicomError, InvalidDataSet
from dicom.sop_classes import Service

PATIENT_NAME = 0x00100010
PATIENT_ID = 0x00100020


def _since(name: str) -> str:
    """When the file of this name came."""
    return f"since {timezone.localtime(spool.moment(spool.received_ns(name))):%Y-%m-%d %H:%M}"


@admin.register(Patient)
class PatientAdmin(ReadOnlyAdmin):
    list_display = [
        text("patient_name", "name"),
        text("patient_id", "patient ID"),
        text("issuer_of_patient_id", "issuer"),
        date("patient_birth_date", "born"),
        "patient_sex",
    ]
    search_fields = ["patient_id__startswith", "patient_name_key__startswith"]
    search_help_text = "Beginning of the patient ID, or of the name in small letters without accents."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Patient]:
        seen = Study.objects.visible_to(asking(request)).values("patient")
        return super().get_queryset(request).filter(pk__in=seen)


@admin.register(Study)
class StudyAdmin(ReadOnlyAdmin):
    list_display = [
        text("patient__patient_name", "patient"),
        text("patient__patient_id", "patient ID"),
        date("study_date", "date"),
        text("modalities_in_study", "modalities"),
        text("study_description", "description"),
        text("accession_number", "accession"),
        "holds",
        "images",
        moment("received_at", "received"),
    ]
    list_select_related = ["patient"]
    search_fields = [
        "study_instance_uid__exact",
        "accession_number__exact",
        "patient__patient_id__startswith",
        "patient__patient_name_key__startswith",
    ]
    search_help_text = "Study Instance UID, accession number, beginning of the patient ID or of the name."
    date_hierarchy = "study_date_value"
    actions = ["delete_studies"]

    @admin.display(description="images")
    def images(self, study: Study) -> SafeString:
        viewer = reverse("viewer-file", args=["viewer"])  # of a room above, known by its name
        return format_html('<a href="{}?StudyInstanceUIDs={}">View</a>', viewer, study.study_instance_uid)

    @admin.display(description="holds", ordering="number_of_study_related_instances")
    def holds(self, study: Study) -> SafeString:
        return format_html(
            '<a class="nowrap" href="{}?q={}">{} series, {} instance{}</a>',
            reverse("admin:storage_series_changelist"),
            study.study_instance_uid,
            study.number_of_study_related_series,
            study.number_of_study_related_instances,
            pluralize(study.number_of_study_related_instances),
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Study]:
        return Study.objects.visible_to(asking(request)).order_by("-received_at")

    @admin.action(description="Delete selected studies")
    def delete_studies(self, request: HttpRequest, queryset: QuerySet[Study]) -> HttpResponse | None:
        if not asking(request).may_delete:
            raise PermissionDenied
        if request.POST.get("confirmed") != "yes":
            return self._confirm(request, queryset)
        for study in queryset:
            try:
                count = archive.delete(principal=asking(request), study_instance_uid=study.study_instance_uid)
            except DicomError as error:
                self.message_user(request, f"{study.study_instance_uid}: {error}", messages.ERROR)
            else:
                self.message_user(request, f"{study.study_instance_uid}: {count} files deleted.", messages.SUCCESS)
        return None

    def _confirm(self, request: HttpRequest, queryset: QuerySet[Study]) -> HttpResponse:
        studies = list(queryset.select_related("patient"))
        context = {
            **self.admin_site.each_context(request),
            "title": "Delete this study?" if len(studies) == 1 else f"Delete {len(studies)} studies?",
            "studies": studies,
            "instances": sum(study.number_of_study_related_instances for study in studies),
            "hours": int(archive.RESTORABLE.total_seconds() // 3600),
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/storage/delete_studies.html", context)


@admin.register(Series)
class SeriesAdmin(ReadOnlyAdmin):
    list_display = [
        uid("series_instance_uid", "series"),
        text("modality", "modality"),
        text("series_number", "number"),
        text("series_description", "description"),
        text("body_part_examined", "body part"),
        "instances",
        moment("changed_at", "changed"),
    ]
    list_filter = ["modality"]
    search_fields = ["series_instance_uid__exact", "study__study_instance_uid__exact"]

    @admin.display(description="instances", ordering="number_of_series_related_instances")
    def instances(self, series: Series) -> int:
        return series.number_of_series_related_instances

    def get_queryset(self, request: HttpRequest) -> QuerySet[Series]:
        visible = Study.objects.visible_to(asking(request))
        return super().get_queryset(request).filter(study__in=visible).order_by("-changed_at")


class DecidingAdmin(ButtonAdmin):
    """Buttons that end in a verb of the archive; what it refuses is said. `done` may name what it gives."""

    def decide(self, request: HttpRequest, done: str, verb: Any, **arguments: Any) -> HttpResponse:
        if not request.user.has_perm(f"storage.change_{self.opts.model_name}"):
            raise PermissionDenied
        try:
            result = verb(principal=asking(request), **arguments)
        except DicomError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, done.format(result), messages.SUCCESS)
        return self.back()


@admin.register(QuarantinedInstance)
class QuarantinedInstanceAdmin(DecidingAdmin):
    list_display = [
        uid("sop_instance_uid", "instance"),
        "decision",
        "patient",
        text("calling_ae_title", "sender"),
        moment("received_at", "received"),
        "state",
    ]
    list_filter = ["state", "calling_ae_title"]
    search_fields = ["sop_instance_uid__exact", "study_instance_uid__exact"]
    ordering = ["-received_at"]

    fields = [
        "sop_instance_uid",
        "patient",
        "reason",
        "differences",
        "study_instance_uid",
        "series_instance_uid",
        "calling_ae_title",
        "received_at",
        "state",
        "resolved_by",
        "resolved_at",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[QuarantinedInstance]:
        rows: QuerySet[QuarantinedInstance] = super().get_queryset(request)
        return rows if asking(request).may(Service.FIND) else rows.none()

    @admin.display(description="patient")
    def patient(self, row: QuarantinedInstance) -> SafeString | str:
        """As its own file says, which is not what the archive shows elsewhere."""
        try:
            header = store().read(row.path).header
        except (OSError, InvalidDataSet):
            return "-"
        return format_html("<bdi>{}</bdi> {}", header.text(PATIENT_NAME) or "-", header.text(PATIENT_ID))

    @admin.display(description="differences")
    def differences(self, row: QuarantinedInstance) -> SafeString | str:
        current = Instance.objects.filter(sop_instance_uid=row.sop_instance_uid).first()
        if current is None:
            return "The archive holds no other version now."
        try:
            files = [store().read(path) for path in (current.path, row.path)]
            found = differences(*files)
        except (OSError, InvalidDataSet) as error:
            return f"The files cannot be compared: {error}"
        return render_to_string("admin/storage/differences.html", {"differences": found})

    @admin.display(description="")
    def decision(self, row: QuarantinedInstance) -> str | SafeString:
        if row.state == QuarantineState.DISCARDED:
            return "-"
        return self.button("accept", "Make current", row) + self.button("discard", "Discard", row)

    def press_accept(self, request: HttpRequest, row: QuarantinedInstance) -> HttpResponse:
        return self.decide(request, "This version is the current one now.", archive.accept, name=row.name)

    def press_discard(self, request: HttpRequest, row: QuarantinedInstance) -> HttpResponse:
        return self.decide(request, "This version is discarded.", archive.discard, name=row.name)

    buttons = {"accept": press_accept, "discard": press_discard}


class OpenFilter(EitherFilter):
    parameter_name = "open"
    condition = Q(is_open=True)
    holds, otherwise = ("yes", "open"), ("no", "dismissed")


@admin.register(Conflict)
class ConflictAdmin(DecidingAdmin):
    list_display = ["kind", "decision", "what", "said", text("key", "of"), moment("last_seen", "last seen")]
    list_filter = [OpenFilter, "kind"]
    search_fields = ["key__startswith"]
    ordering = ["-last_seen"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conflict]:
        return super().get_queryset(request).exclude(values=[])  # what was dismissed and is no disagreement any more

    @admin.display(description="attribute", ordering="attribute")
    def what(self, row: Conflict) -> str:
        return row.attribute.replace("_", " ")

    @admin.display(description="values")
    def said(self, row: Conflict) -> SafeString:
        return format_html_join(
            SafeString("<br>"),
            '<bdi>{}</bdi> <span class="quiet">{}</span>',
            ((value or "(empty)", _since(name)) for value, name in row.values),
        )

    @admin.display(description="")
    def decision(self, row: Conflict) -> str | SafeString:
        return self.button("dismiss", "Dismiss", row) if row.is_open else f"dismissed by {row.dismissed_by}"

    def press_dismiss(self, request: HttpRequest, row: Conflict) -> HttpResponse:
        return self.decide(request, "Dismissed; another value opens it again.", archive.dismiss, conflict=row)

    buttons = {"dismiss": press_dismiss}


@admin.register(FailedFile)
class FailedFileAdmin(DecidingAdmin):
    list_display = [moment("failed_at", "put aside"), "decision", text("reason", "reason"), "node", "name"]
    list_filter = ["node"]
    search_fields = ["name"]
    ordering = ["-failed_at"]

    @admin.display(description="")
    def decision(self, row: FailedFile) -> str | SafeString:
        return "given back" if row.retried_at else self.button("retry", "Try again", row)

    def press_retry(self, request: HttpRequest, row: FailedFile) -> HttpResponse:
        return self.decide(request, "The indexer takes it again.", failed.retry, row=row)

    buttons = {"retry": press_retry}


@admin.register(DamagedFile)
class DamagedFileAdmin(ReadOnlyAdmin):
    list_display = [
        uid("sop_instance_uid", "instance"),
        text("fault", "what is wrong"),
        "is_open",
        moment("first_seen", "first seen"),
        moment("last_seen", "last seen"),
        "found_by",
        "path",
    ]
    list_filter = ["is_open", "fault"]
    search_fields = ["sop_instance_uid__exact", "name"]
    ordering = ["-is_open", "-last_seen"]


@admin.register(DeletedInstance)
class DeletedInstanceAdmin(DecidingAdmin):
    list_display = [
        uid("sop_instance_uid", "instance"),
        "decision",
        uid("study_instance_uid", "study"),
        moment("deleted_at", "deleted"),
        "deleted_by",
    ]
    search_fields = ["sop_instance_uid__exact", "study_instance_uid__exact"]
    ordering = ["-deleted_at"]

    @admin.display(description="")
    def decision(self, row: DeletedInstance) -> str | SafeString:
        return "removed for good" if row.purged_at else self.button("restore", "Restore the whole deletion", row)

    def press_restore(self, request: HttpRequest, row: DeletedInstance) -> HttpResponse:
        answer = self.decide(request, "Files that are back: {}.", archive.restore, deletion=row.record)
        if left := DeletedInstance.objects.filter(record=row.record, purged_at=None).count():
            why = "what has come again is not needed, or the file cannot be read"
            self.message_user(request, f"Files that stay deleted: {left} ({why}).", messages.WARNING)
        return answer

    buttons = {"restore": press_restore}
