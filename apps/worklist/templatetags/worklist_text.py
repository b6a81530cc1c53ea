"""`{% load worklist_text %}`: words for what steps are."""

from django import template

from apps.worklist.choices import LOOKS, Look
from apps.worklist.models import StepStatus

register = template.Library()


@register.filter
def look(status: str) -> Look:
    """Of a step's status."""
    return LOOKS[StepStatus(status)]
