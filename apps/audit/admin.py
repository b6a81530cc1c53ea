from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from apps.audit.models import AuditEvent


def moment(field: str, description: str) -> Any:
    """A column that shows a time to the second: what happened first is what people look for here."""

    @admin.display(description=description, ordering=field)
    def show(row: Any) -> str:
        value = getattr(row, field)
        if value is None:
            return "-"
        return format_html('<span class="nowrap">{}</span>', f"{timezone.localtime(value):%Y-%m-%d %H:%M:%S}")

    return show


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that the program writes and people look at."""

    show_full_result_count = False

    class Media:
        css = {"all": ["audit/lists.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = [moment("at", "time"), "who", "action", "what", "outcome", "address"]
    list_filter = ["action", "outcome", "actor_kind", "object_kind"]
    search_fields = ["actor_name", "actor_ae_title", "object_uid", "address"]
    date_hierarchy = "at"

    @admin.display(description="who", ordering="actor_name")
    def who(self, event: AuditEvent) -> str:
        return " ".join(filter(None, (event.actor_kind, event.actor_name)))

    @admin.display(description="what", ordering="object_uid")
    def what(self, event: AuditEvent) -> str:
        return " ".join(filter(None, (event.object_kind, event.object_uid)))
