"""What goes to the site: windows within a budget, batches and summaries that survive."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path

import anyio
import msgspec
import pytest

from edge_core.contracts.gateway import HealthWindow
from edge_core.contracts.review import Routing, SuspectWindow
from edge_core.contracts.telemetry import BatchId, Signal
from edge_core.drift.wcusum import DriftScore, DriftStatus
from edge_core.journal import (
    KIB,
    MIB,
    DiskFullError,
    Host,
    Journal,
    JournalConfig,
    JournalFullError,
)
from edge_runtime.config import ReviewConfig, TagConfig
from edge_runtime.errors import SiteRefusedError, SiteUnreachableError
from edge_runtime.ledger import Ledger
from edge_runtime.outbox import Outbox, open_outbox
from edge_runtime.review import Pick, ReviewRouter, suspect
from edge_runtime.route import Route
from edge_runtime.scoring import Scored
from edge_runtime.spool import SENT_MAX, HealthSpool, open_spool
from edge_runtime.wake import Wake
from edge_runtime.watchers import WAITING_MAX, Review
from edge_runtime.windows import WindowStream
from tests.simulators.files import SimulatedFiles
from tests.simulators.models import SimulatedWorker, loaded
from tests.simulators.releases import ROLES
from tests.unit.runtime.test_scoring import cut
from tests.unit.runtime.test_scoring import scored as scored_window

pytestmark = pytest.mark.anyio

MODEL, _ = loaded("1")
NARROW, _ = loaded("1", SimulatedWorker("x", scores=(0.52, 0.48)))
OTHER, _ = loaded("2", SimulatedWorker("x", scores=(0.1, 0.9)))
ALARM = DriftScore(1, DriftStatus.ALARM, "", kind="level", tags=("flow",))
RULES_ONLY = ReviewConfig(shift_s=1000.0, uniform_share=0.0, rest_s=10.0)


async def scored(route: Route, number: int = 1) -> Scored:
    """One window with all opinions."""
    return await scored_window(route, cut(number))


RULES: dict[str, tuple[Route, DriftScore | None, Routing | None]] = {
    "nothing strange": (Route(MODEL), None, None),
    "a narrow margin": (Route(NARROW), None, Routing.UNCERTAIN),
    "the models disagree": (Route(MODEL, shadow=OTHER), None, Routing.SHADOW),
    "the inputs drift": (Route(MODEL), ALARM, Routing.DRIFT),
}


@pytest.mark.parametrize("name", RULES)
async def test_rules(name: str) -> None:
    """Each row is a rule and the window that it sends to people."""
    route, drift, routing = RULES[name]
    router = ReviewRouter(RULES_ONLY, "gw-1", 1)
    pick = router.consider(await scored(route), drift, budget=5, now_s=0.0)
    assert (None if pick is None else pick.routing) == routing
    assert pick is None or pick.inclusion_probability is None


async def test_rest_and_budget() -> None:
    """One rule rests between two windows, and a shift has no more than its budget."""
    router = ReviewRouter(RULES_ONLY, "gw-1", 1)
    window = await scored(Route(NARROW))
    picked = [
        second
        for second in range(0, 100, 5)
        if router.consider(window, None, budget=3, now_s=float(second)) is not None
    ]
    assert picked == [0, 10, 20]
    assert router.consider(window, None, budget=3, now_s=1001.0) is not None


async def test_chance_is_written_down() -> None:
    """The uniform picks come as often as their recorded chance says."""
    config = ReviewConfig(shift_s=1e9, uniform_share=1.0, rest_s=1e9)
    a_shift = config.shift_s / 0.2
    router = ReviewRouter(config, "gw-1", 7)
    budget = int(a_shift * 0.25)
    picks: list[Pick] = []
    for number in range(2000):
        pick = router.consider(await scored(Route(MODEL), number), None, budget=budget, now_s=0.0)
        picks += [] if pick is None else [pick]
    assert {pick.routing for pick in picks} == {Routing.RANDOM}
    chance = picks[0].inclusion_probability
    assert chance == pytest.approx(0.25, abs=1e-6)
    assert len(picks) == pytest.approx(500, abs=80)


async def test_suspect_window() -> None:
    """A suspect window carries its rows, both predictions and an id that is never reused."""
    window = await scored(Route(MODEL, shadow=OTHER), 12)
    pick = Pick(Routing.SHADOW, "1 says normal, 2 says leak")
    found = suspect(window, pick, ROLES, dict.fromkeys(ROLES, "bar"))
    assert found is not None
    assert found.id == "gw-1:1:12"
    assert [channel.role for channel in found.channels] == list(ROLES)
    assert (found.prediction, found.shadow_prediction) == ("normal", "leak")
    assert found.shadow_digest == OTHER.digest


def health(number: int) -> HealthWindow:
    """One health window."""
    at = datetime(2026, 11, 22, tzinfo=UTC)
    return HealthWindow(
        epoch=1,
        number=number,
        digest=MODEL.digest,
        role="committed",
        started=at,
        ended=at,
        scored=1,
    )


async def test_spool(tmp_path: Path) -> None:
    """Health windows wait for the site, across a restart, and go when it has them."""
    async with open_spool(tmp_path, "gw-1", lambda: 1) as spool:
        await spool.add([health(number) for number in range(1, 101)])
    async with open_spool(tmp_path, "gw-1", lambda: 1) as again:
        due = again.due()
        assert len(due) == SENT_MAX
        await again.stored(due)
        assert [window.number for window in again.due()] == list(range(SENT_MAX + 1, 101))
    async with open_spool(tmp_path, "gw-1", lambda: 1) as third:
        assert len(third) == 100 - SENT_MAX


async def test_spool_holds_each_window_once(tmp_path: Path) -> None:
    """A window that is added again is held once, also when the site has had it."""
    async with open_spool(tmp_path, "gw-1", lambda: 1) as spool:
        await spool.add([health(1), health(2)])
        await spool.add([health(2), health(3)])
        await spool.stored([health(1)])
        await spool.add([health(1)])
        assert [window.number for window in spool.due()] == [2, 3]


async def test_full_spool_gives_up_the_oldest(tmp_path: Path) -> None:
    """A site that is away for too long costs the oldest windows, and they are counted."""
    async with open_spool(tmp_path, "gw-1", lambda: 1, bytes_max=256 * 1024) as spool:
        for number in range(1, 801, 10):
            await spool.add([health(number + more) for more in range(10)])
        assert spool.dropped > 0
        assert len(spool) == 800 - spool.dropped
        assert spool.due()[0].number == spool.dropped + 1


async def test_full_disk_gives_up_nothing(tmp_path: Path) -> None:
    """Where the disk itself is full, what is safe stays, and the rest waits in memory for room."""
    files = SimulatedFiles()
    config = JournalConfig(segment_bytes=64 * KIB, bytes_max=MIB, preallocate=False)
    async with await Journal.open(tmp_path, config, Host(files=files)) as journal:
        spool = HealthSpool(journal, "gw-1", lambda: 1)
        await spool.add([health(number) for number in range(1, 11)])
        files.capacity = files.used()
        with pytest.raises(DiskFullError, match="the disk is full"):
            await spool.add([health(11)])
        assert (spool.dropped, len(spool)) == (0, 11)
        files.capacity = 1 << 40
        await spool.add([])
        assert [window.number for window in spool.due()] == list(range(1, 12))
        assert journal.stats().records == 11


class SlowKeeper:
    """An outbox whose disk takes its time over the first window."""

    def __init__(self) -> None:
        self.begun, self.go_on = anyio.Event(), anyio.Event()
        self.kept: list[int] = []

    async def add_window(self, body: bytes) -> None:
        """Keep it, at last."""
        self.begun.set()
        await self.go_on.wait()
        window = msgspec.json.decode(body, type=SuspectWindow)
        self.kept.append(int(window.id.rpartition(":")[2]))


async def test_a_slow_disk_costs_the_oldest(tmp_path: Path) -> None:
    """What is picked while one window is being kept pushes out only what is counted as let go."""
    keeper = SlowKeeper()
    tags = [TagConfig(role=role, unit="bar", source="plc", address=role) for role in ROLES]
    rules = ReviewConfig(shift_s=1e9, uniform_share=0.0, rest_s=0.0)
    with Ledger(tmp_path / "windows") as ledger:
        stream = WindowStream(tags, ledger, lateness_s=0.0, monotonic=lambda: 0.0)
        router = ReviewRouter(rules, "gw-1", 1)
        units = dict.fromkeys(ROLES, "bar")
        review = Review(router, stream, units, lambda: 1000, lambda: 0.0)
        async with anyio.create_task_group() as group:
            group.start_soon(review.run, keeper)
            review.take(await scored(Route(NARROW), 1), None)
            await keeper.begun.wait()
            for number in range(2, WAITING_MAX + 5):
                review.take(await scored(Route(NARROW), number), None)
            keeper.go_on.set()
            with anyio.fail_after(10):
                while len(keeper.kept) <= WAITING_MAX:  # noqa: ASYNC110 - the review brings it about
                    await anyio.sleep(0.005)
            group.cancel_scope.cancel()
    assert keeper.kept == [1, *range(5, WAITING_MAX + 5)]
    assert (review.picked, review.let_go) == (WAITING_MAX + 4, 3)


class Takes:
    """A site that takes, refuses, or is away."""

    def __init__(self, failures: Sequence[Exception | None] = ()) -> None:
        self.failures = list(failures)
        self.taken: list[tuple[str, bytes]] = []
        self.signals: list[Signal] = []

    async def telemetry(self, signal: Signal, batch: BatchId, crc32c: int, body: bytes) -> None:
        """One batch."""
        assert crc32c >= 0
        self.signals.append(signal)
        await self._take(str(batch), body)

    async def review(self, window: bytes) -> None:
        """One window."""
        await self._take("window", window)

    async def _take(self, name: str, body: bytes) -> None:
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        self.taken.append((name, body))


def opened(folder: Path, epoch: int) -> AbstractAsyncContextManager[Outbox]:
    """The outbox of a gateway's start number *epoch*."""
    return open_outbox((folder / "o", folder / "r"), "gw-1", epoch, 4 * 2**20, lambda: 1)


