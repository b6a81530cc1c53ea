"""Routing rules in the admin: each change goes through the verbs of `rules`."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from apps.accounts.rest import InvalidRequest
from apps.accounts.users import asking
from apps.audit.lists import moment
from apps.routing import rules
from apps.routing.models import RoutingRule
from apps.routing.rules import Draft, NotAllowed

_FIELDS = ("name", "enabled", "when", "quiet_seconds", "match", "conditions", "stops", "priority")


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """`names`: of the destinations. Checked as rules of REST and of the pages are."""

    names = forms.MultipleChoiceField(label="Destinations", widget=forms.CheckboxSelectMultiple)

    class Meta:
        model = RoutingRule
        fields = _FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = [each.name for each in rules.possible()]
        chosen = [each.name for each in Draft.of(self.instance).destinations] if self.instance.pk else []
        self.fields["names"].initial = chosen
        self.fields["names"].choices = [(name, name) for name in dict.fromkeys([*known, *chosen])]  # type: ignore[attr-defined]
        self.draft: Draft | None = None

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if self.errors:
            return cleaned
        said = {name: cleaned[name] for name in _FIELDS} | {"destinations": cleaned["names"]}
        said["conditions"] = said["conditions"] or []
        try:
            base = Draft.of(RoutingRule.objects.get(pk=self.instance.pk)) if self.instance.pk else None
            self.draft = Draft.read(said, base=base)
        except InvalidRequest as error:
            for name, text in error.errors.items():
                place = name.partition("[")[0].replace("destinations", "names")
                self.add_error(place, f"{name}: {text}" if "[" in name else text)
        return cleaned


@admin.register(RoutingRule)
class RoutingRuleAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = RuleForm
    list_display = [
        "position",
        "name",
        "enabled",
        "when",
        "what",
        "whereto",
        "fired",
        moment("last_fired_at", "last fired"),
        "last_error",
    ]
    list_display_links = ["name"]
    ordering = ["position", "pk"]
    fieldsets = [
        (None, {"fields": ["name", "enabled", ("when", "quiet_seconds"), "match", "conditions", "names"]}),
        ("Its jobs", {"fields": ["stops", "priority"]}),
        (
            "What came of it",
            {"fields": ["in_force_since", "fired", "images", "last_fired_at", "last_error", "last_error_at"]},
        ),
    ]
    readonly_fields = ["in_force_since", "fired", "images", "last_fired_at", "last_error", "last_error_at"]

    @admin.display(description="what")
    def what(self, row: RoutingRule) -> SafeString | str:
        said = Draft.of(row).conditions
        return format_html_join("", "<div>{}</div>", ((str(each),) for each in said)) or "everything"

    @admin.display(description="to")
    def whereto(self, row: RoutingRule) -> str:
        return ", ".join(each.name for each in Draft.of(row).destinations)

    def save_model(self, request: HttpRequest, obj: RoutingRule, form: Any, change: bool) -> None:
        try:
            saved = rules.save(form.draft, principal=asking(request), rule=obj if change else None)
        except NotAllowed as error:
            raise PermissionDenied from error
        obj.pk = saved.pk

    def delete_model(self, request: HttpRequest, obj: RoutingRule) -> None:
        try:
            rules.delete(obj, principal=asking(request))
        except NotAllowed as error:
            raise PermissionDenied from error

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[RoutingRule]) -> None:
        with transaction.atomic():
            for row in queryset:
                self.delete_model(request, row)
