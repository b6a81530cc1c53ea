"""Jobs as they run, and the schedules that make them."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.accounts.users import asking
from apps.audit.lists import ReadOnlyAdmin, moment
from apps.jobs import queue, schedules
from apps.jobs.models import ItemState, Job, Schedule

SHOWN = 100  # failed items and lines of one job on its page


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = [
        "id",
        "kind",
        "state",
        "progress",
        "error",
        "submitted_by",
        moment("created_at", "created"),
    ]
    list_display_links = ["id", "kind"]
    list_filter = ["state", "kind"]
    search_fields = ["id", "kind", "submitted_by", "error"]
    date_hierarchy = "created_at"
    actions = ["cancel", "retry"]
    fieldsets = [
        (None, {"fields": ["kind", "arguments", "submitted_by", "state", "progress", "error"]}),
        ("What it said", {"fields": ["lines", "failed_items"]}),
        (
            "How it runs",
            {
                "fields": [
                    ("created_at", "due_at", "started_at", "ended_at"),
                    ("attempts", "maximum_attempts", "priority", "key"),
                    ("worker", "lease_until", "cancel_requested"),
                ],
            },
        ),
    ]

    @admin.display(description="progress")
    def progress(self, job: Job) -> str:
        if not job.total:
            return "-"
        finished = job.done + job.failures
        return format_html(
            '<span class="nowrap"><progress value="{}" max="{}" aria-label="Progress"></progress> {} of {}{}</span>',
            finished,
            job.total,
            finished,
            job.total,
            f", {job.failures} failed" if job.failures else "",
        )

    @admin.display(description="lines")
    def lines(self, job: Job) -> SafeString | str:
        rows = list(job.lines.order_by("-id")[:SHOWN])[::-1]
        return format_html_join("\n", "<div>{} {}</div>", ((f"{row.at:%H:%M:%S}", row.text) for row in rows)) or "-"

    @admin.display(description="failed items")
    def failed_items(self, job: Job) -> SafeString | str:
        rows = job.items.filter(state=ItemState.FAILED)[:SHOWN]
        return format_html_join("\n", "<div>{}: {}</div>", ((row.key, row.error) for row in rows)) or "-"

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("jobs.change_job"))

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        cancelled = sum(queue.cancel(job, principal=asking(request)) for job in queryset)
        self.message_user(request, f"{cancelled} cancelled; a running job ends before its next step.")

    @admin.action(description="Try again", permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        for job in queryset:
            try:
                queued = queue.retry(job, principal=asking(request))
            except ValidationError as error:
                self.message_user(request, f"{job}: {error.message}", messages.WARNING)
                continue
            if queued:
                self.message_user(request, f"{job} waits to run again.", messages.SUCCESS)
            else:
                self.message_user(request, f"{job} has neither failed nor been cancelled.", messages.WARNING)


@admin.register(Schedule)
class ScheduleAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """When, not what: kinds of job and their arguments are the program's."""

    list_display = [
        "name",
        "kind",
        "every",
        "at",
        "cron",
        "enabled",
        moment("last_at", "last run"),
        moment("next_at", "next run"),
    ]
    list_filter = ["enabled"]
    fields = ["name", "kind", "arguments", "enabled", "every", "at", "cron", "last_at", "next_at"]
    readonly_fields = ["name", "kind", "arguments", "last_at", "next_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Schedule, form: Any, change: bool) -> None:
        schedules.save(obj, principal=asking(request))
