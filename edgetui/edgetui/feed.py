"""Keeps what the console shows fresh: follows the live feed, looks again at what changed.

A change on the feed only says where to look; what is shown always comes from an answer. Between
changes the overview is asked for every few seconds, so silence is noticed: without an answer for
`silent_s` the site is STALE, whatever the connection claims.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from msgspec.structs import replace

from edge_core.contracts.api import Change, GatewayView, Overview, WhoAmI
from edge_core.contracts.audit import AuditEvent
from edge_core.contracts.errors import EdgeError, NotFoundError, UnreachableError
from edge_core.contracts.rollout import RolloutView
from edgetui.client import Operator, connect, part

ONE_BY_ONE_MAX: Final = 20  # changed gateways that are read one by one; the rest has to wait
AUDIT_SHOWN: Final = 200
SMALL_FLEET: Final = 500
GATEWAYS, AUDIT = "gateways", "audit"

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to ask, and how long silence may last; all in seconds."""

    poll_s: float = 5.0
    between_s: float = 1.0
    silent_s: float = 15.0
    answer_s: float = 10.0
    backoff_s: tuple[float, ...] = (0.5, 1.0, 2.0, 5.0)
    fleet_poll_s: float = 10.0
    big_fleet_poll_s: float = 45.0


LOW_PACE: Final = Pace(poll_s=10.0, between_s=3.0, silent_s=30.0, answer_s=20.0, fleet_poll_s=30.0)


@dataclass
class Seen:
    """What the site last said, and when (monotonic seconds); None where it never did."""

    who: WhoAmI | None = None
    overview: Overview | None = None
    overview_at: float = 0.0
    gateways: dict[str, GatewayView] = field(default_factory=dict)
    gateways_at: dict[str, float] = field(default_factory=dict)
    audit: list[AuditEvent] = field(default_factory=list)

    def rollout(self, name: str) -> RolloutView | None:
        """One rollout of the overview."""
        rollouts = self.overview.rollouts if self.overview else []
        return next((r for r in rollouts if r.id == name), None)


