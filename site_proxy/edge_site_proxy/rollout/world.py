"""The state of the site in memory: loaded once, replaced after each transaction that kept it.

One lock guards every decision that changes state. Evidence (sightings, tallies) is merged without
it, since a merge commutes.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace
from sqlite_utils import Database

from edge_core.contracts.gates import GateLimits, GateReport
from edge_core.contracts.gateway import Desired
from edge_core.contracts.plant import ClockQuality, GatewayPlace, Inventory
from edge_core.contracts.rollout import Plan, Policy
from edge_site_proxy.fleet.errors import UnknownGatewayError
from edge_site_proxy.fleet.places import Retired, epitaph, standing_now
from edge_site_proxy.fleet.sightings import Sighting, merge
from edge_site_proxy.rollout import tables
from edge_site_proxy.rollout.budget import Downloads, Ledger, Token
from edge_site_proxy.rollout.cohorts import safety_zones
from edge_site_proxy.rollout.gates.evidence import History, Tally
from edge_site_proxy.rollout.marks import UNMARKED, Marks
from edge_site_proxy.rollout.records import MOVING, Arrived, Grant, InForce, Rollout
from edge_site_proxy.rollout.tables import TallyKey, Wish
from edge_site_proxy.rollout.timezones import UNKNOWN
from edge_site_proxy.rollout.topology import out_of_service


class SiteSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of the site's configuration that this side needs; embed it or build it."""

    policy: Policy
    health_window_s: float = 300.0
    review_budget: int = 20
    review_open_max: int = 2000
    review_expire_s: float = 14 * 86_400.0
    quiet_s: float = 30.0  # when a gateway comes back in quiet times
    busy_s: float = 2.0  # and while something is under way
    runbooks: str = "docs/operate/runbooks"
    downloads: Downloads = Downloads()
    log_origin: str = "edge-site"  # first line of every checkpoint (C2SP tlog-checkpoint)


