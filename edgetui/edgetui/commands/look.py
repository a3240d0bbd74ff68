"""Subcommands that only look."""

import sys

from edge_core.contracts.alarms import AlarmSummary
from edge_core.contracts.api import AlarmView, GatewayException, GatewayView, Overview, WhoAmI
from edge_core.contracts.audit import AuditEvent
from edge_core.contracts.gates import GateChecks, GateReport
from edge_core.contracts.gateway import Checkpoint
from edge_core.contracts.review import ReviewItem
from edge_core.contracts.rollout import RolloutView
from edgetui.client import part
from edgetui.commands.context import Context
from edgetui.present.alarms_page import alarms_page, rates_page
from edgetui.present.fleet_page import (
    exceptions_page,
    gateway_page,
    gateways_page,
    status_page,
)
from edgetui.present.lines import folded
from edgetui.present.ops_page import audit_page, queue_page
from edgetui.present.rollout_page import (
    gate_checks_page,
    gates_page,
    rollout_page,
    rollouts_page,
)

QUEUE_MAX = 5000  # items read before the filter; the site answers no more at once


async def status(context: Context) -> int:
    """The whole site on one page."""
    view = await context.site.fetch("/v1/overview", Overview)
    return context.answer(view, lambda cells: status_page(view, cells))


async def gateways(context: Context) -> int:
    """Every gateway, one line each."""
    views = [
        view
        for view in await context.site.fetch("/v1/gateways", list[GatewayView])
        if context.keeps(
            view.place.serial,
            view.place.position.line,
            view.place.position.asset,
            *view.names.values(),
        )
    ]
    return context.answer(views, lambda cells: gateways_page(views, cells))


async def gateway(context: Context) -> int:
    """One gateway."""
    path = f"/v1/gateways/{part(context.chosen.serial)}"
    view = await context.site.fetch(path, GatewayView)
    return context.answer(view, lambda cells: gateway_page(view, cells))


async def exceptions(context: Context) -> int:
    """Every gateway that is not where its rollout wants it: why, and for how long."""
    views = [
        each
        for each in await context.site.fetch("/v1/exceptions", list[GatewayException])
        if context.keeps(each.serial, each.line, each.asset, each.kind.value, each.why)
    ]
    return context.answer(views, lambda cells: exceptions_page(views, cells))


async def rollouts(context: Context) -> int:
    """Every rollout, one line each."""
    views = [
        view
        for view in await context.site.fetch("/v1/rollouts", list[RolloutView])
        if context.keeps(view.id, view.release.model, view.release.version, view.state.value)
    ]
    return context.answer(views, lambda cells: rollouts_page(views, cells))


async def rollout(context: Context) -> int:
    """One rollout."""
    view = await context.site.fetch(f"/v1/rollouts/{part(context.chosen.id)}", RolloutView)
    return context.answer(view, lambda cells: rollout_page(view, cells))


async def gates(context: Context) -> int:
    """The gates of one rollout."""
    view = await context.site.fetch(f"/v1/rollouts/{part(context.chosen.id)}", RolloutView)
    reports: list[GateReport] = view.gates
    return context.answer(reports, lambda cells: gates_page(reports, cells))


async def gate_checks(context: Context) -> int:
    """How often the gate blamed what did not change: last night's checks and all that are kept."""
    checks = await context.site.fetch("/v1/gate-checks", GateChecks)
    return context.answer(checks, lambda cells: gate_checks_page(checks, cells))


async def queue(context: Context) -> int:
    """The review queue, or every labelled window as JSON lines."""
    if context.chosen.export:
        async for line in context.site.lines("/v1/queue/export"):
            sys.stdout.buffer.write(line)
        return 0
    items = await context.site.fetch(
        "/v1/queue",
        list[ReviewItem],
        state=context.chosen.state,
        line=context.chosen.line,
        asset=context.chosen.asset,
        limit=QUEUE_MAX,
    )
    items = [i for i in items if context.keeps(i.asset, i.line, i.window.prediction, i.window.why)]
    return context.answer(items, lambda cells: queue_page(items, cells))


async def alarms(context: Context) -> int:
    """What is wrong; `--all` shows what has cleared as well, `--rates` the list in numbers."""
    chosen = context.chosen
    if chosen.rates:
        summary = await context.site.fetch("/v1/alarms/summary", AlarmSummary)
        return context.answer(summary, lambda cells: rates_page(summary, cells))
    views = [
        view
        for view in await context.site.fetch(
            "/v1/alarms",
            list[AlarmView],
            all="true" if chosen.all else None,
            state=chosen.state,
            group=chosen.group,
        )
        if context.keeps(view.source, view.what, view.priority.value)
    ]
    return context.answer(views, lambda cells: alarms_page(views, context.now(), cells))


async def audit(context: Context) -> int:
    """The tail of the audit log."""
    after, limit = context.chosen.after, context.chosen.limit
    if after is None:
        size = (await context.site.fetch("/v1/audit/checkpoint", Checkpoint)).size
        after = max(-1, size - limit - 1)
    events = [
        event
        for event in await context.site.fetch(
            "/v1/audit", list[AuditEvent], after=after, limit=limit
        )
        if context.keeps(event.who, event.kind, event.subject)
    ]
    return context.answer(events, lambda cells: audit_page(events, cells))


async def whoami(context: Context) -> int:
    """Who the site proxy takes the caller for."""
    who = await context.site.fetch("/v1/whoami", WhoAmI)
    return context.answer(
        who,
        lambda cells: [
            f"{who.user} (uid {who.uid}) at site {who.site}",
            f"roles: {', '.join(r.value for r in who.roles) or 'none'}",
            *folded("may:   ", ", ".join(a.value for a in who.may) or "look only", cells),
            f"PIN:   {'set' if who.pin_set else 'none: edgetui pin'}",
        ],
    )
