"""The auditor's question: what decided about this asset then, and on whose word."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlite_utils import Database

from edge_core.contracts.api import AuditEvent, WhatRan
from edge_core.contracts.artefact import ReleaseRef
from edge_site_proxy.audit.errors import NothingRanError
from edge_site_proxy.audit.log import parse, size_of

REFERENCE_CHANGED = "gateway.reference_changed"


def what_ran(db: Database, asset: str, at: datetime) -> WhatRan:
    """What decided about *asset* at *at*, from the events kept when each gateway said so.

    Raises:
        NothingRanError: the log has no gateway at that asset.
    """
    return answer(reference_changes(db, asset), asset, at, size_of(db))


def reference_changes(db: Database, asset: str) -> list[AuditEvent]:
    """Every change of what decides about *asset*, in order, whatever box stood there."""
    rows = db.execute(
        "SELECT leaf FROM audit_events WHERE kind = ?"
        " AND json_extract(CAST(leaf AS TEXT), '$.facts.asset') = ? ORDER BY sequence",
        [REFERENCE_CHANGED, asset],
    ).fetchall()
    return [parse(bytes(row[0])) for row in rows]


def answer(changes: list[AuditEvent], asset: str, at: datetime, size: int) -> WhatRan:
    """The same from events alone, as an export has them.

    Raises:
        NothingRanError: there are none.
    """
    if not changes:
        raise NothingRanError(f"asset {asset[:80]!r}: expected one in the log, found none such")
    at = at.astimezone(UTC)
    earlier = [event for event in changes if _since(event) <= at]
    event = earlier[-1] if earlier else None
    later = [each for each in changes if event is None or each.sequence > event.sequence]
    until = _since(later[0]) if later else None
    if event is None:
        return WhatRan(
            asset=asset,
            serial=changes[0].subject,
            at=at,
            digest=None,
            release=None,
            since=None,
            until=until,
            signers=[],
            approvals=[],
            clock_synchronised=changes[0].clock_synchronised,
            event=None,
            audit_size=size,
        )
    facts: dict[str, Any] = event.facts  # Any: JSON values, as `fleet.changes` wrote them
    release = facts["release"]
    return WhatRan(
        asset=asset,
        serial=event.subject,
        at=at,
        digest=facts["effective"],
        release=None if release is None else msgspec.convert(release, ReleaseRef),
        since=_since(event),
        until=until,
        signers=facts["signers"],
        approvals=facts["approvals"],
        clock_synchronised=event.clock_synchronised and facts["clock_synchronised"],
        event=event.sequence,
        audit_size=size,
    )


def _since(event: AuditEvent) -> datetime:
    return datetime.fromisoformat(str(event.facts["since"]))
