"""dcmjs-dimse, a modality written by others (npm)."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from tests.node import ROOT, Node
from tests.peers import absent, peer

PEERS = ROOT / ".peers"  # of all tests: fetched at most once
PACKAGE = "dcmjs-dimse"
VERSION = "0.3.3"


def modules() -> str:
    """The folder that holds it; without npm and its registry the test is skipped, where CI=true it fails."""
    folder = PEERS / "node_modules"
    if not (folder / PACKAGE / "package.json").exists():
        command = [peer("npm"), "install", "--prefix", str(PEERS), "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run([*command, f"{PACKAGE}@{VERSION}"], capture_output=True, text=True, timeout=600)
        if done.returncode:
            absent(f"{PACKAGE} cannot be fetched: {done.stderr[-300:]}")
    return str(folder)


def report(node: Node, tasks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Each task an association of its own, all at once: {calling, uid, command, elements}. Statuses by UID."""
    done = subprocess.run(
        [peer("node"), "tests/mpps/report.js", node.host, str(node.dimse_port), node.ae_title],
        input=json.dumps(tasks),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env={**os.environ, "NODE_PATH": modules()},
    )
    assert done.returncode == 0, done.stderr
    return {answer["uid"]: answer["status"] for answer in json.loads(done.stdout)}


def elements(ds: Any) -> dict[str, Any]:
    """A data set of pydicom as dcmjs names it: keywords, sequences as lists."""
    return {
        element.keyword: [elements(item) for item in element.value] if element.VR == "SQ" else str(element.value)
        for element in ds
        if element.keyword
    }


if __name__ == "__main__":  # at set-up: tests that need it fetch nothing
    if shutil.which("npm"):
        modules()
