"""What a form of studies names: some studies, or some series of the only one, and when a job shall begin with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from django.http import Http404, HttpRequest, QueryDict
from django.utils.translation import gettext

from apps.accounts.rest import InvalidRequest, moment
from apps.accounts.users import asking
from apps.console import studies as verbs
from apps.console.studies import SeriesRow, StudyRow
from apps.jobs import kind
from apps.jobs.models import Job
from apps.qr.retrieve import missing
from dicom.errors import InvalidValue
from dicom.values import is_uid

MOST: Final = 100  # studies chosen in a list


def visible(request: HttpRequest, uid: str) -> Any:
    """Raises NotThere, Deleted, Http404."""
    if not is_uid(uid):
        raise Http404
    found = verbs.study(uid, asking(request))
    if found is None:
        raise missing({"StudyInstanceUID": uid})
    return found


@dataclass(frozen=True, slots=True)
class Choice:
    """`series` of the only study; `chosen` of them, all before somebody has chosen."""

    params: QueryDict
    studies: Sequence[StudyRow]
    series: Sequence[SeriesRow]
    chosen: Sequence[str]

    @classmethod
    def of(cls, request: HttpRequest) -> Self:
        """Raises InvalidValue when there is no study, and what `visible` does."""
        params = request.POST if request.method == "POST" else request.GET
        studies = [visible(request, uid) for uid in dict.fromkeys(params.getlist("study")[:MOST])]
        if not studies:
            raise InvalidValue("No study was chosen")
        series = verbs.series_of(studies[0].study_instance_uid, asking(request)) if len(studies) == 1 else []
        uids = [row.series_instance_uid for row in series]
        if request.method == "POST":
            uids = [uid for uid in uids if uid in params.getlist("series")]
        return cls(params, studies, series, uids)

    def submit(self, request: HttpRequest, name: str, **arguments: Any) -> Job:
        """A job of this kind. Raises InvalidRequest."""
        return kind.request(
            name, principal=asking(request), arguments={**arguments, **self._uids()}, due_at=self._due_at()
        )

    @property
    def context(self) -> dict[str, Any]:
        """Of the form."""
        return {
            "studies": self.studies,
            "series": self.series,
            "chosen": self.chosen,
            "due_at": self.params.get("due_at", ""),
        }

    def _uids(self) -> dict[str, list[str]]:
        """As kinds of job have it."""
        if self.series and not self.chosen:
            raise InvalidRequest({"series": gettext("Choose at least one series.")})
        if self.series and len(self.chosen) < len(self.series):
            return {"series_instance_uids": list(self.chosen)}
        return {"study_instance_uids": [row.study_instance_uid for row in self.studies]}

    def _due_at(self) -> datetime | None:
        """Not before, by the clocks on the wall."""
        try:
            return moment(self.params.get("due_at", ""))
        except InvalidValue as error:
            raise InvalidRequest({"due_at": gettext("Date and time, or nothing.")}) from error
