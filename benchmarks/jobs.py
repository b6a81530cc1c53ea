"""Jobs of our server, asked for and followed over REST."""

import json
import time
import urllib.request
from datetime import datetime
from typing import Any

from benchmarks.clients import DEADLINE
from benchmarks.peers import Archive
from benchmarks.processes import PeerMissing


def run_job(server: Archive, **body: Any) -> float:
    """Seconds from its begin to its end."""
    job = _call(server, "/api/jobs/", body)
    deadline = time.monotonic() + DEADLINE
    while job["state"] in ("queued", "running"):
        if time.monotonic() > deadline:
            raise PeerMissing(f"Not done: {job}")
        time.sleep(0.5)  # seldom enough not to be in its way
        job = _call(server, f"/api/jobs/{job['id']}/")
    if job["state"] != "succeeded":
        raise PeerMissing(f"{job['state']}: {job['error']}")
    began, ended = (datetime.fromisoformat(job[name]) for name in ("started_at", "ended_at"))
    return (ended - began).total_seconds()


def _call(server: Archive, path: str, body: Any = None) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.http_port}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={**server.headers, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
    return found
