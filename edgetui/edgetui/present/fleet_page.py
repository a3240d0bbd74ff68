"""The pages about the plant: overview, gateways, one gateway; each a list of lines."""

from collections.abc import Sequence

from edge_core.contracts.api import GatewayView, LineView, Overview
from edge_core.contracts.gateway import HealthWindow
from edgetui.present.bars import trend
from edgetui.present.ops_page import alarm_banner, needs_you
from edgetui.present.rollout_page import ladder
from edgetui.present.tables import Column, table
from edgetui.present.words import UNKNOWN, age, clock, fit, inert, named, share, short

LINE_COLUMNS: Sequence[Column[LineView]] = (
    Column("LINE", lambda v: v.line, 20),
    Column("GW", lambda v: str(v.gateways), 5, right=True),
    Column("online", lambda v: str(v.online), 6, right=True),
    Column("trial", lambda v: str(v.trial), 5, right=True, rank=2),
    Column("safe", lambda v: str(v.safe_mode), 4, right=True, rank=3),
    Column("model", lambda v: ", ".join(v.models) or UNKNOWN, 30),
    Column("alarms %", lambda v: share(v.alarms, v.scored), 8, right=True, rank=1),
    Column("queue", lambda v: str(v.queue), 5, right=True),
    Column("oldest data", lambda v: age(v.oldest_age_s), 12, right=True),
)


def doing(view: GatewayView) -> str:
    """What a gateway is about, in words; why it does not move comes first."""
    if not view.enrolled:
        return "not enrolled"
    if view.stale:
        return "STALE: no word from it"
    if view.safe_mode:
        return "SAFE MODE: model's safe output"
    if view.rollback_wanted:
        return "rollback ordered"
    if view.update is None:
        return "no model yet" if view.effective is None else "steady"
    word = view.update.state.value.replace("_", " ")
    return (
        f"{word}: {view.defer or view.update.reason}" if view.defer or view.update.reason else word
    )


def latest(view: GatewayView) -> HealthWindow | None:
    """The newest health window of the model that decides."""
    windows = [w for w in view.health if w.digest == view.effective]
    return max(windows, key=lambda w: (w.epoch, w.number), default=None)


def _share_of(view: GatewayView, field: str) -> str:
    window = latest(view)
    if window is None:
        return UNKNOWN
    whole = window.shadow_pairs if field == "shadow_disagreed" else window.scored
    return share(getattr(window, field), whole) + (" ?" if view.stale else "")


def _latency(view: GatewayView) -> str:
    window = latest(view)
    return UNKNOWN if window is None else f"{window.latency_p99_us / 1000:.1f}"


GATEWAY_COLUMNS: Sequence[Column[GatewayView]] = (
    Column("gateway", lambda v: v.place.serial, 18),
    Column("line", lambda v: v.place.position.line, 12),
    Column("cell", lambda v: v.place.position.cell, 12, rank=5),
    Column("model", lambda v: named(v.effective, v.names), 24),
    Column("p99 ms", _latency, 7, right=True, rank=2),
    Column("err %", lambda v: _share_of(v, "errors"), 7, right=True, rank=4),
    Column("domain %", lambda v: _share_of(v, "out_of_domain"), 8, right=True, rank=3),
    Column("anom %", lambda v: _share_of(v, "alarms"), 8, right=True, rank=6),
    Column("age", lambda v: age(v.age_s), 9, right=True),
    Column("state", doing, 34),
)


def overview_page(view: Overview, cells: int) -> list[str]:
    """The whole site: banner, lines, what needs somebody, rollouts."""
    telemetry = view.telemetry
    wan = "WAN ok" if telemetry.upstream_ok else "WAN DOWN"
    lines = [
        fit(
            f"site {view.site}  {clock(view.at)}  {wan}, {telemetry.waiting_records} waiting"
            f"  clock {'ok' if view.clock.synchronised else 'NOT SYNCHRONISED'}"
            f"  audit #{view.audit_size}",
            cells,
        ).rstrip(),
        alarm_banner(view.alarms),
        "",
        *table(LINE_COLUMNS, view.lines, cells),
        "",
        "NEEDS YOU",
        *(needs_you(view, cells) or ["  nothing"]),
        "",
        "ROLLOUTS",
    ]
    return lines + [fit(f"  {ladder(r)}", cells).rstrip() for r in view.rollouts] or ["  none"]


def gateways_page(views: Sequence[GatewayView], cells: int) -> list[str]:
    """One line a gateway."""
    return table(GATEWAY_COLUMNS, views, cells)


def gateway_page(view: GatewayView, cells: int) -> list[str]:
    """One gateway: its four references, what runs, and how it does."""
    place = view.place
    references = view.references
    window = latest(view)
    lines = [
        f"{place.serial}  {place.position.asset}  line {place.position.line}"
        f"  cell {place.position.cell}  zone {place.zone}"
        + (f"  pair {place.redundancy_group}" if place.redundancy_group else ""),
        f"state    {doing(view)}  (heard {age(view.age_s)} ago)",
        f"running  {named(view.running, view.names)}  {short(view.running)}"
        + ("" if view.running == view.effective else "  DIFFERS from what its record says"),
        "",
    ]
    if references is not None:
        for label, digest in (
            ("golden", references.golden),
            ("previous good", references.previous_good),
            ("committed", references.committed),
            ("candidate", references.candidate),
        ):
            lines.append(f"  {label:<14} {named(digest, view.names):<28} {short(digest)}")
    if window is not None:
        latencies = [w.latency_p99_us for w in view.health if w.digest == window.digest]
        lines += [
            "",
            (
                f"last health window #{window.number}: {window.scored} scored, "
                f"{window.no_verdict} without verdict, {window.errors} errors, "
                f"{window.alarms} not normal, {window.out_of_domain} out of domain"
            ),
            f"p99 {window.latency_p99_us / 1000:.2f} ms  {trend(latencies, 24)}",
        ]
    if view.windows is not None:
        counts = view.windows
        lines.append(
            f"windows since first start: {counts.cut} cut, {counts.scored} scored, "
            f"{counts.no_verdict} without verdict, {counts.dropped} dropped, "
            f"{counts.doubled} doubled"
        )
    lines += [f"FAULT    {fault}" for fault in view.faults]
    lines += [
        f"drift    {notice.kind} on {', '.join(notice.tags)} since {clock(notice.since)}"
        for notice in view.drift
    ]
    return [fit(inert(line), cells).rstrip() for line in lines]
