"""E2: everything the log has about one change, on one page that can be printed; pure."""

import html
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from edge_core.command import one_line
from edge_core.contracts.audit import AuditEvent
from edge_core.contracts.errors import NotFoundError
from edge_site_proxy.audit.reports.changes import Change, Happening, changes_of, text, verb_of
from edge_site_proxy.audit.reports.population import in_time
from edge_site_proxy.audit.reports.sheet import Cell, cell

Document = dict[str, Any]  # Any: JSON values
Table = Sequence[Mapping[str, Cell]]

_STYLE = """
body { font: 11pt/1.4 sans-serif; max-width: 60em; margin: 2em auto; color: #000; }
h1 { font-size: 16pt } h2 { font-size: 12pt; margin-top: 1.6em; border-bottom: 1px solid #888 }
table { border-collapse: collapse; width: 100%; font-size: 9pt }
th, td { text-align: left; vertical-align: top; padding: .2em .5em; border: 1px solid #bbb;
         overflow-wrap: anywhere }
th { background: #eee } tr { break-inside: avoid } .bad { font-weight: bold }
footer { margin-top: 2em; font-size: 8pt; color: #444 }
"""


def change_of(events: Iterable[AuditEvent], name: str) -> Change:
    """The change called *name*.

    Raises:
        NotFoundError: the log knows none.
    """
    found = {change.id: change for change in changes_of(events)}
    if name not in found:
        raise NotFoundError(
            f"change {name[:80]!r}: expected one of the log's {len(found)}, found none such"
        )
    return found[name]


def numbers_of(change: Change) -> list[int]:
    """The events that are proved with it: its own, and each permit."""
    return sorted({each.event for each in [*change.happenings, *change.activations]})


def document(change: Change, zone_of: str = "UTC") -> Document:
    """The evidence as JSON values: what was asked, tested, approved, done, and how it ended."""
    first = change.activations[0] if change.activations else None
    ended = change.ended
    return {
        "change": change.id,
        "what": change.what,
        "kind": change.kind,
        "state": change.state,
        "times_in": zone_of,
        "request": {
            "model": change.model,
            "version": change.version,
            "release": change.release,
            "author": change.author,
            "signed_by": change.signers,
            "plan": change.plan,
            "rollback_to": change.rollback_to,
            "cohorts": change.cohorts,
        },
        "approvals": _approvals(change),
        "approved_before_activation": in_time(change),
        "first_activation_at": None if first is None else first.at,
        "gates": _gates(change),
        "decisions": _decisions(change),
        "deployment": _deployment(change),
        "ended_at": None if ended is None else ended.at,
        "rollback": _rollback(change),
        "events": [
            {
                "event": each.event,
                "at": each.at,
                "who": each.who,
                "kind": each.kind,
                "state": text(each.facts, "state"),
            }
            for each in change.happenings
        ],
    }


def _approvals(change: Change) -> Table:
    first = change.activations[0] if change.activations else None
    return [
        {
            "at": each.at,
            "who": each.who,
            "name": each.name,
            "meaning": each.meaning,
            "kind": each.change,
            "ticket": each.ticket,
            "reason": each.reason,
            "plan": each.plan,
            "shown": each.shown,
            "expires": each.expires,
            "before_first_activation": None if first is None else each.event < first.event,
            "minutes_before": None if first is None else _minutes(each.at, first.at),
            "event": each.event,
        }
        for each in change.signatures
    ]


def _minutes(earlier: datetime, later: datetime) -> float:
    return round((later - earlier).total_seconds() / 60, 2)


def _gates(change: Change) -> Table:
    return [
        {
            "at": each.at,
            "cohort": text(each.facts, "cohort"),
            "outcome": "waived by a person" if each.facts.get("waived") else verb_of(each.kind),
            "gate": text(row, "gate"),
            "verdict": text(row, "verdict"),
            "measured": row.get("value"),
            "limit": row.get("limit"),
            "windows": row.get("n"),
            "log_e": row.get("log_e"),
            "event": each.event,
        }
        for each in change.happenings
        for row in each.facts.get("measurements") or []
    ]


_DECISIONS = frozenset(
    {
        "held",
        "hold_cleared",
        "resumed",
        "cancelled",
        "approval_revoked",
        "gate_failed",
        "superseded",
    }
)


