"""A whole plant that a test may wreck: the real site on a disk, gateways with the real kernel.

`Whole` starts and ends the site, puts its database aside and an older one back, and knows what
truly is at the gateways, whatever the site believes.
"""

import asyncio
import atexit
import copy
import functools
import shutil
import sqlite3
import tempfile
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace
from sqlite_utils import Database

from edge_core.contracts.gateway import StatusReport, UpdateState
from edge_core.contracts.rollout import ChangeWindow, CohortRule
from edge_site_proxy.audit.log import root_of, size_of
from tests.unit.site_proxy.plant.clocks import HandClock
from tests.unit.site_proxy.plant.connections import pragma
from tests.unit.site_proxy.plant.kernel import KernelGateway
from tests.unit.site_proxy.plant.plant import INVENTORY, POLICY, V1, V2, Plant, plant

T = TypeVar("T")
SERIALS = [place.serial for place in INVENTORY.gateways]
PLACES = {place.serial: place for place in INVENTORY.gateways}
DAYTIME = [ChangeWindow(days=[1, 2, 3, 4, 5], start="06:00", end="14:00")]
SMALL = replace(
    POLICY,
    windows=DAYTIME,
    gate=replace(POLICY.gate, soak_max_s=120.0),
    stage_deadline_s=60.0,
    cohorts=[
        CohortRule(name="canary", share=0.0, least=1),
        CohortRule(name="all", share=1.0, least=1),
    ],
)
STAGES, BEATS_A_STAGE = 16, 4  # the last one is past the end of V2


class SiteDiedError(Exception):
    """The site's process ended in the middle of what it did."""


@dataclass
class Template:
    """A plant to begin from again and again."""

    folder: Path
    clock: HandClock
    gateways: dict[str, KernelGateway]


@dataclass
class Backup:
    """The site's database as it was once, and how far its log went."""

    folder: Path
    log_size: int


@dataclass
class Whole:
    """One plant under test.

    Attributes:
        here: the site as it runs now, and the gateways.
        clock: the site's; a gateway's monotonic clock runs by it.
        dies_in: transactions until the site dies, None for never.
        late: reports under way, with who made them.
        heard: reports that this run of the site has taken, by serial.
        witnessed: size and root of the log as the gateways have seen it.
    """

    loop: asyncio.AbstractEventLoop
    folder: Path
    clock: HandClock
    here: Plant = field(init=False)
    dies_in: int | None = None
    late: list[tuple[str, StatusReport]] = field(default_factory=list)
    backups: list[Backup] = field(default_factory=list)
    witnessed: dict[int, bytes] = field(default_factory=dict)
    opened: AbstractAsyncContextManager[Plant] | None = None

    @classmethod
    def begin(cls, stage: int = 0) -> "Whole":
        """A copy of the plant that runs V1 everywhere, *stage* steps into a good rollout of V2."""
        made = templates()[stage]
        folder = Path(tempfile.mkdtemp())
        shutil.copytree(made.folder, folder / "site")
        clock = copy.copy(made.clock)
        whole = cls(asyncio.new_event_loop(), folder, clock)
        gateways = copy.deepcopy(made.gateways, {id(made.clock): clock})
        whole.open(gateways)
        return whole

    def end(self) -> None:
        """Leave nothing behind."""
        self.shut()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder)

    def wait(self, job: Coroutine[Any, Any, T]) -> T:  # Any: what a coroutine sends is nobody's
        """Run *job* to its end."""
        return self.loop.run_until_complete(job)

    # The site.

    def stamp(self) -> datetime:
        """The store looks at the clock once in each transaction; there the site may die."""
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in < 0:
                raise SiteDiedError
        return self.clock.wall

    def open(self, gateways: dict[str, KernelGateway]) -> None:
        """Start the site; the gateways go on as they are."""
        self.dies_in = None
        self.opened = plant(self.folder / "site", policy=SMALL, clock=self.clock, stamp=self.stamp)
        self.here = self.wait(self.opened.__aenter__())
        self.here.gateways = dict(gateways)

    def shut(self) -> None:
        """End the site's process; its connections and what was on them go with it."""
        if self.opened is not None:
            self.wait(self.opened.__aexit__(None, None, None))
            self.opened = None
            self.late.clear()

    def restart(self) -> None:
        """Crash, and start from the disk."""
        gateways = self.gateways
        self.dies_in = None
        self.shut()
        self.open(gateways)

    def refuse(self, *, refuses: bool) -> None:
        """The site's disk takes nothing any more, or takes it again."""
        self.wait(pragma(self.here.site.store, f"query_only = {int(refuses)}"))

    def window(self, *, open_: bool) -> None:
        """Set the wall clock into a change window, or out of every one."""
        self.clock.wall = self.clock.wall.replace(hour=7 if open_ else 20, minute=0)
        while open_ and self.clock.wall.isoweekday() not in DAYTIME[0].days:
            self.clock.jump(86_400.0)

    def fair_weather(self) -> None:
        """Nothing is in anybody's way from here on."""
        self.dies_in = None
        self.refuse(refuses=False)
        self.clock.synchronised = True
        self.window(open_=True)
        for gateway in self.gateways.values():
            gateway.disk.cut_after = None
            gateway.answers, gateway.swapped = "now", None

    def back_up(self) -> None:
        """Put a copy of the database aside."""
        folder = self.folder / f"backup-{len(self.backups)}"
        folder.mkdir()
        size = self.wait(self.here.site.store.read(lambda db: _copied(db, folder)))
        self.backups.append(Backup(folder, size))

    def restore(self, backup: Backup) -> None:
        """Stop the site, put *backup* in the place of its database, and start it."""
        gateways = self.gateways
        self.shut()
        for name in ("site.db", "site.db-wal", "site.db-shm"):
            (self.folder / "site" / name).unlink(missing_ok=True)
        shutil.copy(backup.folder / "site.db", self.folder / "site" / "site.db")
        for gateway in gateways.values():
            gateway.answer = None  # its connection ended with the site
        self.witnessed = {
            size: root for size, root in self.witnessed.items() if size <= backup.log_size
        }
        self.open(gateways)

    # What truly is.

    @property
    def gateways(self) -> dict[str, KernelGateway]:
        """Every gateway, heard or not."""
        return self.here.gateways  # type: ignore[return-value]  # all of them are, since `begin`

    def flying(self) -> list[str]:
        """Who is changing, or may begin to at once."""
        return [each.serial for each in self.gateways.values() if _flies(each)]

    def opening(self) -> list[str]:
        """Who is being opened up by a rollout: not those on their way back."""
        return [
            each.serial
            for each in self.gateways.values()
            if _flies(each) and each.now.state is not UpdateState.ROLLING_BACK
        ]

    def witness(self) -> list[str]:
        """S17: what was seen of the log once is there still; the newest is seen now."""

        def look(db: Database) -> tuple[int, bytes, list[int]]:
            size = size_of(db)
            gone = [
                each
                for each, root in self.witnessed.items()
                if each > size or root_of(db, each) != root
            ]
            return size, root_of(db, size), gone

        size, root, gone = self.wait(self.here.site.store.read(look))
        self.witnessed[size] = root
        return [f"S17: the log of {each} entries is not in that of {size}" for each in gone]