@dataclass(frozen=True, slots=True)
class Clocks:
    """The three clocks: what time it is, how long it took, and whether the first is right."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    quality: Callable[[], ClockQuality]


@dataclass(frozen=True, slots=True)
class Plant:
    """The inventory, indexed by what the guards ask for."""

    inventory: Inventory
    places: dict[str, GatewayPlace]
    lines: dict[str, list[str]]
    groups: dict[str, list[str]]
    safety: frozenset[str]
    maintenance: dict[str, str] = field(default_factory=dict)
    retired: Mapping[str, Retired] = field(default_factory=dict)

    @classmethod
    def of(cls, inventory: Inventory, retired: Mapping[str, Retired] | None = None) -> "Plant":
        """Index *inventory* as it is now that *retired* are gone."""
        retired = {} if retired is None else retired
        inventory = standing_now(inventory, retired)
        lines: dict[str, list[str]] = defaultdict(list)
        groups: dict[str, list[str]] = defaultdict(list)
        for place in inventory.gateways:
            lines[place.position.line].append(place.serial)
            if place.redundancy_group is not None:
                groups[place.redundancy_group].append(place.serial)
        return cls(
            inventory=inventory,
            places={place.serial: place for place in inventory.gateways},
            lines=dict(lines),
            groups=dict(groups),
            safety=safety_zones(inventory),
            maintenance=out_of_service(inventory),
            retired=retired,
        )

    def place(self, serial: str) -> GatewayPlace:
        """Where *serial* stands.

        Raises:
            UnknownGatewayError: it is not in the inventory.
        """
        place = self.places.get(serial)
        if place is None and serial in self.retired:
            raise UnknownGatewayError(
                f"gateway {serial}: expected one that stands in the plant, found one that was "
                f"{epitaph(self.retired[serial])}"
            )
        if place is None:
            raise UnknownGatewayError(
                f"gateway {serial[:63]}: expected a serial of the inventory, found none such"
            )
        return place

    def line_of(self, serial: str) -> str:
        """The line where *serial* stands, "" if it is not in the inventory."""
        place = self.places.get(serial)
        return "" if place is None else place.position.line

    def neighbours(self, place: GatewayPlace) -> list[str]:
        """Every other gateway of its line and of its redundancy group."""
        group = self.groups.get(place.redundancy_group or "", [])
        both = dict.fromkeys([*self.lines[place.position.line], *group])
        return [serial for serial in both if serial != place.serial]


@dataclass(slots=True)
class Phase:
    """How long one state of one rollout has stood."""

    name: str
    started: float
    carried_s: float


@dataclass(slots=True)
class World:
    """Everything that is decided on.

    Monotonic seconds in `heard`, `granted`, `asked` and `phases`; in `offsets` the seconds by
    which a gateway's clock was ahead of ours when it last reported. `tzdata` is the version of
    the time zones that change windows are computed by.
    """

    plant: Plant
    settings: SiteSettings
    clocks: Clocks
    started: float
    epoch: int
    releases: dict[str, Arrived]
    rollouts: dict[str, Rollout]
    grants: dict[str, Grant]
    wishes: dict[str, Wish]
    desired: dict[str, Desired]
    baselines: dict[tuple[str, int], dict[str, History]]
    sightings: dict[str, Sighting]
    heard_at: dict[str, datetime]
    tallies: dict[TallyKey, Tally]
    timers: dict[str, float]
    heard: dict[str, float] = field(default_factory=dict)
    granted: dict[str, float] = field(default_factory=dict)
    phases: dict[str, Phase] = field(default_factory=dict)
    gates: dict[str, dict[int, GateReport]] = field(default_factory=dict)
    cohorts: dict[str, tuple[Plan, dict[str, int]]] = field(default_factory=dict)
    suspects: dict[str, frozenset[str]] = field(default_factory=dict)  # releases by serial
    unsaved: set[str] = field(default_factory=set)  # believed, and not on disk yet
    tokens: dict[str, Token] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    ledger_at: float = 0.0  # when the ledger's clock was read
    pulling: dict[str, float] = field(default_factory=dict)  # since when
    pull_asked: dict[str, float] = field(default_factory=dict)  # when last
    pull_left: dict[str, int] = field(default_factory=dict)  # bytes of the token not sent yet
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    deferred: dict[str, str] = field(default_factory=dict)  # why a gateway was last told to wait
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    tzdata: str = UNKNOWN
    marks: dict[str, Marks] = field(default_factory=dict)
    asked: dict[str, float] = field(default_factory=dict)
    offsets: dict[str, float] = field(default_factory=dict)
    trouble: Callable[[], str | None] = lambda: None  # why the audit log cannot be written
    signed_plans: dict[str, InForce] = field(default_factory=dict)  # by model

    @classmethod
    def load(cls, db: Database, plant: Plant, settings: SiteSettings, clocks: Clocks) -> "World":
        """Read everything back; a restart is no special case."""
        sightings = tables.load_sightings(db)
        started = clocks.monotonic()
        grants = tables.load_grants(db)
        world = cls(
            plant=Plant.of(plant.inventory, tables.load_retired(db)),
            settings=settings,
            clocks=clocks,
            started=started,
            epoch=tables.load_number(db, "epoch"),
            releases=tables.load_releases(db),
            rollouts=tables.load_rollouts(db),
            grants=grants,
            wishes=tables.load_wishes(db),
            desired=tables.load_desired(db),
            baselines=tables.load_baselines(db),
            sightings={serial: each for serial, (_, each) in sightings.items()},
            heard_at={serial: at for serial, (at, _) in sightings.items()},
            tallies=tables.load_tallies(db),
            timers=tables.load_timers(db),
            # A permit of an earlier run counts as given just now: never too short.
            granted=dict.fromkeys(grants, started),
            tokens=(tokens := tables.load_tokens(db)),
            ledger=tables.load_ledger(db),
            ledger_at=started,
            pulling=dict.fromkeys(tokens, started),
            pull_asked=dict.fromkeys(tokens, started),
            marks=tables.load_marks(db),
            signed_plans=tables.load_signed_plans(db),
        )
        for serial, (_, sighting) in sightings.items():
            world._suspect(serial, sighting)
        return world

    def believe(self, serial: str, sighting: Sighting) -> None:
        """Merge *sighting* into what is believed of *serial*."""
        merged = merge(self.sightings.get(serial), sighting)
        self.sightings[serial] = merged
        self._suspect(serial, merged)

    def _suspect(self, serial: str, sighting: Sighting) -> None:
        suspected = sighting.suspected
        if suspected:
            self.suspects[serial] = suspected
        else:
            self.suspects.pop(serial, None)

    def age_s(self, serial: str) -> float | None:
        """How long ago *serial* was heard; after a restart at least since then, None if never."""
        if serial in self.heard:
            return self.clocks.monotonic() - self.heard[serial]
        if serial not in self.heard_at:
            return None
        wall = (self.clocks.now() - self.heard_at[serial]).total_seconds()
        return max(wall, self.clocks.monotonic() - self.started)

    def reachable(self, serial: str) -> bool:
        """Whether *serial* is heard regularly; just after a restart it gets the time to speak."""
        if serial not in self.sightings:
            return False
        heard = self.heard.get(serial, self.started)
        return self.clocks.monotonic() - heard < self.settings.policy.silent_after_s

    def ledger_now(self) -> Ledger:
        """The bytes given out for downloads, with the ledger's clock at this moment."""
        passed_s = self.clocks.monotonic() - self.ledger_at
        return replace(self.ledger, clock_s=self.ledger.clock_s + passed_s)

    def keep_ledger(self, ledger: Ledger) -> None:
        """Replace the ledger; its clock is at this moment."""
        self.ledger, self.ledger_at = ledger, self.clocks.monotonic()

    def phase_s(self, rollout: Rollout) -> float:
        """How long the present state of *rollout* has stood; goes on over restarts."""
        name = f"{rollout.id}/{rollout.state.value}/{rollout.header.cohort}"
        phase = self.phases.get(rollout.id)
        if phase is None or phase.name != name:
            carried = self.timers.get(name, 0.0)
            phase = Phase(name, self.clocks.monotonic(), carried)
            self.phases[rollout.id] = phase
        return phase.carried_s + self.clocks.monotonic() - phase.started

    def cohort_of(self, rollout: Rollout, serial: str) -> int | None:
        """The number of the cohort that *serial* moves with, None if it takes no part."""
        known = self.cohorts.get(rollout.id)
        if known is None or known[0] is not rollout.plan:
            index = {
                member: number
                for number, part in enumerate(rollout.plan.cohorts)
                for member in part.members
            }
            known = (rollout.plan, index)
            self.cohorts[rollout.id] = known
        return known[1].get(serial)

    def limits(self, digest: str) -> GateLimits:
        """What makes a window of *digest* bad: as approved, else as the site is configured.

        While a rollout moves, the release that it replaces is measured by the same limits.
        """
        for rollout in self.rollouts.values():
            back = rollout.plan.rollback_to
            compared = rollout.state in MOVING and back is not None and back.digest == digest
            if compared or (rollout.open and rollout.digest == digest):
                return rollout.plan.policy.gate
        return self.settings.policy.gate

    def noted(self, serial: str) -> Marks:
        """What is noted of *serial* beside what it reports."""
        return self.marks.get(serial, UNMARKED)

    def attempts_of(self, serial: str) -> dict[str, int]:
        """The newest attempt at each release that was ever ordered of *serial*."""
        return {
            each.digest: each.header.attempts.get(serial, 1) for each in self.rollouts.values()
        }

    def wish(self, serial: str) -> Wish:
        """What people want of *serial*."""
        return self.wishes.get(serial, _NO_WISH)


_NO_WISH = Wish()
