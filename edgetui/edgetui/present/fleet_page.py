"""The pages about the plant: overview, gateways, one gateway; each a list of lines."""

from collections.abc import Callable, Sequence

from edge_core.contracts.api import (
    ExceptionKind,
    GatewayException,
    GatewayView,
    LineView,
    Overview,
)
from edge_core.contracts.gateway import HealthWindow
from edge_core.contracts.rollout import TERMINAL
from edgetui.present.alarms_page import alarm_banner
from edgetui.present.bars import trend
from edgetui.present.lines import BLANK, Line, Target, Tone, folded, join, say, whole
from edgetui.present.ops_page import needs_you
from edgetui.present.rollout_page import by_need, rollout_line
from edgetui.present.tables import Column, table
from edgetui.present.words import UNKNOWN, age, clock, named, share, short

CLOCK_NEAR_S = 5.0
ENDED_SHOWN_MAX = 3  # ended rollouts are history: the rollouts screen has all of them


def _hands(count: Callable[[LineView], int], tone: Tone) -> Callable[[LineView], Tone]:
    return lambda view: tone if count(view) else Tone.PLAIN


def line_columns(late_s: float) -> Sequence[Column[LineView]]:
    """The lines in numbers; what was read *late_s* ago is that much older."""
    oldest: Callable[[LineView], str] = lambda v: age(aged(v.oldest_age_s, late_s))  # noqa: E731 - a column is an expression
    return (
        Column("LINE", lambda v: v.line, 20),
        Column("GW", lambda v: str(v.gateways), 5, right=True),
        Column(
            "online",
            lambda v: str(v.online),
            6,
            right=True,
            tone=_hands(lambda v: v.gateways - v.online, Tone.P3),
        ),
        Column("trial", lambda v: str(v.trial), 5, right=True, rank=2),
        Column(
            "safe",
            lambda v: str(v.safe_mode),
            4,
            right=True,
            rank=3,
            tone=_hands(lambda v: v.safe_mode, Tone.P2),
        ),
        Column("alarms %", lambda v: share(v.alarms, v.scored), 8, right=True, rank=1),
        Column("queue", lambda v: str(v.queue), 5, right=True),
        Column("oldest data", oldest, 12, right=True),
        Column("model", lambda v: ", ".join(v.models) or UNKNOWN, 60),
    )


def aged(seconds: float | None, late_s: float) -> float | None:
    """An age that was true *late_s* ago, as it is now."""
    return None if seconds is None else seconds + late_s


def doing(view: GatewayView) -> str:
    """What a gateway is about, in words; why it does not move comes first."""
    if not view.enrolled:
        return "not enrolled"
    apart = next((each for each in view.exceptions if _tells_more(view, each)), None)
    if apart is not None:
        return f"{exception_words(apart)}: {apart.why}"
    if view.stale:
        return "STALE: no word from it"
    if view.safe_mode:
        return "SAFE MODE: model's safe output"
    if view.rollback_wanted:
        return "rollback ordered"
    return _at_work(view)


def _tells_more(view: GatewayView, exception: GatewayException) -> bool:
    """Of a silent gateway the silence is what counts, unless somebody knows why it is silent."""
    return not view.stale or exception.kind is ExceptionKind.DEAD


def _at_work(view: GatewayView) -> str:
    if view.update is None:
        return view.defer or ("no model yet" if view.effective is None else "steady")
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


def doing_tone(view: GatewayView) -> Tone:
    """What is not as it should be has a colour."""
    if view.stale or not view.enrolled:
        return Tone.P3
    wrong = view.safe_mode or view.rollback_wanted or view.faults or view.exceptions
    return Tone.P2 if wrong else Tone.PLAIN


def heard_tone(view: GatewayView) -> Tone:
    """Old values are dimmed."""
    return Tone.DIM if view.stale else Tone.PLAIN


def gateway_columns(late_s: Callable[[GatewayView], float]) -> Sequence[Column[GatewayView]]:
    """Gateways; *late_s* is how long ago a view was read."""
    heard: Callable[[GatewayView], str] = lambda v: age(aged(v.age_s, late_s(v)))  # noqa: E731 - a column is an expression
    return (
        Column("gateway", lambda v: v.place.serial, 18),
        Column("line", lambda v: v.place.position.line, 12),
        Column("cell", lambda v: v.place.position.cell, 12, rank=5),
        Column("asset", lambda v: v.place.position.asset, 16, rank=7),
        Column("model", lambda v: named(v.effective, v.names), 24),
        Column("p99 ms", _latency, 7, right=True, rank=2, tone=heard_tone),
        Column("err %", lambda v: _share_of(v, "errors"), 7, right=True, rank=4, tone=heard_tone),
        Column(
            "domain %",
            lambda v: _share_of(v, "out_of_domain"),
            8,
            right=True,
            rank=3,
            tone=heard_tone,
        ),
        Column("anom %", lambda v: _share_of(v, "alarms"), 8, right=True, rank=6, tone=heard_tone),
        Column("age", heard, 9, right=True),
        Column("state", doing, 60, tone=doing_tone),
    )


