"""`{% load worklist_text %}`: words for what steps are."""

from typing import Any

from django import template

from apps.worklist import links
from apps.worklist.choices import LOOKS, Look
from apps.worklist.models import StepStatus

register = template.Library()


@register.filter
def look(status: str) -> Look:
    """Of a step's status."""
    return LOOKS[StepStatus(status)]


@register.simple_tag(takes_context=True)
def waiting(context: dict[str, Any]) -> links.Waiting | None:
    """Studies that wait for a decision of who looks; asked once a page."""
    request = context["request"]
    if not hasattr(request, "waiting"):
        request.waiting = links.waiting_for(request)
    found: links.Waiting | None = request.waiting
    return found
