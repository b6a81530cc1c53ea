from django.contrib import admin

from apps.audit.lists import ReadOnlyAdmin, moment
from apps.audit.models import AuditEvent


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
