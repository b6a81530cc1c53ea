import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from apps.failpoints import FailpointError, arm, failpoint


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm("")


def test_nothing_happens_where_nothing_is_armed() -> None:
    assert failpoint("a") is False
    arm("b:raise")
    assert failpoint("a") is False


def test_a_step_can_raise_at_its_nth_pass_or_be_left_out() -> None:
    arm("a:raise:3, b:skip, c:sleep=0")
    assert [failpoint("a"), failpoint("a")] == [False, False]
    with pytest.raises(FailpointError):
        failpoint("a")
    assert failpoint("a") is False
    assert failpoint("b") is True
    assert failpoint("c") is False


@pytest.mark.parametrize("text", ["a:explode", "a", "a:kill:first"])
def test_a_failpoint_that_is_written_wrongly_is_noticed(text: str) -> None:
    with pytest.raises(ValueError):
        arm(text)


def test_a_process_kills_itself_where_the_environment_says_so() -> None:
    code = "from apps.failpoints import failpoint; print('before', flush=True); failpoint('a'); print('after')"
    ended = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PACS_FAILPOINT": "a:kill"}, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b"before\n")
