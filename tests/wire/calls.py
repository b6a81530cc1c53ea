"""What others do with an archive: store on a bare socket, byte for byte; find and get with pynetdicom."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydicom.config
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from tests.campaigns import wire
from tests.campaigns.wire import ASSOCIATE_AC, ASSOCIATE_RJ, COMMAND, LAST, Line, Pdu, p_data
from tests.node import Node, wait_for
from tests.qr.receiver import Receiver
from tests.storage.made import CT, EXPLICIT, IMPLICIT, data_set

PATIENT_FIND = str(PatientRootQueryRetrieveInformationModelFind)
STUDY_FIND = str(StudyRootQueryRetrieveInformationModelFind)
STUDY_GET = str(StudyRootQueryRetrieveInformationModelGet)
VERIFICATION = wire.VERIFICATION
MANY_CLASSES = tuple(f"1.2.826.0.1.3680043.10.1461.9.8.{number}" for number in range(70))

_STATUS, _OFFENDING, _COMMENT = 0x0900, 0x0901, 0x0902


@dataclass(frozen=True, slots=True)
class Answer:
    """A C-STORE response, or the final one of a C-MOVE or C-GET."""

    status: int
    comment: str = ""
    offending: tuple[int, ...] = ()

    @classmethod
    def of(cls, command: Mapping[int, bytes]) -> "Answer":
        tags = struct.iter_unpack("<HH", command.get(_OFFENDING, b""))
        return cls(
            int.from_bytes(command[_STATUS], "little"),
            command.get(_COMMENT, b"").decode("ascii").strip(),
            tuple(group << 16 | element for group, element in tags),
        )


def image(study: str, /, **values: Any) -> bytes:
    """The CT image `study`.1.1 of a study, and a patient, of its own."""
    own = {"study": study, "series": f"{study}.1", "sop": f"{study}.1.1", "patient_id": study}
    return data_set(**{**own, **values})


class Archive:
    def __init__(self, node: Node, receiver: Receiver, versatile: Receiver, impatient: int) -> None:
        self.node = node
        self.receiver = receiver  # the destination "DEST"
        self.versatile = versatile  # the destination "VERSATILE", which takes MANY_CLASSES
        self.impatient = impatient  # the port of a listener that ends idle associations after a second
        self.address = (node.host, node.dimse_port)

    def line(self, port: int = 0) -> Line:
        return Line((self.node.host, port or self.node.dimse_port), timeout=30)

    def negotiate(self, *contexts: tuple[str, Sequence[str]], calling: str = "WIRE", called: str = "PACS") -> Pdu:
        """The answer to an association request."""
        with self.line() as line:
            return line.associate(*contexts, calling=calling, called=called)

    def store(
        self,
        data_set: bytes,
        sop: str,
        *,
        sop_class: str = CT,
        syntax: str = EXPLICIT,
        calling: str = "WIRE",
    ) -> Answer:
        """One instance on an association of its own; it is in the index afterwards."""
        with self.line() as line:
            accepted = line.associate((sop_class, [syntax]), calling=calling)
            assert (accepted.kind, results(accepted)) == (ASSOCIATE_AC, [0])
            answer = send(line, data_set, sop, sop_class=sop_class)
            line.release()
            return answer

    def ask(
        self, level: str, model: str = STUDY_FIND, *, calling: str = "WIRE", maximum_pdu: int = 16384, **keys: Any
    ) -> list[tuple[Dataset, Dataset | None]]:
        """C-FIND: each response's command and identifier."""
        ae = AE(calling)
        ae.maximum_pdu_size = maximum_pdu
        ae.add_requested_context(model, EXPLICIT)
        assoc = ae.associate(*self.address, ae_title="PACS", max_pdu=maximum_pdu)
        assert assoc.is_established
        try:
            return list(assoc.send_c_find(_identifier(level, keys), model))
        finally:
            assoc.release()

    def find(self, level: str, model: str = STUDY_FIND, **keys: Any) -> list[Dataset]:
        answers = self.ask(level, model, **keys)
        assert answers[-1][0].Status == 0, answers
        return [answer for _, answer in answers if answer is not None]

    def found(self, keyword: str, level: str, **keys: Any) -> list[str]:
        return sorted(str(answer[keyword].value) for answer in self.find(level, **{keyword: "", **keys}))

    def get(
        self,
        level: str,
        *,
        sop_class: str = CT,
        syntaxes: Iterable[str] = (EXPLICIT, IMPLICIT),
        maximum_pdu: int = 16384,
        **keys: Any,
    ) -> dict[str, tuple[str, bytes]]:
        """SOP Instance UID -> transfer syntax and data set as they came; a context for each syntax."""
        got: dict[str, tuple[str, bytes]] = {}

        def take(event: Any) -> int:
            got[event.request.AffectedSOPInstanceUID] = (
                str(event.context.transfer_syntax),
                event.request.DataSet.getvalue(),
            )
            return 0

        ae = AE("WIRE")
        ae.maximum_pdu_size = maximum_pdu
        ae.add_requested_context(STUDY_GET, EXPLICIT)
        for syntax in syntaxes:
            ae.add_requested_context(sop_class, syntax)
        assoc = ae.associate(
            *self.address,
            ae_title="PACS",
            max_pdu=maximum_pdu,
            ext_neg=[build_role(sop_class, scp_role=True)],
            evt_handlers=[(evt.EVT_C_STORE, take)],
        )
        assert assoc.is_established
        try:
            answers = list(assoc.send_c_get(_identifier(level, keys), STUDY_GET))
        finally:
            assoc.release()
        assert answers[-1][0].Status == 0, answers
        return got

    def conflicts(self, kind: str, key: str) -> set[str]:
        """What disagrees, as the console lists it."""
        query = 'SELECT attribute FROM storage_conflict WHERE kind = %s AND "key" = %s'
        return {str(row[0]) for row in self.node.sql(query, [kind, key])}

    def quarantined(self, sop: str) -> int:
        query = "SELECT count(*) FROM storage_quarantinedinstance WHERE sop_instance_uid = %s"
        return int(self.node.sql(query, [sop])[0][0])

    def says(self, *words: str) -> bool:
        """Once a line of the log has all of these."""
        return bool(
            wait_for(lambda: any(all(word in line for word in words) for line in self.node.log_text().splitlines()))
        )

    def is_quiet(self) -> bool:
        """No association is open: what is logged from now on is about later ones."""
        return not self.node.sql("SELECT 1 FROM network_associationlog WHERE ended_at IS NULL")

    def files_with(self, content: bytes) -> int:
        """Files in the archive and the spool that hold these bytes."""
        kept = [path for path in (self.node.data / "archive").rglob("*") if path.is_file()]
        kept += [path for path in (self.node.data / "spool").rglob("*-main-*") if path.is_file()]
        return sum(content in path.read_bytes() for path in kept)


