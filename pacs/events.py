"""TABLE 4: what happened -> the kinds of job it makes; `apps.jobs` finds it by the setting EVENT_KINDS."""

from collections.abc import Mapping, Sequence

from apps.jobs.outbox import Reaction

EVENTS: Mapping[str, Sequence[Reaction]] = {}
