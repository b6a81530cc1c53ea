"""Children that are kept running, and end with who started them."""

import signal
import subprocess
import sys

import psutil
import pytest

from pacs.supervision import LONGEST_PAUSE, Child, ending
from tests.node import ROOT, wait_for


def test_a_child_that_keeps_ending_is_started_with_growing_pauses() -> None:
    child = Child("crashing", ["-c", "raise SystemExit(3)"])
    pauses: list[float] = []
    for _ in range(10):
        child.start_at = 0
        child.look()
        assert child.process is not None
        child.process.wait(timeout=30)
        child.look()
        assert child.process is None
        pauses.append(child.pause)
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.5, LONGEST_PAUSE)


def test_a_child_that_ran_long_starts_again_soon() -> None:
    child = Child("steady", ["-c", "pass"], pause=LONGEST_PAUSE)
    child.start().wait(timeout=30)
    child.started -= 3600
    child.look()
    assert child.pause == 0.5


def test_a_child_is_not_started_before_its_pause_is_over() -> None:
    child = Child("crashing", ["-c", "raise SystemExit(3)"])
    child.start().wait(timeout=30)
    child.look()
    child.look()
    assert not child.is_running()


def test_a_child_that_does_not_stop_is_killed() -> None:
    child = Child("deaf", ["-c", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"])
    child.start()
    child.signal(signal.SIGTERM)
    child.kill()
    assert not child.is_running()


@pytest.mark.parametrize(("code", "words"), [(-9, "SIGKILL"), (-15, "SIGTERM"), (3, "exit code 3")])
def test_an_exit_code_is_told_in_words(code: int, words: str) -> None:
    assert ending(code) == words


def test_a_supervised_process_ends_with_its_supervisor_however_that_ends() -> None:
    sleeper = "from pacs import supervision; supervision.end_with_supervisor(); import time; time.sleep(600)"
    supervisor = (
        "from pacs.supervision import Child; import time;"
        f"print(Child('sleeper', ['-c', {sleeper!r}]).start().pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", supervisor], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        below = psutil.Process(int(process.stdout.readline()))
        process.kill()
    wait_for(lambda: not below.is_running() or below.status() == psutil.STATUS_ZOMBIE, what="the sleeper ends")
