"""The one query set behind everything that shows studies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from apps.accounts.principal import Principal
from dicom.sop_classes import Service

if TYPE_CHECKING:
    from apps.storage.models import Study  # noqa: F401 - named in the base class


class StudyQuerySet(models.QuerySet["Study"]):
    def visible_to(self, principal: Principal) -> StudyQuerySet:
        """Studies this principal may see; one that holds no instance is seen by nobody."""
        if not any(principal.may(service) for service in (Service.FIND, Service.MOVE, Service.GET)):
            return self.none()
        return self.filter(number_of_study_related_instances__gt=0)
