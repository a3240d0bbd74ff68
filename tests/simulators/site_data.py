"""Data of a simulated site: lines, gateways, rollouts in each state, alarms, strange windows.

Everything is drawn from a seed, and some names are hostile: escapes, markup, bidi, wide letters.
"""

import hashlib
import math
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from edge_core.contracts.alarms import AlarmSummary
from edge_core.contracts.api import AlarmState, AlarmView, GatewayView, Priority
from edge_core.contracts.artefact import Digest, ReleaseRef
from edge_core.contracts.gates import GateCheck, GateChecks, GateReport, Measurement, Verdict
from edge_core.contracts.gateway import (
    DriftNotice,
    HealthWindow,
    References,
    UpdateReport,
    UpdateState,
    WindowCounts,
)
from edge_core.contracts.plant import ClockQuality, GatewayPlace, Position
from edge_core.contracts.review import Channel, ItemState, ReviewItem, Routing, SuspectWindow
from edge_core.contracts.rollout import (
    TERMINAL,
    Approval,
    Cohort,
    Hold,
    Member,
    RolloutState,
    RolloutView,
)

AT = datetime(2026, 11, 22, 14, 32, 7, tzinfo=UTC)
LINES = ("Line 1", "Line 2", "Paint")
HOSTILE = (
    "pump \x1b[2J\x1b]0;owned\x07 7",
    "[bold red]fan[/bold red] [/nope]",
    "fan \u202eexe.slaf\u202c 8",
    "ポンプ 九号機",
    "pump\r\nOK normal",
)
CLASSES = ["normal", "cavitation", "imbalance", "valve_sticking", "leak"]
CLOCK = ClockQuality(synchronised=True, error_max_us=1500)


