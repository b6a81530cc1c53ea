"""What the handlers of one association share."""

from collections import Counter
from dataclasses import dataclass, field

from apps.accounts.principal import Principal
from apps.network.current import CurrentRules
from apps.network.rules import ListenerRules, PeerRules, Rules
from dicom.sop_classes import Service


@dataclass(slots=True)
class Session:
    """`caller` and `principal` are as the association began; `allows` asks the rules as they are now."""

    listener: ListenerRules
    rules: CurrentRules
    caller: PeerRules
    principal: Principal
    address: str
    calling_ae_title: str
    called_ae_title: str
    association_id: str
    stored: list[str] = field(default_factory=list)  # names in the spool not yet known to be indexed
    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    _asked: Rules | None = None
    _allowed: frozenset[Service] = frozenset()
    _reports: frozenset[Service] = frozenset()

    def allows(self, service: Service, *, report: bool = False) -> bool:
        """Rights are checked per message: one withdrawn ends at once, for associations that are open too. `report`: on
        what we have asked this caller for."""
        rules = self.rules.rules
        if rules is not self._asked:
            caller = self.caller_by(rules)
            listener = rules.listener(self.listener.name)
            offered = listener.services if listener is not None else frozenset()
            self._allowed = caller.services & offered if caller is not None else frozenset()
            self._reports = offered if caller is not None and caller.commits_storage else frozenset()
            self._asked = rules
        return service in self._allowed or (report and service in self._reports)

    def caller_by(self, rules: Rules) -> PeerRules | None:
        """Who this is by the rules of now."""
        listener = rules.listener(self.listener.name) or self.listener
        return rules.caller(self.calling_ae_title, self.address, trust_loopback=listener.trusts_loopback)

    def count(self, request: str, status: int) -> None:
        """One request answered with its final status, for the association log: count("C-STORE", 0x0000)."""
        self.counts[request, status] += 1

    def messages(self) -> dict[str, dict[str, int]]:
        """The counts as the association log keeps them."""
        table: dict[str, dict[str, int]] = {}
        for (request, status), number in sorted(self.counts.items()):
            table.setdefault(request, {})[f"{status:04X}"] = number
        return table