@dataclass
class Feed:
    """The live picture of one site.

    Attributes:
        seen: what is known.
        trouble: why nothing new comes, empty while it does.
        site: the operator API while connected, for whoever wants to change something.
        in_sight: serials on the screen; the list of all leaves out their health.
    """

    socket: Path
    monotonic: Callable[[], float]
    changed: Callable[[], None]
    pace: Pace = Pace()
    seen: Seen = field(default_factory=Seen)
    trouble: str = ""
    site: Operator | None = None
    in_sight: tuple[str, ...] = ()
    _wants: frozenset[str] = frozenset()
    _broken: EdgeError | None = None
    _dirty: set[str] = field(default_factory=set)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _fleet_at: float = float("-inf")
    _health_at: dict[str, float] = field(default_factory=dict)

    def age_s(self) -> float | None:
        """How long ago the site last answered."""
        if self.seen.overview is None:
            return None
        return self.monotonic() - self.seen.overview_at

    @property
    def stale(self) -> bool:
        """Whether what is shown can no longer be relied on."""
        age = self.age_s()
        return age is None or age > self.pace.silent_s

    def late_s(self, gateway: GatewayView) -> float:
        """How long ago *gateway* was read."""
        read_at = self.seen.gateways_at.get(gateway.place.serial)
        return 0.0 if read_at is None else self.monotonic() - read_at

    def want(self, *things: str) -> None:
        """What the open screen needs beside the overview: GATEWAYS, AUDIT."""
        if self._wants != frozenset(things):
            self._wants = frozenset(things)
            self.look_again()

    def see(self, *serials: str) -> None:
        """Which gateways are on the screen; those never read by themselves are read at once."""
        self.in_sight = serials
        if any(s in self.seen.gateways and s not in self._health_at for s in serials):
            self._woken.set()

    def look_again(self) -> None:
        """Ask now, as after an own change."""
        self._woken.set()

    async def run(self) -> None:
        """Follow the site until cancelled; a lost connection is tried again, later each time."""
        failures = 0
        while True:
            answered_before = self.seen.overview_at
            try:
                async with connect(self.socket) as site:
                    self.site = site
                    try:
                        await self._session(site)
                    finally:
                        self.site = None
            except* (EdgeError, TimeoutError) as group:
                self.trouble = _first_words(group)
            _heed_cancellation()
            self.changed()
            failures = 0 if self.seen.overview_at > answered_before else failures + 1
            waits = self.pace.backoff_s
            await asyncio.sleep(waits[min(failures, len(waits) - 1)])

    async def _session(self, site: Operator) -> None:
        self.seen.who = await self._answer(site.fetch("/v1/whoami", WhoAmI))
        await self._look(site)
        self._broken = None
        async with asyncio.TaskGroup() as group:
            following = group.create_task(self._follow(site))
            try:
                await self._keep_looking(site)
            finally:
                following.cancel()

    async def _follow(self, site: Operator) -> None:
        """Note changes; that the feed ended is for whoever keeps looking to raise.

        A child that fails would cancel the one that waits for it, and on CPython 3.11 nobody can
        tell that from being told to stop.
        """
        cursor = self.seen.overview.cursor if self.seen.overview else 0
        try:
            async for change in site.changes(cursor):
                self._note(change)
        except EdgeError as error:
            self._broken = error
            self._woken.set()

    def _note(self, change: Change | None) -> None:
        if change is None:
            self._fleet_at = float("-inf")
        elif change.id in self.seen.gateways:
            self._dirty.add(change.id)
        self._woken.set()

    async def _keep_looking(self, site: Operator) -> None:
        while True:
            await self._wait()
            if self._broken is not None:
                raise self._broken
            await self._look(site)
            await asyncio.sleep(self.pace.between_s)  # a burst of changes is one look

    async def _wait(self) -> None:
        """Until something changed, but never longer than a poll."""
        try:
            async with asyncio.timeout(self.pace.poll_s):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _look(self, site: Operator) -> None:
        self._woken.clear()
        self.seen.overview = await self._answer(site.fetch("/v1/overview", Overview))
        self.seen.overview_at = self.monotonic()
        self.trouble = ""
        if GATEWAYS in self._wants:
            await self._look_at_gateways(site)
        if AUDIT in self._wants:
            size = self.seen.overview.audit_size
            after = max(-1, size - AUDIT_SHOWN - 1)  # the first event is number 0
            self.seen.audit = await self._answer(
                site.fetch("/v1/audit", list[AuditEvent], after=after, limit=AUDIT_SHOWN)
            )
        self.changed()

    async def _look_at_gateways(self, site: Operator) -> None:
        small = len(self.seen.gateways) <= SMALL_FLEET
        every_s = self.pace.fleet_poll_s if small else self.pace.big_fleet_poll_s
        overdue = self.monotonic() - self._fleet_at >= every_s
        if overdue or (small and len(self._dirty) > ONE_BY_ONE_MAX):
            self._dirty.clear()
            views = await self._answer(site.fetch("/v1/gateways", list[GatewayView]))
            known = self.seen.gateways
            self.seen.gateways = {v.place.serial: _with_health(v, known) for v in views}
            self._fleet_at = self.monotonic()
            self.seen.gateways_at = dict.fromkeys(self.seen.gateways, self._fleet_at)
        self._dirty.update(s for s in self.in_sight if self._health_due(s, every_s))
        first = sorted(self._dirty, key=lambda s: (s not in self.in_sight, s))
        for serial in first[:ONE_BY_ONE_MAX]:
            self._dirty.discard(serial)
            await self._look_at_gateway(site, serial)
        if self._dirty:
            self._woken.set()

    def _health_due(self, serial: str, every_s: float) -> bool:
        """Whether a gateway on the screen has to be read by itself."""
        read_at = self._health_at.get(serial, float("-inf"))
        return serial in self.seen.gateways and self.monotonic() - read_at >= every_s

    async def _look_at_gateway(self, site: Operator, serial: str) -> None:
        try:
            view = await self._answer(site.fetch(f"/v1/gateways/{part(serial)}", GatewayView))
        except NotFoundError:
            self.seen.gateways.pop(serial, None)
            return
        self.seen.gateways[serial] = view
        self._health_at[serial] = self.seen.gateways_at[serial] = self.monotonic()

    async def _answer(self, asked: Awaitable[Answer]) -> Answer:
        try:
            async with asyncio.timeout(self.pace.answer_s):
                return await asked
        except TimeoutError:
            raise UnreachableError(
                f"site proxy at {self.socket}: no answer in {self.pace.answer_s:.0f} s"
            ) from None


def _heed_cancellation() -> None:
    """A group told to stop while it ends for another reason forgets it (CPython 3.11)."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _with_health(view: GatewayView, known: dict[str, GatewayView]) -> GatewayView:
    before = known.get(view.place.serial)
    if view.health or before is None:
        return view
    return replace(view, health=before.health)


def _first_words(group: BaseExceptionGroup[Exception]) -> str:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return str(first)
