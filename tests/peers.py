"""Programs of others that the tests talk to."""

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest


def peer(program: str) -> str:
    """The path of a program; where CI=true a missing one is a failure, elsewhere the test is skipped."""
    own = Path(sys.executable).parent.resolve()  # pynetdicom puts programs of the same names beside our Python
    path = os.pathsep.join(folder for folder in os.get_exec_path() if Path(folder).resolve() != own)
    return shutil.which(program, path=path) or absent(f"{program} is not installed")


def absent(reason: str) -> NoReturn:
    """Ends the test: what it needs from outside is not there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI=true wants every peer")
    pytest.skip(reason)
