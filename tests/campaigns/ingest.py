"""Senders that remember what they sent and what was answered with Success, whatever breaks meanwhile."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count

from blake3 import blake3

from benchmarks import data
from benchmarks.data import Template, Values, new_uid
from dicom.dimse import Association, DimseError, associate

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


@dataclass(frozen=True, slots=True)
class Sent:
    """An instance that has been offered at least once."""

    study_instance_uid: str
    digest: str  # BLAKE3 of the data set


@dataclass
class Ledger:
    """What the senders know; several threads write."""

    sent: dict[str, Sent] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    statuses: dict[int, int] = field(default_factory=dict)
    interrupted: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def offered(self, values: Values, data_set: bytes | memoryview) -> None:
        with self._lock:
            digest = blake3(data_set).hexdigest()
            self.sent[values.sop_instance_uid] = Sent(values.study_instance_uid, digest)

    def answered(self, sop_instance_uid: str, status: int) -> None:
        with self._lock:
            self.statuses[status] = self.statuses.get(status, 0) + 1
            if status == 0:
                self.acknowledged.add(sop_instance_uid)

    def broken(self) -> None:
        with self._lock:
            self.interrupted += 1

    def studies(self) -> dict[str, set[str]]:
        """Acknowledged instances by study."""
        found: dict[str, set[str]] = {}
        for uid in self.acknowledged:
            found.setdefault(self.sent[uid].study_instance_uid, set()).add(uid)
        return found


@dataclass
class Feeder(threading.Thread):
    """A modality: studies of a few dozen images, over associations that it opens again whenever they break.

    An image that was not acknowledged is sent again, as modalities do.
    """

    where: Callable[[], tuple[str, int]]
    ledger: Ledger
    number: int
    seed: int = 1
    pause: float = 0.03  # between images, at most; seconds
    images: int = 24  # in a study
    large: float = 0.05  # share of 512 KB images

    def __post_init__(self) -> None:
        super().__init__(name=f"feeder {self.number}", daemon=True)
        self.chance = random.Random(self.seed * 1000 + self.number)
        self.stopping = threading.Event()
        self.templates = (data.ct_8k(), data.ct_512k())

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        for _ in count():
            run = f"{self.number + 1}{data.new_run()[1:]}"
            waiting = [(self._template(), values) for values in study_of(run, self.images)]
            while waiting:
                if self.stopping.is_set():
                    return
                try:
                    self._send(waiting)
                except (DimseError, OSError):
                    self.ledger.broken()
                    self.stopping.wait(0.2)

    def _template(self) -> Template:
        return self.templates[self.chance.random() < self.large]

    def _send(self, waiting: list[tuple[Template, Values]]) -> None:
        """Take from `waiting` what has been answered with Success."""
        with to_store(self.where(), calling=f"FEEDER{self.number}") as assoc:
            while waiting and not self.stopping.is_set():
                template, values = waiting[-1]
                if store(assoc, template, values, self.ledger) == 0:
                    waiting.pop()
                time.sleep(self.chance.random() * self.pause)


def to_store(address: tuple[str, int], *, calling: str, called: str = "PACS") -> Association:
    """An association for CT images as the templates have them."""
    contexts = [(CT_IMAGE_STORAGE, [EXPLICIT])]
    return associate(*address, calling_ae_title=calling, called_ae_title=called, contexts=contexts)


def study_of(run: str, images: int) -> list[Values]:
    """The instances of one new study."""
    first = Values(
        sop_instance_uid="",
        study_instance_uid=new_uid(run, 1, 0),
        series_instance_uid=new_uid(run, 2, 0),
        patient_id=run[-10:],
        accession_number=run[-10:],
    )
    return [
        replace(
            first,
            sop_instance_uid=new_uid(run, 3, number),
            instance_number=str(number + 1),
            pixels=f"{number:020d}".encode(),
        )
        for number in range(images)
    ]


def store(assoc: Association, template: Template, values: Values, ledger: Ledger) -> int:
    """The status; what was sent and what was answered stands in the ledger."""
    data_set = memoryview(template.filled(values))[template.dataset_offset :]
    ledger.offered(values, data_set)
    context = assoc.context_for(template.sop_class_uid)
    assert context is not None
    response = assoc.c_store(
        context=context,
        sop_class_uid=template.sop_class_uid,
        sop_instance_uid=values.sop_instance_uid,
        data=data_set,
    )
    ledger.answered(values.sop_instance_uid, response.status)
    return response.status
