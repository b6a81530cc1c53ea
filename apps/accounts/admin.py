"""Users and roles; what is done to them stands in the trail."""

from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse

from apps.accounts import tokens
from apps.accounts.models import ApiToken
from apps.accounts.users import asking
from apps.audit import trail
from apps.audit.trail import Actor

admin.site.site_header = "PACS"
admin.site.site_title = "PACS"
admin.site.index_title = "Administration"
admin.site.unregister(User)
admin.site.unregister(Group)

_KINDS: Final = {User: "user", Group: "role", ApiToken: "token"}


class Audited:
    """Writes the trail where the admin writes its own log, in the same transaction; values that are secret never."""

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self._record(request, "add", obj, message)
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self._record(request, "change", obj, message)
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        for obj in queryset:
            self._record(request, "delete", obj, [])
        return super().log_deletions(request, queryset)  # type: ignore[misc]

    def _record(self, request: HttpRequest, action: str, obj: Model, message: Any) -> None:
        detail: dict[str, Any] = {"message": message}  # names of the fields that changed
        if isinstance(obj, User) and action != "delete":
            roles = sorted(obj.groups.values_list("name", flat=True))
            detail |= {"active": obj.is_active, "staff": obj.is_staff, "superuser": obj.is_superuser, "roles": roles}
        kind = _KINDS.get(type(obj), obj._meta.model_name)
        trail.record(actor=Actor.of(asking(request)), action=action, object=f"{kind} {obj}", detail=detail)


@admin.register(User)
class AuditedUserAdmin(Audited, UserAdmin):  # type: ignore[type-arg]
    @transaction.atomic
    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        return super().user_change_password(request, id, form_url)

    @transaction.atomic
    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any) -> HttpResponse | None:
        return super().response_action(request, queryset, *args)


@admin.register(Group)
class AuditedGroupAdmin(Audited, GroupAdmin):
    @transaction.atomic
    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any) -> HttpResponse | None:
        return super().response_action(request, queryset, *args)


@admin.register(ApiToken)
class ApiTokenAdmin(Audited, admin.ModelAdmin):  # type: ignore[type-arg]
    """Made and revoked, never changed."""

    list_display = ["name", "user", "hint", "created_at", "last_used_at", "expires_at", "revoked_at"]
    list_select_related = ["user"]
    search_fields = ["name", "user__username", "hint"]
    autocomplete_fields = ["user"]
    actions = ["revoke"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and super().has_change_permission(request)

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        """The verb has written the trail."""
        return admin.ModelAdmin.log_addition(self, request, obj, message)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        made, text = tokens.issue(principal=asking(request), user=obj.user, name=obj.name, expires_at=obj.expires_at)
        obj.pk, obj.hint = made.pk, made.hint
        self.message_user(request, f"The token, shown this once: {text}", messages.WARNING)

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        for token in queryset:
            tokens.revoke(principal=asking(request), token=token)
        names = ", ".join(str(token) for token in queryset)
        self.message_user(request, f"Revoked: {names}", messages.SUCCESS)
