"""Each kind of job is killed somewhere: `tests.campaigns.job_kills` has the steps, and what must have happened."""

import re
from pathlib import Path

import pacs.kinds
from tests.campaigns.job_cases import CASES
from tests.campaigns.job_points import OF_KIND, all_of
from tests.node import ROOT

_POINT = re.compile(r'failpoint\("([a-z_.]+)"\)')


def test_every_kind_of_job_has_steps_at_which_its_worker_is_killed() -> None:
    assert OF_KIND.keys() == CASES.keys() == pacs.kinds.KINDS.keys()
    assert all(any(not point.startswith("job.") for point in points) for points in OF_KIND.values())


def test_each_of_these_steps_is_in_the_program() -> None:
    sources = [path for folder in ("apps", "pacs") for path in Path(ROOT, folder).rglob("*.py")]
    marked = {name for path in sources for name in _POINT.findall(path.read_text())}
    named = {kill.point.partition(":")[0] for kill in all_of(list(OF_KIND))}
    assert named <= marked, sorted(named - marked)