def overview_page(view: Overview, cells: int, late_s: float = 0.0) -> list[Line]:
    """The whole site: its links, lines, what needs somebody, rollouts."""
    telemetry = view.telemetry
    wan = "WAN ok" if telemetry.upstream_ok else "WAN DOWN"
    synchronised = "clock ok" if view.clock.synchronised else "clock NOT SYNCHRONISED"
    ordered = sorted(view.rollouts, key=by_need)
    going = sum(r.state not in TERMINAL for r in ordered)
    shown = ordered[: going + ENDED_SHOWN_MAX]
    return [
        join(
            (
                (wan, Tone.PLAIN if telemetry.upstream_ok else Tone.P2),
                (f", {telemetry.waiting_records} waiting  ", Tone.PLAIN),
                (synchronised, Tone.PLAIN if view.clock.synchronised else Tone.P2),
                (f"  audit #{view.audit_size}", Tone.PLAIN),
            ),
            cells,
        ),
        BLANK,
        *table(line_columns(late_s), view.lines, cells, lambda v: Target("line", v.line)),
        BLANK,
        say("NEEDS YOU", cells, Tone.TITLE),
        *(needs_you(view, cells) or [say("  nothing", cells)]),
        BLANK,
        say("ROLLOUTS", cells, Tone.TITLE),
        *([rollout_line(r, cells) for r in shown] or [say("  none", cells)]),
    ]


def status_page(view: Overview, cells: int) -> list[Line]:
    """The overview as a report, with the alarms that a screen has in its banner."""
    head = say(f"site {view.site}  {clock(view.at)}", cells, Tone.TITLE)
    return [head, alarm_banner(view.alarms, cells), *overview_page(view, cells)]


def target_of(view: GatewayView) -> Target:
    """Where `enter` goes from a gateway."""
    return Target("gateway", view.place.serial)


def gateways_page(views: Sequence[GatewayView], cells: int) -> list[Line]:
    """One line a gateway."""
    return table(gateway_columns(lambda _: 0.0), views, cells, target_of)


def exceptions_page(views: Sequence[GatewayException], cells: int) -> list[Line]:
    """One line an exception, the oldest first."""
    columns = (
        Column[GatewayException]("gateway", lambda v: v.serial, 18),
        Column[GatewayException]("line", lambda v: v.line, 12, rank=2),
        Column[GatewayException]("asset", lambda v: v.asset, 16, rank=3),
        Column[GatewayException]("what", exception_words, 16, tone=lambda _: Tone.P2),
        Column[GatewayException]("for", lambda v: age(v.age_s), 9, right=True),
        Column[GatewayException]("why", lambda v: v.why, 200),
    )
    rows = table(columns, views, cells, lambda v: Target("gateway", v.serial))
    return rows if views else [say("no gateway stands apart", cells)]


def exception_words(view: GatewayException) -> str:
    """The kind in capitals, as people call it."""
    return view.kind.value.replace("_", " ").upper()


def gateway_page(view: GatewayView, cells: int, late_s: float = 0.0) -> list[Line]:
    """One gateway: its four references, what runs, and how it does."""
    return [
        *_place(view, cells, late_s),
        BLANK,
        *_references(view, cells),
        *_health(view, cells),
        *(
            line
            for each in view.exceptions
            for line in folded(
                f"{exception_words(each)} for {age(each.age_s)}  ", each.why, cells, Tone.P2
            )
        ),
        *(line for fault in view.faults for line in folded("FAULT    ", fault, cells, Tone.P2)),
        *(
            say(
                f"drift    {notice.kind} on {', '.join(notice.tags)} since {clock(notice.since)}",
                cells,
                Tone.P3,
            )
            for notice in view.drift
        ),
    ]


def _place(view: GatewayView, cells: int, late_s: float) -> list[Line]:
    place = view.place
    pair = f"  pair {place.redundancy_group}" if place.redundancy_group else ""
    where = f"  line {place.position.line}  cell {place.position.cell}  zone {place.zone}{pair}"
    differs = "" if view.running == view.effective else "  DIFFERS from what its record says"
    running = f"running  {named(view.running, view.names)}  {short(view.running)}"
    heard = f"  (heard {age(aged(view.age_s, late_s))} ago{_clock_off(view)})"
    return [
        say(f"{place.serial}  {place.position.asset}{where}", cells, Tone.TITLE),
        join(
            (("state    ", Tone.PLAIN), (doing(view), doing_tone(view)), (heard, Tone.PLAIN)),
            cells,
        ),
        join(((running, Tone.PLAIN), (differs, Tone.P1)), cells),
    ]


def _clock_off(view: GatewayView) -> str:
    """How far a gateway's clock is off, where that is more than a heartbeat takes."""
    ahead_s = view.clock_ahead_s
    if ahead_s is None or abs(ahead_s) < CLOCK_NEAR_S:
        return ""
    return f", its clock is {age(abs(ahead_s))} {'fast' if ahead_s > 0 else 'slow'}"


def _references(view: GatewayView, cells: int) -> list[Line]:
    references = view.references
    if references is None:
        return [say("references not reported yet", cells)]
    named_ones = (
        ("golden", references.golden),
        ("previous good", references.previous_good),
        ("committed", references.committed),
        ("candidate", references.candidate),
    )
    return [say("references", cells, Tone.TITLE)] + [
        line
        for label, digest in named_ones
        for line in whole(
            f"  {label:<14} {named(digest, view.names):<28} ", digest or UNKNOWN, cells
        )
    ]


def _health(view: GatewayView, cells: int) -> list[Line]:
    lines: list[Line] = []
    window = latest(view)
    if window is not None:
        latencies = [w.latency_p99_us for w in view.health if w.digest == window.digest]
        lines += [
            BLANK,
            *folded(
                f"window #{window.number}  ",
                f"{window.scored} scored, {window.no_verdict} without verdict, "
                f"{window.errors} errors, {window.alarms} not normal, "
                f"{window.out_of_domain} out of domain",
                cells,
                heard_tone(view),
            ),
            say(f"p99 {window.latency_p99_us / 1000:.2f} ms  {trend(latencies, 24)}", cells),
        ]
    if view.windows is not None:
        counts = view.windows
        lines += folded(
            "since first start  ",
            f"{counts.cut} cut, {counts.scored} scored, {counts.no_verdict} without verdict, "
            f"{counts.dropped} dropped, {counts.doubled} doubled",
            cells,
        )
    return lines