def _flies(gateway: KernelGateway) -> bool:
    answer = gateway.answer
    usable = answer is not None and answer.reply.granted
    if usable and answer is not None:
        usable = gateway.own_s() - answer.asked_s < answer.reply.valid_s
    trying = {UpdateState.ACTIVATING, UpdateState.TRIAL, UpdateState.ROLLING_BACK}
    return usable or gateway.now.state in trying


@functools.cache
def templates() -> list[Template]:
    """V1 everywhere, and V2 on its way in `STAGES` steps; made once in this process."""
    loop = asyncio.new_event_loop()
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    try:
        made = loop.run_until_complete(_made(folder))
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    return made


async def _made(folder: Path) -> list[Template]:
    clock, found = HandClock(), list[Template]()
    site = folder / "site"
    site.mkdir()
    async with plant(site, policy=SMALL, clock=clock) as here:
        gateways = {serial: KernelGateway(serial=serial, clock=clock) for serial in SERIALS}
        here.gateways = dict(gateways)
        await here.bring(V1)
        await here.arrive(V2)
        for stage in range(STAGES):
            aside = folder / f"stage-{stage}"
            aside.mkdir()
            shutil.copy(site / "audit.key", aside)
            await here.site.store.read(partial(_copied, folder=aside))
            then = copy.copy(clock)
            found.append(Template(aside, then, copy.deepcopy(gateways, {id(clock): then})))
            if stage == 0:
                await here.approve(V2)
            for _ in range(BEATS_A_STAGE):
                await here.beat()
    return found


def _copied(db: Database, folder: Path) -> int:
    """A copy of the site's database in *folder*; how many entries its log has."""
    target = sqlite3.connect(folder / "site.db")
    db.conn.backup(target)
    target.close()
    return size_of(db)


__all__ = ["PLACES", "SERIALS", "SMALL", "STAGES", "SiteDiedError", "Whole"]
