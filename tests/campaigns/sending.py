"""Large sends by a running installation: `python -m tests.campaigns.sending [--instances 2000] [--delay 0.005]`.

A receiver that takes its time; how far the job is, looked at while it runs; a cancel and a pause in the middle, and how
long each took; the memory of the worker. Then all of it.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import requests

from dicom.dimse import Association, Message, SimpleAcceptor, ThreadedServer
from tests.campaigns.wire import CT_IMAGE_STORAGE, EXPLICIT
from tests.node import Node, wait_for

ONE = """
from tests.storage.made import data_set, index, receive
receive(data_set(pixels=bytes(3000)))
index()
from tests.qr.test_move import multiply
multiply({more})
from apps.storage.models import Study
Study.objects.update(number_of_study_related_instances={more} + 1)
from apps.network.models import Peer
Peer.objects.create(name="slow", ae_title="ANY", host="127.0.0.1", port={port})
"""


class Sends:
    def __init__(self, node: Node, instances: int) -> None:
        self.node, self.instances = node, instances

    def submit(self) -> int:
        asked = {"kind": "send", "peer": "slow", "study_instance_uids": ["1.2.3"]}
        return int(self.post("", asked)["id"])

    def row(self, pk: int) -> tuple[str, int, int]:
        ((state, done, total),) = self.node.sql("SELECT state, done, total FROM jobs_job WHERE id = %s", [pk])
        return state, done, total

    def watched(self, pk: int, until: int) -> list[tuple[float, int]]:
        """How far it was, and when, until that many are done."""
        seen: list[tuple[float, int]] = []

        def look() -> bool:
            state, done, _ = self.row(pk)
            if not seen or seen[-1][1] != done:
                seen.append((time.time(), done))
            return done >= until or state not in ("queued", "running")

        wait_for(look, timeout=600, every=0.05)
        return seen

    def ended_after(self, pk: int, act: str) -> float:
        """Seconds from the wish to the end of the attempt."""
        asked = time.monotonic()
        self.ask(pk, act)
        wait_for(lambda: self.row(pk)[0] != "running", timeout=60, every=0.01)
        return time.monotonic() - asked

    def ask(self, pk: int, act: str) -> None:
        self.post(f"{pk}/{act}/", {})

    def post(self, below: str, body: dict[str, Any]) -> dict[str, Any]:
        address = f"http://{self.node.host}:{self.node.http_port}/api/jobs/{below}"
        answer = requests.post(address, json=body, auth=("admin", self.node.admin_password), timeout=60)
        assert answer.ok, answer.text
        row: dict[str, Any] = answer.json()
        return row


def longest_pause(seen: list[tuple[float, int]]) -> float:
    """Once something was done."""
    begun = [at for at, done in seen[1:] if done]
    return max((later - earlier for earlier, later in pairwise(begun)), default=0.0)


def run(folder: Path, *, instances: int, delay: float) -> str:
    arrived: Counter[str] = Counter()
    slowly = threading.Event()  # so that it lasts until it is cancelled, on a busy machine too

    def store(assoc: Association, message: Message) -> None:
        message.read()
        time.sleep(0.1 if slowly.is_set() else delay)
        arrived[message.command.affected_sop_instance_uid] += 1
        assoc.respond(message, 0)

    acceptor = SimpleAcceptor({CT_IMAGE_STORAGE: ([EXPLICIT], store)})
    with ThreadedServer(("127.0.0.1", 0), acceptor) as receiver, Node(folder) as node:
        node.manage("prepare")
        node.shell(ONE.format(more=instances - 1, port=receiver.port))
        node.start()
        sends = Sends(node, instances)
        first = sends.submit()
        seen = sends.watched(first, instances // 4)
        slowly.set()
        cancelled = sends.ended_after(first, "cancel")
        state, done, total = sends.row(first)
        assert (state, total) == ("cancelled", instances), (state, total)
        assert 0 < done < instances, done
        arrived.clear()
        slowly.clear()
        second = sends.submit()
        sends.watched(second, instances // 4)
        slowly.set()
        paused = sends.ended_after(second, "pause")
        slowly.clear()
        sends.ask(second, "resume")
        again = sends.watched(second, instances)
        wait_for(lambda: sends.row(second)[0] not in ("queued", "running"), timeout=600)
        assert sends.row(second) == ("succeeded", instances, instances), sends.row(second)
        assert len(arrived) == instances, len(arrived)
        twice = sum(arrived.values()) - instances
        workers = [process for process in node.descendants("standalone") if "celery" in " ".join(process.cmdline())]
        memory = max(psutil.Process(process.pid).memory_info().rss for process in workers) >> 20
    return (
        f"{instances} instances: seen to go on {len(seen) + len(again)} times, "
        f"at most {max(longest_pause(seen), longest_pause(again)):.2f} s apart; "
        f"cancelled within {cancelled:.2f} s, paused within {paused:.2f} s; {twice} sent twice; worker {memory} MiB"
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.sending", description=__doc__)
    parser.add_argument("--instances", type=int, default=2000)
    parser.add_argument("--delay", type=float, default=0.005, help="seconds the receiver takes for each")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="pacs-sending-") as folder:
        sys.stdout.write(run(Path(folder), instances=chosen.instances, delay=chosen.delay) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
