"""Asks the gate every night about gateways that did not change, and keeps whom it blamed.

Whatever the gate assumes about this plant is so put to the test on the plant's own windows, and
more false alarms than it promises raise an alarm of their own.
"""

import asyncio
from datetime import date, timedelta

import msgspec
import structlog
from sqlite_utils import Database, Migrations

from edge_core.contracts.api import Priority
from edge_core.contracts.gates import GateCheck, GateChecks, GateLimits
from edge_core.contracts.gateway import HealthWindow
from edge_site_proxy.alarms.book import AlarmBook
from edge_site_proxy.rollout.gates.aa import Day, aa_case, cohort, eligible, realised, untrue
from edge_site_proxy.rollout.gates.evidence import EMPTY, ROLE_COMMITTED, Tally, add
from edge_site_proxy.rollout.gates.gate import judge
from edge_site_proxy.rollout.outlook import kind_of
from edge_site_proxy.rollout.planner import current_rollout
from edge_site_proxy.rollout.records import MOVING, AlarmCall
from edge_site_proxy.rollout.world import World
from edge_site_proxy.store import Store, StoreUnavailableError

MIGRATIONS = Migrations("gate_checks")
OBSERVABLE = frozenset({"gate_checks"})
RUNS = 10  # cohorts a model and night: a hundred checks, as many as alpha needs, in ten nights
KEPT_DAYS = 90
LOOK_S = 600.0
KEY = "site/gate-check"

log = structlog.get_logger(__name__)


@MIGRATIONS()
def first(db: Database) -> None:
    """Evidence: one row a check."""
    db.execute(
        "CREATE TABLE gate_checks (day TEXT, model TEXT, number INTEGER, doc BLOB NOT NULL,"
        " PRIMARY KEY (day, model, number)) WITHOUT ROWID"
    )


async def gate_checks(store: Store, limits: GateLimits) -> GateChecks:
    """Every check that is kept, in numbers."""
    return realised(await store.read(_load), limits.alpha_fail)


class Nightly:
    """One round of checks a day, over the day before."""

    def __init__(self, world: World, store: Store, alarms: AlarmBook) -> None:
        self._world = world
        self._store = store
        self._alarms = alarms

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except StoreUnavailableError as error:
                log.warning("gate_check.waited", reason=str(error))
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Check yesterday if that was not done, then say whether the gate can be believed."""
        yesterday = self._world.clocks.now().date() - timedelta(days=1)
        done = {each.model for each in await self._store.read(_load) if _is(each, yesterday)}
        for model in sorted({place.model for place in self._world.plant.inventory.gateways}):
            if model not in done:
                await self._check(model, yesterday)
        await self._judge_the_gate()

    async def _check(self, model: str, day: date) -> None:
        """A model that is being rolled out did change; it gets its turn on another night."""
        current = current_rollout(self._world, model)
        rollouts = self._world.rollouts.values()
        moving = any(
            each.state in MOVING and each.plan.release.model == model for each in rollouts
        )
        if current is None or moving:
            return
        seen = self._day(model, current.digest, day)
        serials = eligible(seen)
        chosen = [cohort(model, day, number, serials) for number in range(RUNS)]
        if not any(chosen):
            return
        read = sorted({serial for members in chosen for serial in members})
        tallies = await self._store.read(lambda db: _folded(db, read, current.digest, seen))

        def judged() -> list[GateCheck]:
            return [
                _judged(model, current.digest, seen, number, {s: tallies[s] for s in members})
                for number, members in enumerate(chosen)
            ]

        checks = await asyncio.to_thread(judged)
        before = (day - timedelta(days=KEPT_DAYS)).isoformat()

        def mutate(db: Database) -> None:
            for check in checks:
                db.execute(
                    "INSERT OR IGNORE INTO gate_checks (day, model, number, doc)"
                    " VALUES (?, ?, ?, ?)",
                    [check.day, check.model, check.number, msgspec.json.encode(check)],
                )
            db.execute("DELETE FROM gate_checks WHERE day < ?", [before])

        await self._store.observe(mutate)
        log.info("gate.checked", model=model, day=day.isoformat(), checks=len(checks))

    def _day(self, model: str, digest: str, day: date) -> Day:
        world = self._world
        serials = [
            place.serial
            for place in world.plant.inventory.gateways
            if place.model == model
            and (sighting := world.sightings.get(place.serial)) is not None
            and sighting.report.effective == digest
        ]
        return Day(
            day=day,
            limits=world.settings.policy.gate,
            tallies={
                serial: world.tallies.get((serial, digest, ROLE_COMMITTED), EMPTY)
                for serial in serials
            },
            kinds={serial: kind_of(world, serial) for serial in serials},
            window_s=world.settings.health_window_s,
        )

    async def _judge_the_gate(self) -> None:
        checks = await gate_checks(self._store, self._world.settings.policy.gate)
        if not untrue(checks):
            await self._alarms.clear_alarm(KEY)
            return
        call = AlarmCall(
            key=KEY,
            priority=Priority.P3,
            what=f"the gate blamed {checks.failed} of {checks.runs} cohorts in which nothing "
            f"changed since {checks.since}; it promises at most {checks.alpha:.1%}",
            consequence="a good release may be held; a failed gate means less than it says",
            runbook="gate-check",
        )
        await self._alarms.raise_alarm(call)


def _is(check: GateCheck, day: date) -> bool:
    return check.day == day.isoformat()


def _judged(
    model: str, digest: str, seen: Day, number: int, members: dict[str, Tally]
) -> GateCheck:
    others = [serial for serial in eligible(seen) if serial not in members]
    report = judge(aa_case(seen, members, others))
    return GateCheck(
        day=seen.day.isoformat(),
        number=number,
        model=model,
        digest=digest,
        members=sorted(members),
        verdict=report.verdict,
        by=report.by,
        windows=report.windows,
    )


def _load(db: Database) -> list[GateCheck]:
    rows = db.execute("SELECT doc FROM gate_checks").fetchall()
    return [msgspec.json.decode(row[0], type=GateCheck) for row in rows]


def _folded(db: Database, serials: list[str], digest: str, seen: Day) -> dict[str, Tally]:
    """What each of *serials* did on that day."""
    found = {}
    for serial in serials:
        rows = db.execute(
            "SELECT doc FROM health WHERE serial = ? AND digest = ? AND role = ?"
            " AND ended >= ? AND ended < ?",
            [
                serial,
                digest,
                ROLE_COMMITTED,
                seen.start.isoformat(),
                (seen.end + timedelta(days=1)).isoformat(),
            ],
        ).fetchall()
        windows = (msgspec.json.decode(row[0], type=HealthWindow) for row in rows)
        that_day = [each for each in windows if seen.start <= each.started < seen.end]
        found[serial] = add(EMPTY, that_day, seen.limits)
    return found