async def send(outbox: Outbox, takes: Takes, count: int) -> None:
    """Let the outbox send until *count* were taken."""
    async with anyio.create_task_group() as group:
        group.start_soon(outbox.run, takes)
        with anyio.fail_after(10):
            while len(takes.taken) < count:  # noqa: ASYNC110 - the outbox brings it about
                await anyio.sleep(0.005)
        group.cancel_scope.cancel()


async def test_outbox(tmp_path: Path) -> None:
    """What was added survives a restart, goes out in order, and a batch keeps its number."""
    async with opened(tmp_path, 1) as outbox:
        await outbox.add(Signal.METRICS, b"one")
        await outbox.add_window(b"strange")
    async with opened(tmp_path, 2) as outbox:
        await outbox.add(Signal.METRICS, b"two")
        takes = Takes()
        await send(outbox, takes, 3)
        batches = [taken for taken in takes.taken if taken[0] != "window"]
        assert batches == [("gw-1/1/1", b"one"), ("gw-1/2/1", b"two")]
        assert ("window", b"strange") in takes.taken
        assert outbox.waiting == 0


async def test_outbox_puts_aside_what_is_refused(tmp_path: Path) -> None:
    """What the site will never take does not hold up the rest; a site that is away does."""
    away = SiteUnreachableError("away")
    async with opened(tmp_path, 1) as outbox:
        for body in (b"one", b"two"):
            await outbox.add(Signal.METRICS, body)
        takes = Takes([away, SiteRefusedError("no", status=400)])
        await send(outbox, takes, 1)
        assert takes.taken == [("gw-1/1/2", b"two")]
        assert outbox.refused == 1


