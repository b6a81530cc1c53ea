"""A process of an installation for the campaign of kills: `python -m tests.campaigns.job_worker`.

A line of JSON on its standard input asks for one thing; a child does it and may die of it, the answer is a line on
standard output. Forked, as a start costs seconds and there are hundreds of them.
"""

import json
import os
import sys
import time
import traceback
from typing import Any

import django
from django.utils.module_loading import import_string

from apps import failpoints

CASES = "tests.campaigns.job_cases"


def ask(asked: dict[str, Any]) -> Any:
    return import_string(f"{CASES}.ask")(asked["kind"], asked["number"], asked["facts"])


def check(asked: dict[str, Any]) -> Any:
    return import_string(f"{CASES}.check")(asked["kind"], asked["number"], asked["job"], asked["facts"])


def prepare(asked: dict[str, Any]) -> Any:
    return import_string(f"{CASES}.prepare")(asked["facts"])


def work(asked: dict[str, Any]) -> Any:
    """Until there is nothing to do for a worker, or to its death."""
    failpoints.arm(asked["failpoint"])
    run_due, left = import_string("apps.jobs.runner.run_due"), import_string(f"{CASES}.left")
    until = time.monotonic() + asked["seconds"]
    while time.monotonic() < until:
        run_due()
        if not left():
            return "done"
        time.sleep(0.05)
    return "late"


VERBS = {"ask": ask, "check": check, "prepare": prepare, "work": work}


def serve() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            _child(asked, writing)
        os.close(writing)
        with open(reading, "rb") as file:
            answer = file.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said = json.loads(answer) if answer else None
        sys.stdout.write(f"{json.dumps({'pid': child, 'status': status, 'answer': said})}\n")
        sys.stdout.flush()


def _child(asked: dict[str, Any], writing: int) -> None:
    """Does not return."""
    status = 1
    try:
        answer = VERBS[asked["do"]](asked)
        os.write(writing, json.dumps(answer).encode())
        status = 0
    except AssertionError as error:
        os.write(writing, json.dumps(str(error)).encode())
    finally:
        if sys.exc_info()[0]:
            traceback.print_exc()
        os._exit(status)


if __name__ == "__main__":
    django.setup()
    import_string(f"{CASES}.CASES")
    import_string("apps.jobs.kind.kinds")()  # imported once, not by each child
    serve()
