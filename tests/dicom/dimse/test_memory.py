"""Memory is bounded: what goes through is a stream, whatever its length and however it is cut."""

import subprocess
import sys

import pytest

SIZE = 300 << 20

# Both sides in a process of their own each; the child prints by how much its peak grew over the transfer.
PROGRAM = """
import os, resource, sys, tempfile, threading
from dicom.dimse import FileSlice, Limits, SimpleAcceptor, ThreadedServer, associate

role, size, maximum, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

def store(assoc, message):
    total = 0
    for views in message.fragments():
        total += sum(map(len, views))
    assoc.respond(message, 0 if total in (size, 1 << 16) else 0xA700)

def send(assoc, data):
    context = assoc.context_for(CT)
    return assoc.c_store(context=context, sop_class_uid=CT, sop_instance_uid="1.2.3", data=data).status

if role == "scp":
    with ThreadedServer(("127.0.0.1", 0), SimpleAcceptor({CT: ([EXPLICIT], store)}),
                        limits=Limits(maximum_length=maximum, pdu_cap=1 << 30)) as server:
        print(server.port, flush=True)
        sys.stdin.readline()   # after a first small one
        before = peak()
        print("go", flush=True)
        sys.stdin.readline()
        print(peak() - before, flush=True)
else:
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        with associate("127.0.0.1", port, calling_ae_title="ME", called_ae_title="YOU",
                       contexts=[(CT, [EXPLICIT])], limits=Limits(maximum_length=maximum)) as assoc:
            assert send(assoc, bytes(1 << 16)) == 0
            print("ready", flush=True)
            sys.stdin.readline()
            before = peak()
            assert send(assoc, FileSlice(file.fileno(), 0, size)) == 0
            print(peak() - before, flush=True)
"""


class Side:
    def __init__(self, role: str, maximum: int, port: int = 0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, role, str(SIZE), str(maximum), str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __enter__(self) -> "Side":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=60)


@pytest.mark.parametrize("maximum", [16384, 262144, 1 << 29])
def test_a_data_set_of_300_mb_costs_neither_side_more_than_a_few(maximum: int) -> None:
    with Side("scp", maximum) as scp:
        with Side("scu", maximum, int(scp.hear())) as scu:
            assert scu.hear() == "ready"
            scp.say()
            assert scp.hear() == "go"
            scu.say()
            sent = int(scu.hear())
        scp.say()
        received = int(scp.hear())
    assert sent < 16 << 20
    assert received < 16 << 20
