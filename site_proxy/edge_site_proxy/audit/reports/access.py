"""E6 and E7: who did what with the system, and models that nobody approved; pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from edge_core.contracts.audit import AuditEvent
from edge_site_proxy.audit.reports.changes import text, within
from edge_site_proxy.audit.reports.sheet import Cell, Sheet, sheet

ACCESS = ("at", "who", "what", "about", "reason", "event")
DRIFT = (
    "gateway",
    "detected_at",
    "what",
    "acknowledged_at",
    "acknowledged_by",
    "resolved_at",
    "hours_open",
    "events",
)
_MACHINES = ("site-proxy", "gateway:")
_ROLES = frozenset(  # who may do what changed by these, whoever wrote them down
    {
        "gateway.token_made",
        "gateway.enrolled",
        "gateway.renewed",
        "gateway.revoked",
        "audit.begun",
        "audit.key_rotated",
        "site.started",
    }
)


def access(events: Iterable[AuditEvent], since: datetime | None, until: datetime | None) -> Sheet:
    """E6: everything a person did, every certificate given or ended, every key of the log."""
    rows = (
        _access_row(event)
        for event in events
        if within(event.at, since, until)
        and (event.kind in _ROLES or not event.who.startswith(_MACHINES))
    )
    return sheet("access", ACCESS, rows)


def _access_row(event: AuditEvent) -> Mapping[str, Cell]:
    return {
        "at": event.at,
        "who": event.who,
        "what": event.kind,
        "about": event.subject,
        "reason": text(event.facts, "reason"),
        "event": event.sequence,
    }


def drift(
    events: Iterable[AuditEvent], since: datetime | None, until: datetime | None, now: datetime
) -> Sheet:
    """E7: every time a gateway ran another model than its record says, until it was put right.

    A detection belongs to the period if it was open at any time of it.
    """
    found: list[_Detection] = []
    standing: dict[str, _Detection] = {}
    for event in events:
        cause = text(event.facts, "cause")
        if event.kind == "alarm.raised" and _is_drift(cause):
            standing[event.subject] = _Detection(event)
            found.append(standing[event.subject])
        elif event.subject in standing and event.kind.startswith("alarm."):
            standing[event.subject].then(event)
            if event.kind == "alarm.raised_again":
                again = _Detection(event, text(standing[event.subject].event.facts, "what"))
                standing[event.subject] = again
                found.append(again)
    kept = [each for each in found if each.open_in(since, until)]
    return sheet("drift", DRIFT, (each.row(now) for each in kept))


def _is_drift(cause: str) -> bool:
    return cause.startswith("gateway/") and cause.endswith("/digest")


class _Detection:
    """One time that a gateway ran what it should not, and what became of it."""

    def __init__(self, event: AuditEvent, what: str = "") -> None:
        self.event = event
        self._what = what or text(event.facts, "what")
        self._acknowledged: AuditEvent | None = None
        self._resolved: AuditEvent | None = None

    def then(self, event: AuditEvent) -> None:
        """What came later of the same alarm."""
        if event.kind == "alarm.acked":
            self._acknowledged = self._acknowledged or event
        elif event.kind == "alarm.returned":
            self._resolved = self._resolved or event

    def open_in(self, since: datetime | None, until: datetime | None) -> bool:
        """Whether it stood at any time of the period."""
        begun = until is None or self.event.at < until
        return begun and (since is None or self._resolved is None or self._resolved.at >= since)

    def row(self, now: datetime) -> Mapping[str, Cell]:
        """As the table has it; what is still open is so many hours old at *now*."""
        end = now if self._resolved is None else self._resolved.at
        parts = (self.event, self._acknowledged, self._resolved)
        return {
            "gateway": text(self.event.facts, "cause").split("/")[1],
            "detected_at": self.event.at,
            "what": self._what,
            "acknowledged_at": None if self._acknowledged is None else self._acknowledged.at,
            "acknowledged_by": "" if self._acknowledged is None else self._acknowledged.who,
            "resolved_at": None if self._resolved is None else self._resolved.at,
            "hours_open": round((end - self.event.at).total_seconds() / 3600, 2),
            "events": ", ".join(str(each.sequence) for each in parts if each is not None),
        }
