"""What peers asked us to keep, what we asked of them, and what came of it."""

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.audit.lists import ReadOnlyAdmin, moment
from apps.commitment import pages
from apps.commitment.models import CommitmentRequest

SHOWN = 100  # references of one request on its page


@admin.register(CommitmentRequest)
class CommitmentRequestAdmin(ReadOnlyAdmin):
    list_display = [
        "id",
        moment("created_at", "asked"),
        "direction",
        "peer",
        "calling_ae_title",
        "state",
        "references",
        "committed",
        "failed",
        "error",
    ]
    list_display_links = ["id"]
    list_filter = ["direction", "state"]
    search_fields = ["transaction_uid__exact", "peer", "calling_ae_title"]
    date_hierarchy = "created_at"
    fieldsets = [
        (None, {"fields": ["direction", "transaction_uid", "peer", ("calling_ae_title", "called_ae_title")]}),
        ("What came of it", {"fields": ["state", "error", ("references", "committed", "failed"), "not_committed"]}),
        (
            "When",
            {"fields": [("created_at", "asked_at", "decided_at", "reported_at"), ("held_by", "held_until"), "job"]},
        ),
    ]

    @admin.display(description="not committed")
    def not_committed(self, request: CommitmentRequest) -> SafeString | str:
        rows = ((each.sop_instance_uid, each.text) for each in pages.failed(request, SHOWN))
        more = request.failed - SHOWN
        shown = format_html_join("\n", "<div>{}: {}</div>", rows)
        return format_html("{}<div>and {} more</div>", shown, more) if more > 0 else shown or "-"
