"""The auditor's question: what decided about this asset then, and on whose word."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlite_utils import Database

from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.audit import AuditEvent, WhatRan
from edge_site_proxy.audit.errors import NothingRanError
from edge_site_proxy.audit.log import parse, size_of

REFERENCE_CHANGED = "gateway.reference_changed"
CONFIG_CHANGED = "gateway.config_changed"


def what_ran(db: Database, asset: str, at: datetime) -> WhatRan:
    """What decided about *asset* at *at*, from the events kept when each gateway said so.

    Raises:
        NothingRanError: the log has no gateway at that asset.
    """
    changes = reference_changes(db, asset)
    return answer(
        changes,
        asset,
        at,
        size_of(db),
        setups=_about(db, CONFIG_CHANGED, asset),
        scored=_scored_now(db, changes[-1].subject) if changes else None,
    )


def reference_changes(db: Database, asset: str) -> list[AuditEvent]:
    """Every change of what decides about *asset*, in order, whatever box stood there."""
    return _about(db, REFERENCE_CHANGED, asset)


def _about(db: Database, kind: str, asset: str) -> list[AuditEvent]:
    rows = db.execute(
        "SELECT leaf FROM audit_events WHERE kind = ?"
        " AND json_extract(CAST(leaf AS TEXT), '$.facts.asset') = ? ORDER BY sequence",
        [kind, asset],
    ).fetchall()
    return [parse(bytes(row[0])) for row in rows]


def _scored_now(db: Database, serial: str) -> int | None:
    """Windows that *serial* has scored since its first start, as it last said."""
    row = db.execute(
        "SELECT json_extract(CAST(doc AS TEXT), '$.report.windows.scored') FROM sightings"
        " WHERE serial = ?",
        [serial],
    ).fetchone()
    return None if row is None else row[0]


def answer(
    changes: Sequence[AuditEvent],
    asset: str,
    at: datetime,
    size: int,
    *,
    setups: Sequence[AuditEvent] = (),
    scored: int | None = None,
) -> WhatRan:
    """The same from events alone, as an export has them.

    Args:
        changes: of what decides about the asset, in order.
        asset: its name.
        at: the instant asked about.
        size: events in the log.
        setups: changes of the configuration of the gateways there, in order.
        scored: what the gateway there has counted by now, for a period that has not ended.

    Raises:
        NothingRanError: there are no changes.
    """
    if not changes:
        raise NothingRanError(f"asset {asset[:80]!r}: expected one in the log, found none such")
    at = at.astimezone(UTC)
    earlier = [event for event in changes if _since(event) <= at]
    event = earlier[-1] if earlier else None
    later = [each for each in changes if event is None or each.sequence > event.sequence]
    following = later[0] if later else None
    until = None if following is None else _since(following)
    after = None if following is None else following.facts["effective"]
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
            after=after,
        )
    facts: dict[str, Any] = event.facts  # Any: JSON values, as `fleet.changes` wrote them
    release = facts["release"]
    setup = [each for each in setups if each.subject == event.subject and _since(each) <= at]
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
        before=earlier[-2].facts["effective"] if len(earlier) > 1 else None,
        after=after,
        rollout=facts["rollout"],
        config=setup[-1].facts["config"] if setup else None,
        inputs=setup[-1].facts["inputs"] if setup else [],
        inferences=_counted(event, following, scored),
        clock_error_max_us=facts.get("clock_error_max_us"),
    )


def _counted(event: AuditEvent, following: AuditEvent | None, scored: int | None) -> int | None:
    """Windows scored in between; None where nobody counted, or another box went on."""
    if following is not None:
        same = following.subject == event.subject
        scored = following.facts.get("scored") if same else None
    begun = event.facts.get("scored")
    return None if scored is None or begun is None or scored < begun else scored - begun


def _since(event: AuditEvent) -> datetime:
    return datetime.fromisoformat(str(event.facts["since"]))
