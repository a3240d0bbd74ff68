"""The changes at a site, put together from the events about each; pure.

A change is a rollout, or an order to one gateway: roll back, safe mode. What an event does not
carry, because the log is older or the policy did not ask for it, is empty and never guessed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from edge_core.contracts.audit import AuditEvent

Facts = dict[str, Any]  # Any: JSON values, as the event's kind decides

SIGNING = frozenset({"signed", "approved", "countersigned", "ratified"})
ORDERS = {
    "gateway.rollback_ordered": "rollback of one gateway",
    "gateway.safe_mode_ordered": "safe mode of one gateway",
}
ENDS = frozenset(
    {
        "completed",
        "rejected",
        "cancelled",
        "superseded",
        "rolled_back",
        "rollback_incomplete",
    }
)
EMERGENCY = "emergency"


@dataclass(frozen=True, slots=True)
class Signature:
    """One approval, with what the person was shown and meant by it."""

    at: datetime
    who: str
    name: str
    meaning: str
    change: str
    ticket: str
    reason: str
    plan: str
    shown: str
    expires: str
    event: int


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of a change in short."""

    at: datetime
    who: str
    kind: str
    subject: str
    facts: Facts
    event: int


@dataclass(slots=True)
class Change:
    """One change as the log tells it; filled while its events go by.

    Attributes:
        happenings: its own events, in order; those of gateways are in `gateways`.
        activations: permits, the first is the first activation.
        gateways: how each gateway's attempt went.
    """

    id: str
    what: str
    state: str = ""
    release: str = ""
    model: str = ""
    version: str = ""
    author: str = ""
    signers: list[str] = field(default_factory=list)
    plan: str = ""
    rollback_to: str = ""
    cohorts: dict[str, list[str]] = field(default_factory=dict)
    signatures: list[Signature] = field(default_factory=list)
    activations: list[Happening] = field(default_factory=list)
    gateways: list[Happening] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)

    @property
    def first(self) -> Happening:
        """How it began."""
        return self.happenings[0]

    @property
    def ended(self) -> Happening | None:
        """Its last end; a change that was completed may be rolled back later."""
        if self.what != "rollout":
            return self.first
        ends = [each for each in self.happenings if verb_of(each.kind) in ENDS]
        return ends[-1] if ends else None

    @property
    def kind(self) -> str:
        """Of change: what the approvals say, the gravest first."""
        kinds = {each.change for each in self.signatures if each.change}
        return EMERGENCY if EMERGENCY in kinds else ", ".join(sorted(kinds))

    @property
    def rolled_back(self) -> Happening | None:
        """The order to roll it back, if there was one."""
        orders = [each for each in self.happenings if each.kind == "rollout.rollback_ordered"]
        return orders[0] if orders else None

    @property
    def waivers(self) -> list[Happening]:
        """Where a person took a hold away, with the gate that did not count."""
        return [each for each in self.happenings if each.kind == "rollout.resumed"]

    def touched(self, since: datetime | None, until: datetime | None) -> bool:
        """Whether anything of it happened in the period."""
        mine = [*self.happenings, *self.activations]
        return any(within(each.at, since, until) for each in mine)


def changes_of(events: Iterable[AuditEvent]) -> list[Change]:
    """Every change, in the order in which they began."""
    fold = _Fold()
    for event in events:
        fold.take(event)
    return list(fold.changes.values())


def within(at: datetime, since: datetime | None, until: datetime | None) -> bool:
    """Whether *at* lies in the period; its end does not belong to it."""
    return (since is None or at >= since) and (until is None or at < until)


def verb_of(kind: str) -> str:
    """What was done, without the noun."""
    return kind.partition(".")[2]


def happened(event: AuditEvent) -> Happening:
    """*event* in short."""
    return Happening(event.at, event.who, event.kind, event.subject, event.facts, event.sequence)


class _Fold:
    """Goes through the log once."""

    def __init__(self) -> None:
        self.changes: dict[str, Change] = {}
        self._arrived: dict[str, AuditEvent] = {}
        self._bringing: dict[tuple[str, str, int], Change] = {}

    def take(self, event: AuditEvent) -> None:
        """One more event."""
        noun = event.kind.partition(".")[0]
        if event.kind == "release.arrived":
            self._arrived[event.subject] = event
        elif event.kind in ORDERS:
            name = f"{event.subject}-{event.sequence}"
            made = Change(id=name, what=ORDERS[event.kind], state="ordered")
            made.happenings.append(happened(event))
            self.changes[name] = made
        elif noun == "rollout":
            self._rollout(event)
        elif event.kind in {"permit.granted", "permit.settled"}:
            self._permit(event)
        elif event.kind == "gateway.update_changed":
            digest, attempt = text(event.facts, "digest"), event.facts.get("attempt")
            change = self._bringing.get((event.subject, digest, _number(attempt)))
            if change is not None:
                change.gateways.append(happened(event))

    def _rollout(self, event: AuditEvent) -> None:
        change = self.changes.setdefault(event.subject, Change(id=event.subject, what="rollout"))
        facts, verb = event.facts, verb_of(event.kind)
        change.happenings.append(happened(event))
        change.state = text(facts, "state") or change.state
        if verb == "planned":
            self._planned(change, facts)
        if verb in SIGNING:
            change.signatures.append(_signature(event))

    def _planned(self, change: Change, facts: Facts) -> None:
        change.release = text(facts, "release")
        change.plan = text(facts, "plan")
        change.rollback_to = text(facts, "rollback_to")
        cohorts = facts.get("cohorts")
        if isinstance(cohorts, dict):
            change.cohorts = {str(name): [str(m) for m in each] for name, each in cohorts.items()}
        arrived = self._arrived.get(change.release)
        if arrived is not None:
            change.model = text(arrived.facts, "model")
            change.version = text(arrived.facts, "version")
            change.author = text(arrived.facts, "author")
            change.signers = [str(each) for each in arrived.facts.get("signers") or []]
            if change.first.kind != arrived.kind:
                change.happenings.insert(0, happened(arrived))

    def _permit(self, event: AuditEvent) -> None:
        change = self.changes.get(text(event.facts, "rollout"))
        if change is None:
            return
        if event.kind == "permit.granted":
            change.activations.append(happened(event))
            key = (event.subject, text(event.facts, "digest"), _number(event.facts.get("attempt")))
            self._bringing[key] = change
        else:
            change.gateways.append(happened(event))


def _signature(event: AuditEvent) -> Signature:
    facts = event.facts
    return Signature(
        at=event.at,
        who=event.who,
        name=text(facts, "name"),
        meaning=text(facts, "meaning"),
        change=text(facts, "change"),
        ticket=text(facts, "ticket"),
        reason=text(facts, "reason"),
        plan=text(facts, "plan"),
        shown=text(facts, "shown"),
        expires=text(facts, "expires"),
        event=event.sequence,
    )


def text(facts: Facts, key: str) -> str:
    """A fact as text; an absent one is empty."""
    value = facts.get(key)
    return "" if value is None else str(value)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
