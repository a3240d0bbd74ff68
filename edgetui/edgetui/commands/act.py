"""Subcommands that change something; each says what it changed, and to what."""

from edge_core.command import tell
from edge_core.contracts.alarms import Maintenance, MaintenanceRequest
from edge_core.contracts.api import (
    AckRequest,
    AlarmView,
    GatewayView,
    LabelRequest,
    ReasonRequest,
    RetireRequest,
    SafeModeRequest,
    ShelveRequest,
    Snapshot,
    WhoAmI,
)
from edge_core.contracts.errors import ConflictError, RefusedError, UsageError
from edge_core.contracts.review import ReviewItem
from edge_core.contracts.rollout import RolloutView
from edge_core.contracts.shown import shown_digest
from edge_core.contracts.signing import (
    ApproveRequest,
    Pin,
    PinRequest,
    PinResetRequest,
    PinView,
    RevokeRequest,
    WaiveRequest,
)
from edgetui.client import part
from edgetui.commands import secret
from edgetui.commands.context import Context
from edgetui.present.alarms_page import alarms_page, maintenance_page
from edgetui.present.fleet_page import gateways_page
from edgetui.present.lines import texts
from edgetui.present.ops_page import queue_page
from edgetui.present.rollout_page import rollout_page
from edgetui.signing import GATES, approval_facts, pin_of


async def approve(context: Context) -> int:
    """Approve exactly the plan that stands there now, or the one that `--plan` names."""
    chosen = context.chosen
    seen = await context.site.fetch(f"/v1/rollouts/{part(chosen.id)}", RolloutView)
    if chosen.plan is not None and chosen.plan != seen.plan_digest:
        raise ConflictError(
            f"{seen.id}: expected plan {chosen.plan}, found {seen.plan_digest}; look again"
        )
    if not seen.lines:
        raise RefusedError(f"{seen.id}: its plan moves no line, so there is nothing to approve")
    request = ApproveRequest(
        ticket=chosen.ticket,
        reason=chosen.reason,
        plan_digest=seen.plan_digest,
        line=chosen.line or seen.lines[0],
        meaning=chosen.meaning,
        change=chosen.type,
        until=chosen.until,
        role=chosen.role,
        shown=shown_digest(seen),
        pin=_pin(context, seen, needed=seen.pin_needed),
    )
    view = await context.site.change(
        f"/v1/rollouts/{part(seen.id)}/approve", request, RolloutView, etag=seen.etag
    )
    return context.answer(view, lambda cells: rollout_page(view, cells))


def _pin(context: Context, seen: RolloutView, *, needed: bool) -> Pin | None:
    """The signer's PIN where one is needed, once they have read on stderr what they sign."""
    if not needed:
        return None
    for line in texts(approval_facts(seen, context.cells)):
        tell("edgetui", line)
    return pin_of(secret.pins(context.chosen, f"PIN of yours, to sign {seen.id}")[0])


async def resume(context: Context) -> int:
    """Resume a rollout, or waive its gate; or gateways in CONFLICT with the site's own state."""
    chosen = context.chosen
    if (chosen.id is not None) + (chosen.gateway is not None) + chosen.conflicts != 1:
        raise UsageError("resume: expected a rollout's id, --gateway SERIAL, or --conflicts")
    if chosen.gateway is not None:
        return await _gateway_action(context, chosen.gateway, "resume")
    if chosen.conflicts:
        asked = ReasonRequest(reason=chosen.reason)
        views = await context.site.change("/v1/conflicts/resume", asked, list[GatewayView])
        return context.answer(views, lambda cells: gateways_page(views, cells))
    path = f"/v1/rollouts/{part(chosen.id)}"
    seen = await context.site.fetch(path, RolloutView)
    gates = bool(GATES & set(seen.holds))
    request = WaiveRequest(
        reason=chosen.reason,
        shown=shown_digest(seen) if gates else None,
        pin=_pin(context, seen, needed=gates and seen.pin_needed),
    )
    view = await context.site.change(f"{path}/resume", request, RolloutView, etag=seen.etag)
    return context.answer(view, lambda cells: rollout_page(view, cells))


async def revoke(context: Context) -> int:
    """Take the approval back: no more permits; committed gateways stay unless told otherwise."""
    chosen = context.chosen
    path = f"/v1/rollouts/{part(chosen.id)}"
    seen = await context.site.fetch(path, RolloutView)
    request = RevokeRequest(reason=chosen.reason, roll_back=chosen.roll_back)
    view = await context.site.change(f"{path}/revoke", request, RolloutView, etag=seen.etag)
    return context.answer(view, lambda cells: rollout_page(view, cells))


async def pin(context: Context) -> int:
    """Set the PIN that you sign with, or reset somebody's who forgot theirs."""
    chosen = context.chosen
    if chosen.reset is not None:
        if not chosen.reason:
            raise UsageError("pin --reset: expected --reason TEXT, found none")
        reset = PinResetRequest(user=chosen.reset, reason=chosen.reason)
        view = await context.site.change("/v1/pin/reset", reset, PinView)
        return context.answer(view, lambda _: [f"{view.user} has no PIN any more"])
    who = await context.site.fetch("/v1/whoami", WhoAmI)
    old = ["old PIN"] if who.pin_set else []
    *before, new, again = secret.pins(chosen, *old, "new PIN, 6 to 12 digits", "new PIN again")
    if new != again:
        raise UsageError("new PIN: expected the same twice, found two")
    request = PinRequest(new=pin_of(new), old=pin_of(before[0]) if before else None)
    view = await context.site.change("/v1/pin", request, PinView)
    return context.answer(view, lambda _: [f"the new PIN of {view.user} counts from now on"])


