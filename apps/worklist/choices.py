"""Words for what the pages let choose and show."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.worklist.models import ProcedureTemplate, ScheduledProcedureStep, StepStatus

# PS3.3 C.7.3.1.1.1: what is scheduled.
MODALITIES: Final[Mapping[str, Any]] = {
    "BMD": _("Bone mineral density"),
    "CR": _("Computed radiography"),
    "CT": _("Computed tomography"),
    "DX": _("Digital radiography"),
    "ECG": _("Electrocardiography"),
    "ES": _("Endoscopy"),
    "GM": _("General microscopy"),
    "IO": _("Intra-oral radiography"),
    "MG": _("Mammography"),
    "MR": _("Magnetic resonance"),
    "NM": _("Nuclear medicine"),
    "OP": _("Ophthalmic photography"),
    "OPT": _("Ophthalmic tomography"),
    "OT": _("Other"),
    "PT": _("Positron emission tomography"),
    "PX": _("Panoramic X-ray"),
    "RF": _("Fluoroscopy"),
    "RTIMAGE": _("Radiotherapy image"),
    "SM": _("Slide microscopy"),
    "US": _("Ultrasound"),
    "XA": _("X-ray angiography"),
    "XC": _("External-camera photography"),
}

OPEN: Final = "open"
OF_OPEN: Final = (StepStatus.SCHEDULED, StepStatus.ARRIVED, StepStatus.READY, StepStatus.STARTED)


@dataclass(frozen=True, slots=True)
class Look:
    """Of a status: word, icon and colour, so that none stands alone; `verb` is on the button that leads there."""

    word: Any
    icon: str
    colour: str
    verb: Any


LOOKS: Final[Mapping[StepStatus, Look]] = {
    StepStatus.SCHEDULED: Look(_("Scheduled"), "clock", "blue", _("Schedule again")),
    StepStatus.ARRIVED: Look(_("Arrived"), "user-check", "purple", _("Arrived")),
    StepStatus.READY: Look(_("Ready"), "hourglass", "cyan", _("Ready")),
    StepStatus.STARTED: Look(_("Started"), "activity", "orange", _("Started")),
    StepStatus.COMPLETED: Look(_("Completed"), "circle-check", "green", _("Complete")),
    StepStatus.DISCONTINUED: Look(_("Discontinued"), "player-stop", "red", _("Discontinue")),
    StepStatus.CANCELLED: Look(_("Cancelled"), "ban", "secondary", _("Cancel step")),
}

_BACK, _AHEAD = timedelta(days=14), timedelta(days=60)


def stations(*chosen: str) -> list[str]:
    """Of steps around today and of templates, which is less than reading all steps."""
    today = timezone.localdate()
    near = ScheduledProcedureStep.objects.filter(
        scheduled_procedure_step_start_date_value__range=(today - _BACK, today + _AHEAD)
    )
    texts = {
        *near.values_list("scheduled_station_ae_title", flat=True).distinct(),
        *ProcedureTemplate.objects.values_list("scheduled_station_ae_title", flat=True).distinct(),
        *chosen,
    }
    return sorted({title for text in texts for title in text.split("\\") if title})