async def test_full_outbox_refuses_the_least_dear_first(tmp_path: Path) -> None:
    """As room runs out traces go first, then logs, then metrics; what was taken all goes out."""
    async with opened(tmp_path, 1) as outbox:
        await outbox.add_window(b"strange")
        taken: list[tuple[Signal, float]] = []
        for number in range(20):
            for signal in Signal:
                fill = outbox.fill
                with suppress(JournalFullError):
                    if await outbox.add(signal, bytes([number]) * 100_000):
                        taken.append((signal, fill))
        highest = dict(taken)
        assert highest[Signal.TRACES] <= 0.5 <= highest[Signal.LOGS] <= 0.75
        assert highest[Signal.LOGS] < highest[Signal.METRICS]
        assert sum(outbox.shed.values()) == 60 - len(taken)
        takes = Takes()
        await send(outbox, takes, len(taken) + 1)
        assert takes.signals == [signal for signal, _ in taken]
        assert ("window", b"strange") in takes.taken


async def test_wake() -> None:
    """Work is cut short by the wake, and its failure comes through."""
    wake = Wake()

    async def fails() -> None:
        raise SiteUnreachableError("away")

    with pytest.raises(SiteUnreachableError):
        await wake.unless_woken(fails())

    async def never() -> int:
        await anyio.sleep_forever()
        return 1

    wake.set()
    assert await wake.unless_woken(never()) is None


def test_verdict_on_the_wire() -> None:
    """A health window is plain JSON for whoever reads the spool."""
    assert msgspec.json.decode(msgspec.json.encode(health(1)), type=HealthWindow) == health(1)
