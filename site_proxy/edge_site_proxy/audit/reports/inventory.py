"""E3: what was installed everywhere at an instant, and what was not as it should be; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from edge_core.contracts.audit import AuditEvent
from edge_site_proxy.audit.reports.changes import Facts, text
from edge_site_proxy.audit.reports.sheet import Cell, Sheet, sheet

INVENTORY = (
    "asset",
    "line",
    "gateway",
    "model",
    "version",
    "release",
    "since",
    "software",
    "config",
    "rollout",
    "tickets",
    "approved_by",
    "safe_mode",
    "clock_synchronised",
    "event",
)
DEVIATIONS = ("asset", "gateway", "what", "expected", "found", "since", "age_hours", "event")


@dataclass(slots=True)
class _Box:
    """The gateway at one asset as its last event before the instant left it."""

    event: AuditEvent
    since: datetime
    safe_mode: bool = False
    config: str = ""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a finished rollout left a gateway with."""

    release: str
    since: datetime


def inventory(events: Iterable[AuditEvent], at: datetime) -> list[Sheet]:
    """Installed versions at *at*, and how each differs from what its last rollout brought.

    What decided is known from when each gateway said so; an event counts from its `since`. Where
    another gateway took the place of one, it alone is there.
    """
    boxes: dict[str, _Box] = {}
    safe: dict[str, bool] = {}
    plans: dict[str, tuple[str, list[str]]] = {}
    wanted: dict[str, list[_Wanted]] = {}
    configs: dict[str, str] = {}
    for event in events:
        facts = event.facts
        if event.kind == "gateway.reference_changed":
            since = since_of(event)
            if since <= at:
                boxes[text(facts, "asset") or event.subject] = _Box(event, since)
        elif event.at > at:
            continue
        elif event.kind == "gateway.safe_mode_changed":
            safe[event.subject] = bool(facts.get("on"))
        elif event.kind == "gateway.config_changed":
            configs[event.subject] = text(facts, "config")
        elif event.kind == "rollout.planned":
            plans[event.subject] = (text(facts, "release"), _members(facts))
        elif event.kind in {"rollout.completed", "rollout.rollback_ordered"}:
            release, members = plans.get(event.subject, ("", []))
            for serial in members:
                _want(wanted.setdefault(serial, []), event, release)
    for box in boxes.values():
        box.safe_mode = safe.get(box.event.subject, False)
        box.config = configs.get(box.event.subject, "")
    ordered = sorted(boxes.values(), key=lambda box: text(box.event.facts, "asset"))
    rows = [row for box in ordered for row in _deviations(box, wanted, at)]
    return [
        sheet("inventory", INVENTORY, (_row(box) for box in ordered)),
        sheet("deviations", DEVIATIONS, rows),
    ]


def since_of(event: AuditEvent) -> datetime:
    """From when what a gateway said held."""
    since = event.facts.get("since")
    return event.at if since is None else datetime.fromisoformat(str(since))


def _want(before: list[_Wanted], event: AuditEvent, release: str) -> None:
    if event.kind == "rollout.completed":
        before.append(_Wanted(release, event.at))
    elif before and before[-1].release == release:
        before.pop()


def _members(facts: Facts) -> list[str]:
    cohorts = facts.get("cohorts")
    if not isinstance(cohorts, dict):
        return []
    return [str(serial) for members in cohorts.values() for serial in members]


def _row(box: _Box) -> Mapping[str, Cell]:
    facts = box.event.facts
    release = facts.get("release") or {}
    approvals = facts.get("approvals") or []
    return {
        "asset": text(facts, "asset"),
        "line": text(facts, "line"),
        "gateway": box.event.subject,
        "model": text(release, "model"),
        "version": text(release, "version"),
        "release": text(facts, "effective"),
        "since": box.since,
        "software": text(facts, "software"),
        "config": box.config,
        "rollout": text(facts, "rollout"),
        "tickets": ", ".join(dict.fromkeys(text(each, "ticket") for each in approvals)),
        "approved_by": ", ".join(dict.fromkeys(text(each, "who") for each in approvals)),
        "safe_mode": box.safe_mode,
        "clock_synchronised": box.event.clock_synchronised
        and bool(facts.get("clock_synchronised")),
        "event": box.event.sequence,
    }


def _deviations(
    box: _Box, wanted: Mapping[str, list[_Wanted]], at: datetime
) -> Iterable[Mapping[str, Cell]]:
    facts, serial = box.event.facts, box.event.subject
    found = text(facts, "effective")
    due = wanted.get(serial) or []
    if due and found != due[-1].release:
        since = max(due[-1].since, box.since)
        yield _deviation(box, "another release than its last rollout", due[-1].release, since, at)
    running = text(facts, "running")
    if running and running != found:
        yield _deviation(box, "its worker loaded another model", running, box.since, at)
    if not found:
        yield _deviation(box, "no model", "a model", box.since, at)
    if found and facts.get("release") is None:
        yield _deviation(box, "a release that this site never verified", "", box.since, at)
    if box.safe_mode:
        yield _deviation(box, "safe mode", "", box.since, at)


def _deviation(
    box: _Box, what: str, expected: str, since: datetime, at: datetime
) -> Mapping[str, Cell]:
    return {
        "asset": text(box.event.facts, "asset"),
        "gateway": box.event.subject,
        "what": what,
        "expected": expected,
        "found": text(box.event.facts, "effective"),
        "since": since,
        "age_hours": round((at - since).total_seconds() / 3600, 2),
        "event": box.event.sequence,
    }
