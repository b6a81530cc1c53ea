"""Programs of others that the tests talk to."""

import os
import shutil
from typing import NoReturn

import pytest


def peer(program: str) -> str:
    """The path of a program; where CI=true a missing one is a failure, elsewhere the test is skipped."""
    return shutil.which(program) or absent(f"{program} is not installed")


def absent(reason: str) -> NoReturn:
    """Ends the test: what it needs from outside is not there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI=true wants every peer")
    pytest.skip(reason)
