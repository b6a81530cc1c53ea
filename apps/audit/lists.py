"""Lists of the admin: columns for what rows say, rows that are only looked at, and buttons in them."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

_LONGEST = 48  # characters of a cell; the whole is its title


def moment(field: str, description: str) -> Any:
    """A column that shows a time to the second: what happened first is what people look for here."""

    @admin.display(description=description, ordering=field)
    def show(row: Any) -> str:
        value = getattr(row, field)
        if value is None:
            return "-"
        return format_html('<span class="nowrap">{}</span>', f"{timezone.localtime(value):%Y-%m-%d %H:%M:%S}")

    return show


def text(field: str, description: str) -> Any:
    """A column of patients' or senders' text: isolated, so that right-to-left names leave their neighbours alone."""

    @admin.display(description=description, ordering=field)
    def show(row: Any) -> SafeString:
        value = row
        for name in field.split("__"):
            value = getattr(value, name)
        shown = value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…"
        return format_html('<bdi title="{}">{}</bdi>', value, shown or "-")

    return show


def uid(field: str, description: str) -> Any:
    """A column for a UID: its end, which differs, with the whole on hover."""

    @admin.display(description=description, ordering=field)
    def show(row: Any) -> SafeString:
        value = getattr(row, field)
        return format_html('<span title="{}">{}</span>', value, f"…{value[-16:]}" if len(value) > 17 else value)

    return show


def date(field: str, description: str) -> Any:
    """A column for a DA value, as sent where it is no date."""

    @admin.display(description=description, ordering=field)
    def show(row: Any) -> SafeString:
        raw, value = getattr(row, field), getattr(row, f"{field}_value")
        return format_html('<span class="nowrap" title="{}">{}</span>', raw, value.isoformat() if value else raw or "-")

    return show


class EitherFilter(admin.SimpleListFilter):
    """Rows that a condition holds for, or the others. Each as its value in the address and its word on the page."""

    title = "state"
    condition: Q
    holds: tuple[str, str]
    otherwise: tuple[str, str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [self.holds, self.otherwise]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = {self.holds[0]: self.condition, self.otherwise[0]: ~self.condition}
        return queryset.filter(wanted.get(self.value() or "", Q()))


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


class ButtonAdmin(ReadOnlyAdmin):
    """A list with a button in each row, which posts to an address of its own."""

    buttons: dict[str, Callable[[Any, HttpRequest, Any], HttpResponse]] = {}

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(f"<int:pk>/{name}/", self.admin_site.admin_view(self._pressed(name)), name=self._url(name))
            for name in self.buttons
        ]
        return [*own, *super().get_urls()]

    def _pressed(self, name: str) -> Callable[..., HttpResponse]:
        @require_POST
        def press(request: HttpRequest, pk: int) -> HttpResponse:
            row = self.model._default_manager.filter(pk=pk).first()
            if row is not None:
                return self.buttons[name](self, request, row)
            self.message_user(request, "It is not in this list any more.", messages.WARNING)
            return self.back()

        return press

    def _url(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"

    def button(self, name: str, label: str, row: Any) -> SafeString:
        """The form around it is the list's own, which has the token against forgery."""
        target = reverse(f"admin:{self._url(name)}", args=[row.pk])
        return format_html('<button type="submit" class="button" formaction="{}">{}</button>', target, label)

    def back(self) -> HttpResponse:
        return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"))
