"""The viewer itself, as script/test fetches it."""

from pathlib import Path

from apps.viewer import package
from tests.node import ROOT
from tests.peers import absent, peer

VIEWERS = ROOT / ".viewer"  # of all tests: fetched at most once


def viewers() -> Path:
    """The folder that holds it; without npm and its registry the test is skipped, where CI=true it fails."""
    if package.installed(VIEWERS) is None:
        peer("npm")
        try:
            package.fetch(VIEWERS)
        except package.NoViewer as error:
            absent(str(error))
    return VIEWERS
