"""Listeners, peers and what came of them; every change goes through the verbs of `config` and `log`."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from apps.accounts.users import asking
from apps.audit.lists import ButtonAdmin, EitherFilter, ReadOnlyAdmin, moment
from apps.network import config, log
from apps.network.calling import secured
from apps.network.forms import DicomwebServerForm, ListenerForm, PeerForm
from apps.network.models import AssociationLog, DicomwebServer, Listener, Node, Peer, RefusedCaller
from apps.network.nodes import FRESH
from apps.network.scu import verify
from dicom.errors import DicomError
from dicom.sop_classes import Service


class ConfiguredAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows whose change the listeners must hear of."""

    class Media:
        css = {"all": ["network/forms.css"]}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        config.save(obj, principal=asking(request))
        self.message_user(request, "The listeners follow within two seconds.", messages.INFO)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        config.delete(obj, principal=asking(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        with transaction.atomic():
            for row in queryset:
                config.delete(row, principal=asking(request))

    @admin.display(description="services")
    def offered(self, row: Listener | Peer) -> str:
        return ", ".join(name for name in row.services if name != Service.ECHO) or "-"


@admin.register(Listener)
class ListenerAdmin(ConfiguredAdmin):
    form = ListenerForm
    list_display = ["name", "ae_title", "host", "port", "offered", "enabled"]
    list_filter = ["enabled"]
    search_fields = ["name", "ae_title", "host"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return list(obj.locked) if obj else []

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        note = "PACS_DIMSE or PACS_AE_TITLE in the environment of the server decides what is shown here as text."
        return [
            (
                None,
                {
                    "fields": ["name", "enabled", "ae_title", "any_called_ae_title", "host", "port"],
                    "description": note if obj and obj.locked else "",
                },
            ),
            ("What it offers", {"fields": ["services"]}),
            (
                "Behind a balancer",
                {
                    "fields": ["balancers"],
                    "classes": ["collapse"],
                    "description": "While some are named, no row for any AE title lets in who calls from this machine:"
                    " behind a balancer he may be anybody.",
                },
            ),
            (
                "TLS",
                {"fields": ["certificate", "private_key", "client_certificate_authority"], "classes": ["collapse"]},
            ),
            ("Limits", {"fields": ["maximum_associations", "maximum_length"], "classes": ["collapse"]}),
            (
                "Patience, in seconds",
                {
                    "fields": ["acse_timeout", "pdu_timeout", "dimse_timeout", "idle_timeout"],
                    "classes": ["collapse"],
                },
            ),
        ]


@admin.register(Peer)
class PeerAdmin(ConfiguredAdmin):
    form = PeerForm
    list_display = ["name", "ae_title", "calls_from", "called_at", "offered", "enabled"]
    list_filter = ["enabled", "duplicate_policy"]
    search_fields = ["name", "ae_title", "host", "address_ranges"]
    actions = ["verify"]
    save_as = True
    fieldsets = [
        (None, {"fields": ["name", "enabled", "ae_title"]}),
        ("When it calls us", {"fields": ["address_ranges", "services"]}),
        ("When we call it", {"fields": ["host", "port"]}),
        (
            "TLS when we call it",
            {
                "fields": ["tls", "verify_tls", "certificate_authority", "certificate", "private_key"],
                "classes": ["collapse"],
            },
        ),
        (
            "Its images",
            {
                "fields": [
                    "duplicate_policy",
                    "default_issuer_of_patient_id",
                    "default_character_set",
                    "private_sop_classes",
                    "preferred_transfer_syntaxes",
                ],
                "classes": ["collapse"],
            },
        ),
        (
            "Its queries",
            {
                "fields": ["specific_character_set", "strict_identifiers", "query_limit", "success_at_limit"],
                "classes": ["collapse"],
            },
        ),
        (
            "Its worklist",
            {
                "fields": [
                    "worklist_own_station_only",
                    "worklist_statuses",
                    "worklist_days_back",
                    "worklist_days_ahead",
                ],
                "classes": ["collapse"],
            },
        ),
        ("Its performed procedure steps", {"fields": ["strict_mpps"], "classes": ["collapse"]}),
        ("Limits", {"fields": ["maximum_associations", "idle_timeout"], "classes": ["collapse"]}),
        (
            "What is sent to it",
            {
                "fields": [("jobs_at_once", "associations_per_job"), "rate_limit", "commits_storage", "forwards_mpps"],
                "classes": ["collapse"],
            },
        ),
    ]

    @admin.display(description="calls from", ordering="address_ranges")
    def calls_from(self, peer: Peer) -> str:
        ranges = peer.address_ranges.split()
        more = f" and {len(ranges) - 3} more" if len(ranges) > 3 else ""
        return ", ".join(ranges[:3]) + more or peer.host or "-"

    @admin.display(description="is called at", ordering="host")
    def called_at(self, peer: Peer) -> str:
        return f"{peer.host}:{peer.port}" if peer.host and peer.port else "-"

    @admin.action(description="Verify the connection (C-ECHO)", permissions=["view"])
    def verify(self, request: HttpRequest, queryset: QuerySet[Peer]) -> None:
        ours = Listener.objects.order_by("-enabled", "id").values_list("ae_title", flat=True).first() or "PACS"
        for peer in queryset[:10]:
            if not peer.host or not peer.port:
                self.message_user(request, f"{peer.name} has no host and port to call.", messages.WARNING)
                continue
            try:
                seconds = verify(
                    host=peer.host,
                    port=peer.port,
                    called_ae_title=peer.ae_title,
                    calling_ae_title=ours,
                    tls=secured(peer),
                )
            except DicomError as error:
                self.message_user(request, f"{peer.name} at {peer.host}:{peer.port}: {error}", messages.ERROR)
            else:
                self.message_user(request, f"{peer.name} answered in {seconds * 1000:.0f} ms.", messages.SUCCESS)


@admin.register(DicomwebServer)
class DicomwebServerAdmin(ConfiguredAdmin):
    form = DicomwebServerForm
    list_display = ["name", "url", "enabled"]
    list_filter = ["enabled"]
    search_fields = ["name", "url"]
    fieldsets = [
        (None, {"fields": ["name", "enabled", "url"]}),
        ("Who we are to it", {"fields": ["username", "password", "token"]}),
        ("TLS", {"fields": ["verify_tls", "certificate_authority"], "classes": ["collapse"]}),
        ("Limits", {"fields": ["timeout", "jobs_at_once"], "classes": ["collapse"]}),
    ]


@admin.register(RefusedCaller)
class RefusedCallerAdmin(ButtonAdmin):
    """Accept makes a peer, and shows it for editing."""

    list_display = [
        "calling_ae_title",
        "address",
        "accept",
        "reason",
        "called_ae_title",
        "count",
        moment("last_seen", "last seen"),
    ]
    search_fields = ["calling_ae_title", "called_ae_title", "address"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("network.delete_refusedcaller"))

    def delete_model(self, request: HttpRequest, obj: RefusedCaller) -> None:
        config.dismiss(obj, principal=asking(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[RefusedCaller]) -> None:
        for row in queryset:
            config.dismiss(row, principal=asking(request))

    @admin.display(description="")
    def accept(self, row: RefusedCaller) -> SafeString | str:
        # Who never said a name spoke no DICOM.
        return self.button("accept", "Accept", row) if row.calling_ae_title else ""

    def press_accept(self, request: HttpRequest, row: RefusedCaller) -> HttpResponse:
        if not request.user.has_perms(["network.add_peer", "network.change_peer"]):
            raise PermissionDenied
        try:
            peer = config.accept(row, principal=asking(request))
        except ValidationError as error:
            self.message_user(request, f"It cannot be a peer: {' '.join(error.messages)}", messages.ERROR)
            return self.back()
        self.message_user(
            request,
            f"{row.calling_ae_title} is known at {row.address} within two seconds. Look through what it may do. "
            f"It was refused because: {row.reason}",
            messages.SUCCESS,
        )
        return HttpResponseRedirect(reverse("admin:network_peer_change", args=[peer.pk]))

    buttons = {"accept": press_accept}


class LivingFilter(EitherFilter):
    parameter_name = "state"
    condition = Q(ended_at__isnull=True)
    holds, otherwise = ("live", "alive"), ("ended", "ended")


@admin.register(AssociationLog)
class AssociationLogAdmin(ButtonAdmin):
    list_display = [
        moment("began_at", "began"),
        "caller",
        "peer",
        "result",
        "lasted",
        "requests",
    ]
    list_filter = [LivingFilter, "listener"]
    search_fields = ["calling_ae_title", "called_ae_title", "address", "peer", "association_id"]
    date_hierarchy = "began_at"

    @admin.display(description="caller", ordering="calling_ae_title")
    def caller(self, row: AssociationLog) -> str:
        return f"{row.calling_ae_title} at {row.address}"

    @admin.display(description="requests")
    def requests(self, row: AssociationLog) -> str:
        return (
            format_html_join(", ", '<span class="nowrap">{}</span>', ((line,) for line in log.lines_of(row.messages)))
            or "-"
        )

    @admin.display(description="lasted")
    def lasted(self, row: AssociationLog) -> str:
        seconds = int(((row.ended_at or timezone.now()) - row.began_at).total_seconds())
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"

    @admin.display(description="outcome", ordering="outcome")
    def result(self, row: AssociationLog) -> str:
        if row.ended_at is not None:
            return row.outcome
        return "is being aborted" if row.abort_requested else self.button("abort", "Abort", row)

    def press_abort(self, request: HttpRequest, row: AssociationLog) -> HttpResponse:
        if not request.user.has_perm("network.change_associationlog"):
            raise PermissionDenied
        if log.request_abort(row, principal=asking(request)):
            self.message_user(request, f"The association with {row.calling_ae_title} is being aborted.")
        else:
            self.message_user(request, "It had ended already.", messages.WARNING)
        return self.back()

    buttons = {"abort": press_abort}


@admin.register(Node)
class NodeAdmin(ReadOnlyAdmin):
    list_display = [
        "role",
        "node",
        "alive",
        moment("seen_at", "last seen"),
        moment("started_at", "started"),
        "process",
        "version",
    ]

    @admin.display(description="alive", boolean=True)
    def alive(self, row: Node) -> bool:
        return timezone.now() - row.seen_at < FRESH