def _identifier(level: str, keys: Mapping[str, Any]) -> Dataset:
    ds = Dataset()
    with pydicom.config.disable_value_validation():
        for keyword, value in {"QueryRetrieveLevel": level, **keys}.items():
            setattr(ds, keyword, value)
    return ds


def without_data_set(sop: str) -> bytes:
    """A C-STORE request that says that nothing follows."""
    fields = wire.fields_of(wire.store_rq(sop))
    return wire.command({**{tag: fields[tag] for tag in fields if tag}, 0x0800: wire.us(0x0101)})


def send(line: Line, data_set: bytes, sop: str, *, sop_class: str = CT, context: int = 1) -> Answer:
    """C-STORE, by default in the first context."""
    line.send(p_data(context, COMMAND | LAST, wire.store_rq(sop, sop_class_uid=sop_class)))
    for start in range(0, len(data_set) or 1, 16000):
        last = LAST if start + 16000 >= len(data_set) else 0
        line.send(p_data(context, last, data_set[start : start + 16000]))
    return Answer.of(line.response())


def _answers(accepted: Pdu) -> list[tuple[int, str]]:
    """PS3.8 Table 9-18: result and transfer syntax of each context."""
    found, at = [], 68
    while at < len(accepted.body):
        kind, length = struct.unpack_from(">BxH", accepted.body, at)
        if kind == 0x21:
            body = accepted.body[at + 4 : at + 4 + length]
            found.append((body[2], body[8:].decode("ascii")))
        at += 4 + length
    return found


def results(accepted: Pdu) -> list[int]:
    return [result for result, _ in _answers(accepted)]


def syntaxes(accepted: Pdu) -> list[str]:
    return [syntax for _, syntax in _answers(accepted)]


def rejection(answer: Pdu) -> tuple[int, int, int]:
    """PS3.8 Table 9-21: result, source, reason."""
    assert answer.kind == ASSOCIATE_RJ
    return answer.body[1], answer.body[2], answer.body[3]
