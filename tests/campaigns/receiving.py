"""Where the campaign sends to: takes CT images, and knows how often each came and what its data set was."""

import hashlib
import threading
from collections import Counter
from types import TracebackType
from typing import Self

from dicom import status
from dicom.dimse import Association, Message, SimpleAcceptor, ThreadedServer
from dicom.sop_classes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

CT = "1.2.840.10008.5.1.4.1.1.2"


class Receiver:
    def __init__(self) -> None:
        self.arrived: Counter[str] = Counter()
        self.data_sets: set[tuple[str, str]] = set()  # of each instance the digests of what came
        self._lock = threading.Lock()
        syntaxes = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
        self._server = ThreadedServer(("127.0.0.1", 0), SimpleAcceptor({CT: (syntaxes, self._store)}))

    @property
    def port(self) -> int:
        return self._server.port

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    def _store(self, assoc: Association, message: Message) -> None:
        digest = hashlib.sha256(message.read()).hexdigest()
        uid = message.command.affected_sop_instance_uid
        with self._lock:
            self.arrived[uid] += 1
            self.data_sets.add((uid, digest))
        assoc.respond(message, status.SUCCESS)
