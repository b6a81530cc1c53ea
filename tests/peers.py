"""Programs of others that the tests talk to."""

import os
import shutil

import pytest


def peer(program: str) -> str:
    """The path of a program; where CI=true a missing one is a failure, elsewhere the test is skipped."""
    path = shutil.which(program)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{program} is not installed, and CI=true wants every peer")
        pytest.skip(f"{program} is not installed")
    return path
