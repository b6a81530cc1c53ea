"""`{% load dicom_text %}`: values of the archive in templates, always escaped there."""

from django import template

from apps.console import text

register = template.Library()
register.filter("person_name", text.person_name)
register.filter("day", text.day)
register.filter("time_of_day", text.time_of_day)


@register.filter
def several(value: str) -> str:
    """Values that backslashes separate."""
    return ", ".join(part for part in value.split("\\") if part)
