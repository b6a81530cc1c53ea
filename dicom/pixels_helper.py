"""A process that runs pixel codecs, as its client sees it: started, given a job, ended."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dicom.errors import CannotReencode

_ROOT: Final = Path(__file__).resolve().parents[1]
_ENDINGS: Final = {
    signal.SIGALRM: "decoding the image took too long",
    signal.SIGXCPU: "decoding the image took too much processor time",
    signal.SIGKILL: "the decoder was killed",
}


@dataclass(slots=True, eq=False)
class Helper:
    """A process and our end of its socket."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    jobs: int = 0
    idle_since: float = field(default_factory=time.monotonic)

    @classmethod
    def started(cls, command: Sequence[str], memory: int) -> "Helper":
        """`memory` is its address space in bytes. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(
                    [*command, "--socket", str(theirs.fileno()), "--memory", str(memory)],
                    cwd=_ROOT,
                    env=_environment(),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for us; it ends when we do
                )
            except OSError:
                ours.close()
                raise
        return cls(process, ours)

    def run(self, request: Mapping[str, Any], files: Sequence[int], deadline: float) -> dict[str, Any]:
        """What the helper says of the job: `comment` is empty when it is done, `answer` is the job's own.

        Raises CannotReencode when it says nothing any more."""
        self.jobs += 1
        line, answer = json.dumps(request).encode() + b"\n", b""
        try:
            self.channel.settimeout(max(deadline - time.monotonic(), 0.001))
            sent = socket.send_fds(self.channel, [line], list(files))
            self.channel.sendall(line[sent:])
            while not answer.endswith(b"\n"):
                self.channel.settimeout(max(deadline - time.monotonic(), 0.001))
                data = self.channel.recv(1 << 16)
                if not data:
                    break
                answer += data
        except TimeoutError:
            raise CannotReencode("decoding the image took too long") from None
        except ConnectionError:
            answer = b""
        if not answer.endswith(b"\n"):
            raise CannotReencode(self._ending())
        said: dict[str, Any] = json.loads(answer)
        return said

    def _ending(self) -> str:
        try:
            code = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "the decoder hung up"
        if code >= 0:
            return f"the decoder ended with status {code}"
        return _ENDINGS.get(signal.Signals(-code)) or f"the codec crashed on this image ({signal.Signals(-code).name})"

    def leave_to_parent(self) -> None:
        """In the child of a fork: the parent's helper must see the parent's end."""
        self.channel.close()
        self.process.returncode = 0  # not ours to wait for

    def end(self) -> None:
        self.channel.close()
        self.process.kill()
        self.process.wait()


def _environment() -> dict[str, str]:
    """What a codec needs to know; no secret of ours is among it."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG") if name in os.environ}
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
