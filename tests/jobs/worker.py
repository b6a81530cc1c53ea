"""A worker process for tests: `python -m tests.jobs.worker FILE`. Runs what is due; each step writes a line to FILE."""

import sys
from typing import TYPE_CHECKING

import django
from django.conf import settings
from django.utils.module_loading import import_string

from apps.failpoints import failpoint

if TYPE_CHECKING:
    from apps.jobs.run import JobRun


def note(text: str) -> None:
    with open(sys.argv[1], "a", encoding="utf-8") as file:
        file.write(f"{text}\n")


def send(run: "JobRun") -> None:
    note(f"job {run.job.pk}")
    for item in run.items():
        note(f"item {item.key}")
        run.succeeded(item)
        failpoint("tests.after_item")


if __name__ == "__main__":
    django.setup()
    KINDS = {"send": import_string("apps.jobs.kind.Kind")(send)}
    settings.JOB_KINDS = "__main__.KINDS"
    sys.stdin.readline()  # all begin at once
    import_string("apps.jobs.runner.run_due")()
