"""What forms for new steps are filled from; every change stands in the audit trail."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts.users import asking
from apps.audit import trail
from apps.audit.trail import Actor
from apps.worklist import codes, plain
from apps.worklist.choices import MODALITIES
from apps.worklist.fields import CODE_PARTS
from apps.worklist.forms import PLAIN_PARTS, code_of
from apps.worklist.models import ProcedureTemplate
from apps.worklist.order import InvalidOrder, checked

_CODES = ("requested_procedure_code_sequence", "scheduled_protocol_code_sequence")


class CodeWidget(forms.MultiWidget):
    """Code, scheme and meaning beside one another."""

    def __init__(self) -> None:
        super().__init__([forms.TextInput({"placeholder": label, "size": 16}) for label in CODE_PARTS.values()])

    def decompress(self, value: Any) -> list[str]:
        first = codes.shown(value[0]) if isinstance(value, list) and value else {}
        return [str(first.get(name, "")) for name in PLAIN_PARTS.values()]


class CodeField(forms.Field):
    """One code, as the items of its sequence."""

    widget = CodeWidget

    def clean(self, value: Any) -> Any:
        parts = dict(zip(CODE_PARTS, (str(part or "").strip() for part in value or ()), strict=False))
        try:
            return list(plain.order({_CODES[0]: code_of(parts)}).requested_procedure_code_sequence or ())
        except InvalidOrder as error:
            raise forms.ValidationError(list(error.errors.values())) from None
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None


class TemplateForm(forms.ModelForm):  # type: ignore[type-arg]
    modality = forms.ChoiceField(choices=[(code, f"{code} · {words}") for code, words in MODALITIES.items()])
    requested_procedure_code_sequence = CodeField(label="Procedure code", required=False)
    scheduled_protocol_code_sequence = CodeField(label="Protocol code", required=False)

    class Meta:
        model = ProcedureTemplate
        fields = [
            *("name", "modality", "enabled", "requested_procedure_description", "requested_procedure_code_sequence"),
            *("scheduled_procedure_step_description", "scheduled_protocol_code_sequence"),
            *("scheduled_station_ae_title", "duration_minutes"),
        ]

    def clean(self) -> dict[str, Any]:
        """By the rules of an order."""
        given = super().clean() or {}
        names = (
            "requested_procedure_description",
            "scheduled_procedure_step_description",
            "scheduled_station_ae_title",
        )
        try:
            checked(plain.order({name: given.get(name) or None for name in (*names, "duration_minutes")}))
        except InvalidOrder as error:
            for name, why in error.errors.items():
                self.add_error(name, why)
        return given


@admin.register(ProcedureTemplate)
class ProcedureTemplateAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = TemplateForm
    list_display = ["name", "modality", "scheduled_station_ae_title", "duration_minutes", "enabled"]
    list_filter = ["modality", "enabled"]
    search_fields = ["name", "requested_procedure_description"]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            _record(request, "change" if change else "add", obj)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with transaction.atomic():
            _record(request, "delete", obj)
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            self.delete_model(request, row)


def _record(request: HttpRequest, action: str, template: ProcedureTemplate) -> None:
    trail.record(actor=Actor.of(asking(request)), action=action, object=f"procedure template {template.name}")