def _decisions(change: Change) -> Table:
    return [
        {
            "at": each.at,
            "who": each.who,
            "what": verb_of(each.kind),
            "hold": text(each.facts, "hold") or ", ".join(map(str, each.facts.get("holds") or [])),
            "waived": text(each.facts, "waived"),
            "why": text(each.facts, "reason") or text(each.facts, "cause"),
            "event": each.event,
        }
        for each in change.happenings
        if verb_of(each.kind) in _DECISIONS
    ]


def _deployment(change: Change) -> Table:
    """One row a gateway: its permit, and how its attempt ended as far as the log tells."""
    last: dict[str, Happening] = {}
    for each in change.gateways:
        if each.kind == "gateway.update_changed":
            last[each.subject] = each
    names = {member: name for name, members in change.cohorts.items() for member in members}
    return [
        {
            "gateway": each.subject,
            "cohort": names.get(each.subject, ""),
            "permit_at": each.at,
            "attempt": each.facts.get("attempt"),
            "last_state": text(last[each.subject].facts, "state") if each.subject in last else "",
            "outcome": text(last[each.subject].facts, "outcome") if each.subject in last else "",
            "reason": text(last[each.subject].facts, "reason") if each.subject in last else "",
            "last_at": last[each.subject].at if each.subject in last else None,
            "event": each.event,
        }
        for each in change.activations
    ]


def _rollback(change: Change) -> Document | None:
    order = change.rolled_back
    if order is None:
        return None
    return {
        "at": order.at,
        "who": order.who,
        "reason": text(order.facts, "reason"),
        "from": text(order.facts, "from"),
        "to": text(order.facts, "to"),
        "event": order.event,
    }


def page(evidence: Document, proved_by: str) -> str:
    """The same as one HTML page that needs nothing else.

    Args:
        evidence: from `document`.
        proved_by: the checkpoint that the proofs beside the page lead to.
    """
    request = {key: _words(value) for key, value in evidence["request"].items()}
    head = {key: evidence[key] for key in ("change", "what", "kind", "state", "ended_at")}
    head["first_activation_at"] = evidence["first_activation_at"]
    head["approved_before_activation"] = evidence["approved_before_activation"]
    parts = [
        f"<h1>Change {_safe(evidence['change'])}</h1>",
        _pairs(head),
        "<h2>Request</h2>",
        _pairs(request),
        _section("Approvals", evidence["approvals"], "Nobody approved it."),
        _section("Gates: what was measured", evidence["gates"], "No gate was measured."),
        _section("Holds and decisions", evidence["decisions"], "Nobody had to decide."),
        _section("Deployment", evidence["deployment"], "No gateway was given a permit."),
        "<h2>Rollback</h2>",
        _pairs(evidence["rollback"]) if evidence["rollback"] else "<p>None was ordered.</p>",
        _section("Events", evidence["events"], "None."),
        _footer(evidence["times_in"], proved_by),
    ]
    title = f"Change {_safe(evidence['change'])}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _footer(times_in: str, proved_by: str) -> str:
    note = "\n".join(map(_safe, proved_by.splitlines()))
    return (
        f"<footer><p>Times are the site's clock, in {_safe(times_in)}. Every event above lies "
        "beside this page as <code>event-N.json</code> with its proof; "
        "<code>verify_audit.py</code> checks them against this checkpoint of the log:</p>"
        f"<pre>{note}</pre></footer>"
    )


def _words(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_words(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _section(title: str, rows: Table, nothing: str) -> str:
    if not rows:
        return f"<h2>{title}</h2>\n<p>{nothing}</p>"
    heads = "".join(f"<th>{_safe(name.replace('_', ' '))}</th>" for name in rows[0])
    body = "\n".join(
        "<tr>" + "".join(f"<td>{_shown(value)}</td>" for value in row.values()) + "</tr>"
        for row in rows
    )
    return (
        f"<h2>{title}</h2>\n<table><thead><tr>{heads}</tr></thead><tbody>\n{body}</tbody></table>"
    )


def _pairs(facts: Mapping[str, Cell]) -> str:
    rows = "\n".join(
        f"<tr><th>{_safe(name.replace('_', ' '))}</th><td>{_shown(value)}</td></tr>"
        for name, value in facts.items()
    )
    return f"<table><tbody>\n{rows}</tbody></table>"


def _shown(value: Cell) -> str:
    return _safe(value) if isinstance(value, str) else _safe(cell(value))


def _safe(value: str) -> str:
    return html.escape(one_line(value))