async def declare_dead(context: Context) -> int:
    """Say that a silent gateway will not come back: its pair and its cell are free again."""
    return await _gateway_action(context, context.chosen.serial, "declare-dead")


async def decommission(context: Context) -> int:
    """End a gateway's life here, or name the one that stands in its place now."""
    chosen = context.chosen
    request = RetireRequest(reason=chosen.reason, by=chosen.by)
    path = f"/v1/gateways/{part(chosen.serial)}/decommission"
    views = await context.site.change(path, request, list[GatewayView])
    said = f"{chosen.serial} is decommissioned, and its certificates are revoked"
    return context.answer(views, lambda cells: [said, *gateways_page(views, cells)])


async def on_rollout(context: Context) -> int:
    """Hold, cancel, switch or acknowledge a rollout."""
    return await _rollout_action(context, context.chosen.command)


async def rollback(context: Context) -> int:
    """Take the model of a rollout, or of one gateway, back."""
    chosen = context.chosen
    if (chosen.id is None) == (chosen.gateway is None):
        raise UsageError("rollback: expected either a rollout's id or --gateway SERIAL")
    if chosen.id is not None:
        return await _rollout_action(context, "rollback")
    path = f"/v1/gateways/{part(chosen.gateway)}"
    seen = await context.site.fetch(path, GatewayView)
    view = await context.site.change(
        f"{path}/rollback", ReasonRequest(reason=chosen.reason), GatewayView, etag=seen.etag
    )
    return context.answer(view, lambda cells: gateways_page([view], cells))


async def safe_mode(context: Context) -> int:
    """Put a gateway or a line into safe mode, or out of it."""
    chosen = context.chosen
    if (chosen.serial is None) == (chosen.line is None):
        raise UsageError("safe-mode: expected either SERIAL or --line LINE")
    request = SafeModeRequest(
        on=chosen.switch == "on", reason=chosen.reason, serial=chosen.serial, line=chosen.line
    )
    views = await context.site.change("/v1/safe-mode", request, list[GatewayView])
    return context.answer(views, lambda cells: gateways_page(views, cells))


async def snapshot(context: Context) -> int:
    """Ask a gateway for its state, last windows and logs, as one folder."""
    chosen = context.chosen
    taken = await context.site.change(
        f"/v1/gateways/{part(chosen.serial)}/snapshot",
        ReasonRequest(reason=chosen.reason),
        Snapshot,
    )
    return context.answer(taken, lambda _: [f"snapshot {taken.id} of {taken.serial} asked for"])


async def label(context: Context) -> int:
    """Say what one window was, or take the last word on it back."""
    chosen = context.chosen
    path = f"/v1/queue/{chosen.item}"
    if chosen.undo == (chosen.label is not None):
        raise UsageError("label: expected either a LABEL or --undo")
    request = LabelRequest(label=chosen.label or "unsure")
    verb = "undo" if chosen.undo else "label"
    item = await context.site.change(f"{path}/{verb}", request, ReviewItem)
    return context.answer(item, lambda cells: queue_page([item], cells))


async def ack(context: Context) -> int:
    """Say that an alarm has been seen."""
    request = AckRequest(reason=context.chosen.reason or "")
    return await _alarm_action(context, "ack", request)


async def shelve(context: Context) -> int:
    """Put an alarm aside for some minutes."""
    request = ShelveRequest(minutes=context.chosen.minutes, reason=context.chosen.reason)
    return await _alarm_action(context, "shelve", request)


async def on_alarm(context: Context) -> int:
    """Take an alarm from the shelf, deal with one that latched, or take it out of service."""
    request = ReasonRequest(reason=context.chosen.reason)
    return await _alarm_action(context, context.chosen.command, request)


async def maintenance(context: Context) -> int:
    """Say that a line is being worked on, or done; without a line, which lines are."""
    chosen = context.chosen
    if chosen.line is None:
        works = await context.site.fetch("/v1/maintenance", list[Maintenance])
        return context.answer(works, lambda cells: maintenance_page(works, cells))
    if chosen.end == (chosen.minutes is not None):
        raise UsageError("maintenance: expected either --minutes N or --end")
    if not chosen.reason:
        raise UsageError("maintenance: expected --reason TEXT, which goes into the audit log")
    if chosen.end:
        path, ends = (
            f"/v1/maintenance/{part(chosen.line)}/end",
            ReasonRequest(reason=chosen.reason),
        )
        work = await context.site.change(path, ends, Maintenance)
        return context.answer(work, lambda _: [f"{work.line}: its alarms are on the list again"])
    order = MaintenanceRequest(line=chosen.line, minutes=chosen.minutes, reason=chosen.reason)
    work = await context.site.change("/v1/maintenance", order, Maintenance)
    return context.answer(work, lambda cells: maintenance_page([work], cells))


async def _gateway_action(context: Context, serial: str, verb: str) -> int:
    path = f"/v1/gateways/{part(serial)}/{verb}"
    request = ReasonRequest(reason=context.chosen.reason)
    view = await context.site.change(path, request, GatewayView)
    return context.answer(view, lambda cells: gateways_page([view], cells))


async def _rollout_action(context: Context, verb: str) -> int:
    path = f"/v1/rollouts/{part(context.chosen.id)}"
    seen = await context.site.fetch(path, RolloutView)
    request = ReasonRequest(reason=context.chosen.reason)
    view = await context.site.change(f"{path}/{verb}", request, RolloutView, etag=seen.etag)
    return context.answer(view, lambda cells: rollout_page(view, cells))


async def _alarm_action(
    context: Context, verb: str, request: AckRequest | ShelveRequest | ReasonRequest
) -> int:
    path = f"/v1/alarms/{context.chosen.alarm}/{verb}"
    view = await context.site.change(path, request, AlarmView)
    return context.answer(view, lambda cells: alarms_page([view], context.now(), cells))
