"""The services as a listener offers them, in threads of the test process, and pynetdicom as its caller."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_network
from typing import Any, Self

from pydicom.dataset import Dataset
from pynetdicom import AE, build_role
from pynetdicom.association import Association as Caller
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
)

from apps.network.current import CurrentRules
from apps.network.rules import ListenerRules, PeerRules, Rules
from apps.network.session import Session
from dicom.dimse import Accept, AssociateRequest, Association, Limits, Message, Reject, ThreadedServer, Timeouts
from dicom.sop_classes import Service
from pacs.listeners.policy import Decision, decide, service_for
from pacs.services import SERVICES

STUDY_FIND = StudyRootQueryRetrieveInformationModelFind
PATIENT_FIND = PatientRootQueryRetrieveInformationModelFind
Answer = tuple[int, Dataset | None]


class Listener:
    """As `pacs.listeners` does it, without journal and without waiting for an indexer."""

    def __init__(self, rules: CurrentRules) -> None:
        self.rules = rules
        self.decision: Decision | None = None
        self.outcomes: list[str] = []

    def negotiate(self, request: AssociateRequest, address: tuple[str, int]) -> Accept | Reject:
        self.decision = decide(request, address[0], self.rules.rules.listener("default"), self.rules.rules)
        return self.decision.answer

    def begin(self, assoc: Association) -> None:
        assert self.decision is not None and self.decision.caller is not None and self.decision.listener is not None
        assoc.session = Session(
            listener=self.decision.listener,
            rules=self.rules,
            caller=self.decision.caller,
            principal=self.decision.caller.principal(assoc.address[0], assoc.calling_ae_title),
            address=assoc.address[0],
            calling_ae_title=assoc.calling_ae_title,
            called_ae_title=assoc.called_ae_title,
            association_id=assoc.id,
        )

    def handle(self, assoc: Association, message: Message) -> None:
        service = service_for(message.context.abstract_syntax, private=True)
        assert service is not None
        SERVICES[service].handlers[message.command.command_field](assoc.session, assoc, message)

    def before_release(self, assoc: Association) -> None:
        pass

    def end(self, assoc: Association | None, outcome: str) -> None:
        self.outcomes.append(outcome)


class Serving:
    """`peers` are destinations: {AE title: port}."""

    def __init__(self, *, peers: Mapping[str, int] | None = None, **switches: Any) -> None:
        everything = frozenset(Service)
        caller = replace(
            PeerRules(name="loopback", ae_title="*", networks=(ip_network("127.0.0.0/8"),)),
            **{"services": everything, **switches},
        )
        listener = ListenerRules(
            name="default", ae_title="PACS", host="127.0.0.1", port=0, any_called_ae_title=True, services=everything
        )
        destinations = tuple(
            PeerRules(name=title, ae_title=title, host="127.0.0.1", port=port) for title, port in (peers or {}).items()
        )
        self.rules = CurrentRules(rules=Rules(listeners=(listener,), peers=(caller, *destinations)))
        self.listener = Listener(self.rules)
        self._server = ThreadedServer(
            ("127.0.0.1", 0), self.listener, timeouts=Timeouts(dimse=20), limits=Limits(identifier_cap=1 << 22)
        )

    def __enter__(self) -> Self:
        self._server.start()
        self.port = self._server.port
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @contextmanager
    def call(
        self,
        *sop_classes: str,
        transfer_syntaxes: Iterable[str] = ("1.2.840.10008.1.2.1",),
        storage: Mapping[str, Iterable[str]] | None = None,
        extended: Iterable[Any] = (),
        handlers: Any = (),
    ) -> Iterator[Caller]:
        """An association of pynetdicom's; `storage`: classes it wants to receive by C-GET, with their syntaxes."""
        ae = AE("CALLER")
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 30
        for sop_class in sop_classes:
            ae.add_requested_context(sop_class, list(transfer_syntaxes))
        for sop_class, syntaxes in (storage or {}).items():
            ae.add_requested_context(sop_class, list(syntaxes))
        roles = [build_role(sop_class, scp_role=True) for sop_class in storage or {}]
        assoc = ae.associate(
            "127.0.0.1", self.port, ext_neg=[*roles, *extended], evt_handlers=list(handlers), ae_title="PACS"
        )
        assert assoc.is_established
        try:
            yield assoc
        finally:
            if assoc.is_established:
                assoc.release()

    def find(self, model: str = STUDY_FIND, *, extended: Iterable[Any] = (), **keys: Any) -> list[Answer]:
        """Statuses and answers; QueryRetrieveLevel among the keys."""
        with self.call(model, extended=extended) as assoc:
            return self.ask(assoc, model, keys)

    @staticmethod
    def ask(assoc: Caller, model: str, keys: Mapping[str, Any]) -> list[Answer]:
        return [(status.Status, answer) for status, answer in assoc.send_c_find(identifier(**keys), model)]


def identifier(**keys: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in keys.items():
        setattr(ds, keyword, value)
    return ds


def statuses(answers: list[Answer]) -> list[int]:
    return [status for status, _ in answers]


def values(answers: Iterable[Answer], keyword: str) -> list[Any]:
    return [answer[keyword].value for _, answer in answers if answer is not None]
