"""What the page of other archives shows: filters of a URL -> a query of several peers -> rows that say who has it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from django.http import QueryDict

from apps.accounts.principal import Principal
from apps.console.studies import FIELDS, Filters, asked
from apps.jobs import kind
from apps.jobs.models import Job
from apps.qr import asking, remote_query
from apps.qr.asking import Told
from apps.qr.attributes import Level
from apps.qr.listing import Unit
from dicom import matching

LIMIT: Final = 100
_STUDY_DATE: Final = 0x00080020


@dataclass(frozen=True, slots=True)
class Search:
    """As the URL says it: the filters of the list of studies, and whom to ask."""

    filters: Filters
    peers: tuple[str, ...]

    @classmethod
    def from_params(cls, params: QueryDict) -> "Search":
        return cls(
            Filters.from_params({name: str(value) for name, value in params.dict().items()}),
            tuple(dict.fromkeys(params.getlist("peer"))),
        )

    def address(self) -> str:
        fields = {name: value for name in FIELDS if (value := getattr(self.filters, name))}
        return f"?{urlencode({**fields, 'peer': self.peers}, doseq=True)}"


@dataclass(frozen=True, slots=True)
class Row:
    """A study as the peers have it: text by keyword; `instances`: how many each of them says it has."""

    values: Mapping[str, str]
    instances: Mapping[str, str]
    here: int

    @property
    def study_instance_uid(self) -> str:
        return self.values["StudyInstanceUID"]

    @property
    def number_of_instances(self) -> str:
        return max(self.instances.values(), key=lambda number: (len(number), number), default="")

    @property
    def is_here(self) -> bool:
        return bool(self.here) and str(self.here) == self.number_of_instances


@dataclass(frozen=True, slots=True)
class Found:
    rows: Sequence[Row]
    told: Mapping[str, Told]


def find(search: Search, principal: Principal) -> Found:
    """Raises InvalidValue for what cannot be looked for; NotAllowed, UnknownPeers."""
    keys = {keyword: value for keyword, value in asked(search.filters).items() if value}
    if "StudyDate" in keys:
        matching.parse("DA", keys["StudyDate"], tag=_STUDY_DATE)
    question = asking.asked("study", keys, LIMIT)
    answers = remote_query.ask(principal, search.peers[: asking.MOST_ARCHIVES], question)
    here = remote_query.here(principal, answers, Level.STUDY)
    rows = [
        Row(
            found.values,
            {name: said.get("NumberOfStudyRelatedInstances", "") for name, said in found.archives.items()},
            here.get(found.values["StudyInstanceUID"], 0),
        )
        for found in answers.found
    ]
    return Found(rows, answers.told)


def retrieve(peer: str, study: str, principal: Principal) -> Job:
    """Raises NotAllowed, InvalidRequest."""
    return kind.request("retrieve", principal=principal, arguments={"peer": peer, "study_instance_uids": [study]})


def study_of(job: Job) -> str:
    units = job.arguments.get("units") or [""]
    return Unit.parse(units[0]).study_instance_uid