def digest(text: str) -> Digest:
    """A digest that is always the same for *text*."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def release(version: str, number: int) -> ReleaseRef:
    """A release of the one model of this site."""
    return ReleaseRef(
        model="pump-condition", version=version, release=number, digest=digest(version)
    )


V1, V2, V3 = release("1.4.2", 14), release("1.5.0", 15), release("1.6.0-rc1", 16)
NAMES = {r.digest: f"{r.model} {r.version}" for r in (V1, V2, V3)}


def etagged(view: RolloutView | GatewayView) -> str:
    """A short name of what a view says, but for how old that is."""
    return hashlib.sha256(repr(view).encode()).hexdigest()[:16]


def gateways(count: int, seed: int) -> list[GatewayView]:
    """*count* gateways over three lines; every ninth is stale, every eleventh in safe mode."""
    dice = random.Random(seed)
    return [_gateway(n, dice, health=12 if count < 100 else 2) for n in range(count)]


def _gateway(n: int, dice: random.Random, health: int) -> GatewayView:
    line = LINES[n % 3]
    asset = HOSTILE[n] if n < len(HOSTILE) else f"pump {n:04}"
    serial = f"gw-{n:04}"
    stale, new = n % 9 == 8, n % 4 == 1
    running = V2 if new else V1
    windows = [_health(running.digest, k, dice) for k in range(health)]
    return GatewayView(
        place=GatewayPlace(
            serial=serial,
            position=Position(
                site="Plant 07", area="Press shop", line=line, cell=f"cell {n % 5}", asset=asset
            ),
            zone="process",
            model="pump-condition",
            hardware=f"rev-{'ABC'[n % 3]}",
            redundancy_group="pair-1" if n in {3, 4} else None,
        ),
        etag=f"g{n}",
        enrolled=n % 13 != 12,
        age_s=2460.0 if stale else 2.0 + n % 7,
        stale=stale,
        references=References(
            golden=V1.digest,
            previous_good=V1.digest if new else None,
            committed=V1.digest,
            candidate=V2.digest if new else None,
        ),
        effective=running.digest,
        running=running.digest,
        names=NAMES,
        update=UpdateReport(
            digest=V2.digest, attempt=1, state=UpdateState.TRIAL, reason="confirm due in 21 min"
        )
        if new
        else None,
        health=windows,
        drift=[DriftNotice(digest=V1.digest, kind="covariate", tags=["vibration"], since=AT)]
        if n % 10 == 2
        else [],
        windows=WindowCounts(cut=9000 + n, scored=8990, no_verdict=10 + n),
        clock=CLOCK,
        safe_mode=n % 11 == 10,
        safe_mode_wanted=n % 11 == 10,
        rollback_wanted=None,
        defer="",
        faults=["disk 91 % full"] if n % 17 == 5 else [],
        software="0.1.0",
    )


def _health(of: Digest, number: int, dice: random.Random) -> HealthWindow:
    start = AT - timedelta(minutes=5 * (12 - number))
    return HealthWindow(
        epoch=1,
        number=number,
        digest=of,
        role="committed",
        started=start,
        ended=start + timedelta(minutes=5),
        scored=280 + dice.randrange(20),
        errors=dice.randrange(2),
        alarms=dice.randrange(12),
        out_of_domain=dice.randrange(6),
        shadow_pairs=100,
        shadow_disagreed=dice.randrange(4),
        latency_p50_us=9_000,
        latency_p99_us=24_000 + dice.randrange(20_000),
    )


def rollouts(serials: list[str]) -> list[RolloutView]:
    """One rollout in each state; the one that waits for approval moves *Line 2*."""
    return [_rollout(n, state, serials) for n, state in enumerate(RolloutState)]


def _rollout(n: int, state: RolloutState, serials: list[str]) -> RolloutView:
    cohorts = [
        Cohort(name="canary", members=serials[:1]),
        Cohort(name="early", members=serials[1:3]),
        Cohort(name="rest", members=serials[3:12]),
    ]
    gated = state is RolloutState.GATED
    begun = state not in {
        RolloutState.VERIFYING,
        RolloutState.PLANNED,
        RolloutState.AWAITING_APPROVAL,
    }
    members = [
        Member(
            serial=serial,
            cohort=cohort.name,
            state=UpdateState.COMMITTED if begun and cohort.name == "canary" else UpdateState.IDLE,
            age_s=3.0,
        )
        for cohort in cohorts
        for serial in cohort.members
    ]
    return RolloutView(
        id=f"ro-{n:02}-{state.value.replace('_', '-')}",
        etag="",
        state=state,
        holds=[Hold.GATE_FAIL] if gated else [],
        release=V3 if state is RolloutState.AWAITING_APPROVAL else V2,
        rollback_to=V1,
        author="a.ruiz",
        cohort=None if state in TERMINAL else "canary",
        cohorts=cohorts,
        members=members,
        gates=[_gates(failed=gated)] if begun else [],
        approvals=[
            Approval(
                who="m.keller",
                at=AT,
                ticket="CHG-20817",
                reason="soak clean",
                plan_digest=digest(f"plan {n}"),
            )
        ]
        if begun
        else [],
        approvals_needed=1,
        ticket_needed=True,
        lines=["Line 2"],
        why="gate latency_p99 is 43 ms, limit 40 ms, in 3 of 3 windows" if gated else "",
        created=AT - timedelta(hours=3),
        changed=AT - timedelta(minutes=21),
        plan_digest=digest(f"plan {n}"),
    )


def _gates(*, failed: bool) -> GateReport:
    rows = [
        ("latency_p99", Verdict.FAIL if failed else Verdict.PASS, 43_000.0, 40_000.0, "us"),
        ("error_share", Verdict.PASS, 0.002, 0.01, "1"),
        ("shadow_disagreement", Verdict.PASS, 0.019, 0.03, "1"),
        ("overrides", Verdict.INCONCLUSIVE, None, 0.02, "1"),
    ]
    return GateReport(
        cohort="canary",
        verdict=Verdict.FAIL if failed else Verdict.INCONCLUSIVE,
        by=["latency_p99"] if failed else ["overrides"],
        measurements=[
            Measurement(
                gate=gate,
                verdict=verdict,
                value=value if failed or gate != "latency_p99" else 31_000.0,
                limit=limit,
                unit=unit,
                n=142,
                explanation="11 of 12 windows are missing" if value is None else "",
            )
            for gate, verdict, value, limit, unit in rows
        ],
        exposure_s=1260.0,
        windows=142,
        needs="7 more gateways to report",
    )


def gate_checks() -> GateChecks:
    """Two nights of ten cohorts, one of which was blamed."""
    newest = [
        GateCheck(
            day=day,
            number=number,
            model="pump-condition",
            digest=digest("release 1"),
            members=[f"gw-{at:04}" for at in range(number, number + 3)],
            verdict=Verdict.FAIL if (day, number) == ("2026-11-21", 4) else Verdict.INCONCLUSIVE,
            by=["errors"],
            windows=864,
        )
        for day in ("2026-11-22", "2026-11-21")
        for number in range(10)
    ]
    return GateChecks(runs=20, failed=1, share=0.05, alpha=0.01, since="2026-11-21", newest=newest)


def alarms() -> list[AlarmView]:
    """An alarm in each priority and state."""
    rows = [
        ("p1", "unack", "gw-0003", "watchdog reboot in trial", "goes back by itself at the 2nd"),
        ("p2", "acked", "rollout", "gate p99 43 ms > 40 ms, held", "no more permits"),
        ("p2", "unack", "Line 1", "drift on vibration [b]0.31[/b]", "the model may be blind"),
        ("p3", "returned_unack", "switch 7", "37 gateways silent", "decisions are old"),
        ("p4", "shelved", "gw-0007", "disk 91 %\x1b[31m", "buffer is short"),
        ("p3", "cleared", "wan", "upstream away", "telemetry waits on disk"),
    ]
    return [
        AlarmView(
            id=n,
            priority=Priority(priority),
            state=AlarmState(state),
            source=source,
            what=what,
            consequence=consequence,
            runbook=f"RB-{n:02}",
            raised=AT - timedelta(minutes=7 * n),
            changed=AT - timedelta(minutes=5 * n),
            paged=priority == "p1",
        )
        for n, (priority, state, source, what, consequence) in enumerate(rows, 1)
    ]


def alarm_summary(alarms: Iterable[AlarmView]) -> AlarmSummary:
    """The list in numbers, some of them made up."""
    states = [alarm.state for alarm in alarms]
    return AlarmSummary(
        at=AT,
        flood=False,
        recent=2,
        flood_above=10,
        peak=4,
        day=11,
        standing={"p1": 1, "p2": 2, "p3": 1},
        stale=["line/L1/silent"],
        chattering=["gateway/gw-0007/faults"],
        shelved=states.count(AlarmState.SHELVED),
        suppressed=states.count(AlarmState.SUPPRESSED),
        out_of_service=states.count(AlarmState.OUT_OF_SERVICE),
    )


def items(count: int, seed: int) -> list[ReviewItem]:
    """*count* strange windows, each of a kind that a person can tell apart."""
    dice = random.Random(seed)
    return [_item(n, dice) for n in range(1, count + 1)]


def _item(n: int, dice: random.Random) -> ReviewItem:
    kind = CLASSES[n % len(CLASSES)]
    started = AT - timedelta(minutes=3 * n)
    scores = [0.81 if name == kind else 0.0475 for name in CLASSES]
    return ReviewItem(
        item=n,
        state=ItemState.OPEN,
        line=LINES[n % 3],
        asset=HOSTILE[n % len(HOSTILE)] if n % 6 == 0 else f"pump {n:04}",
        window=SuspectWindow(
            id=f"gw-{n % 30:04}:1:{n}",
            serial=f"gw-{n % 30:04}",
            digest=V1.digest,
            started=started,
            ended=started + timedelta(seconds=256),
            period_s=1.0,
            channels=_channels(kind, dice),
            classes=CLASSES,
            scores=scores,
            prediction=kind,
            shadow_prediction="normal" if n % 2 else None,
            routing=Routing.UNCERTAIN,
            why="score 0.81 is under 0.90",
            inclusion_probability=0.05,
            regime="recipe 7731",
        ),
        received=started + timedelta(minutes=5),
    )


def _channels(kind: str, dice: random.Random) -> list[Channel]:
    spikes = {dice.randrange(256) for _ in range(3)} if kind != "normal" else set()
    vibration: list[float | None] = [
        math.sin(k / 3) + dice.gauss(0, 0.1) + (8.0 if k in spikes else 0.0) for k in range(256)
    ]
    for gap in range(100, 108):
        vibration[gap] = None
    slow = [61.0 + 0.01 * k + dice.gauss(0, 0.05) for k in range(256)]
    current = [12.0 + math.sin(k / 20) + dice.gauss(0, 0.05) for k in range(256)]
    return [
        Channel(role="vibration", unit="mm/s", values=vibration),
        Channel(role="motor_current", unit="A", values=list(current)),
        Channel(role="flow", unit="l/min", values=[120 - v for v in current]),
        Channel(role="bearing_temperature", unit="degC", values=list(slow)),
    ]
