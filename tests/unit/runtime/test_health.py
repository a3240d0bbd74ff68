"""Health windows: their sums are what happened, exactly once, through any end of the process."""

import asyncio
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from edge_core.contracts.artefact import ModelSignature
from edge_core.contracts.gates import GateLimits
from edge_core.contracts.gateway import HealthWindow
from edge_core.contracts.outcome import Anomaly
from edge_core.features.outcome import Reading
from edge_runtime.document import SLOT_BYTES, KeptDocument
from edge_runtime.health import HealthSums
from edge_runtime.line import Kpi
from edge_runtime.model import ROLE_COMMITTED, ROLE_SHADOW, ROLE_TRIAL, Model
from edge_runtime.route import Route
from edge_runtime.scoring import Opinion, Scored
from edge_runtime.spool import open_spool
from edge_runtime.verdict import Verdict
from edge_site_proxy.rollout.gates.evidence import EMPTY, Tally, add
from tests.simulators.models import SimulatedWorker, loaded
from tests.simulators.releases import CLASSES, signature
from tests.unit.runtime.test_scoring import cut, scored

pytestmark = pytest.mark.anyio

AT: Final = datetime(2026, 11, 22, tzinfo=UTC)
FIRST, _ = loaded("1")
SECOND, _ = loaded("2")
BESIDE: Final = Route(FIRST, shadow=SECOND)
ON_TRIAL: Final = Route(SECOND, ROLE_TRIAL, FIRST)
COUNTS: Final = (
    "scored",
    "no_verdict",
    "errors",
    "alarms",
    "out_of_domain",
    "shadow_pairs",
    "shadow_disagreed",
    "shadow_dropped",
    "anomalies",
    "overrides",
    "kpi_rows",
    "broken",
)


def at() -> datetime:
    """A clock that stands."""
    return AT


def opinion(model: Model, role: str, label: str | None, **more: object) -> Opinion:
    """What a model said, or that it failed."""
    reading = None if label is None else Reading(label, (0.9, 0.1), 0.8)
    made = Opinion(model, role, reading, error="" if label else "gave NaN", latency_us=100)
    return replace(made, **more)  # type: ignore[arg-type]  # fields of an opinion


UNDECIDED: Final = Verdict(
    serial="gw-1", epoch=1, window=1, started=AT, ended=AT, decided=False, label=None
)


def window(route: Route, *opinions: Opinion, **more: object) -> Scored:
    """A window of which that was said."""
    made = Scored(cut(), route, UNDECIDED, opinions)
    return replace(made, **more)  # type: ignore[arg-type]  # fields of a scored window


async def test_health_window(tmp_path: Path) -> None:
    """A health window counts what each model did in its role, and starts anew."""
    second, _ = loaded("2", SimulatedWorker("x", scores=(0.1, 0.9)))
    with KeptDocument(tmp_path / "h") as book:
        sums = HealthSums(3, at, book)
        route = Route(FIRST, shadow=second)
        for number in range(1, 4):
            sums.take(await scored(route, cut(number)), Kpi(2.5, 4))
        sums.take(await scored(route, cut(4, good=0.1)))
        one, two = sums.close()
        assert (one.role, one.scored, one.no_verdict, one.alarms) == (ROLE_COMMITTED, 3, 1, 0)
        assert (one.kpi_sum, one.kpi_rows) == (7.5, 12)
        assert (two.role, two.scored, two.alarms) == (ROLE_SHADOW, 3, 3)
        assert (two.shadow_pairs, two.shadow_disagreed) == (3, 3)
        assert (one.epoch, one.number, two.number) == (3, 1, 2)
        assert sums.close() == []


def anomalous() -> Model:
    """A model whose output is one number, the larger the stranger."""
    usual = signature()
    made = ModelSignature(
        inputs=usual.inputs,
        outputs=[usual.outputs[0]],
        features=usual.features,
        windowing=usual.windowing,
        classes=CLASSES,
        normal_class=CLASSES[0],
        safe_output=CLASSES[0],
        outcome=Anomaly(threshold=0.5),
    )
    return replace(FIRST, signature=made)


NORMAL, LEAK = CLASSES
TOLD: dict[str, tuple[Scored, tuple[str, str], dict[str, int]]] = {
    "the model in charge says it is normal": (
        window(Route(FIRST), opinion(FIRST, ROLE_COMMITTED, NORMAL)),
        (FIRST.digest, ROLE_COMMITTED),
        {"scored": 1},
    ),
    "it says otherwise: an alarm": (
        window(Route(FIRST), opinion(FIRST, ROLE_COMMITTED, LEAK)),
        (FIRST.digest, ROLE_COMMITTED),
        {"scored": 1, "alarms": 1},
    ),
    "its anomaly output says otherwise: an anomaly, too": (
        window(Route(anomalous()), opinion(anomalous(), ROLE_COMMITTED, LEAK)),
        (FIRST.digest, ROLE_COMMITTED),
        {"scored": 1, "alarms": 1, "anomalies": 1},
    ),
    "it says so outside of what it was trained on": (
        window(Route(FIRST), opinion(FIRST, ROLE_COMMITTED, NORMAL, inside=False)),
        (FIRST.digest, ROLE_COMMITTED),
        {"scored": 1, "out_of_domain": 1},
    ),
    "it fails": (
        window(Route(FIRST), opinion(FIRST, ROLE_COMMITTED, None)),
        (FIRST.digest, ROLE_COMMITTED),
        {"errors": 1, "no_verdict": 1},
    ),
    "what it gives is no number": (
        window(Route(FIRST), opinion(FIRST, ROLE_COMMITTED, None, broken=True)),
        (FIRST.digest, ROLE_COMMITTED),
        {"errors": 1, "no_verdict": 1, "broken": 1},
    ),
    "the input is bad": (
        window(Route(FIRST), bad_input="input bad: flow"),
        (FIRST.digest, ROLE_COMMITTED),
        {"no_verdict": 1},
    ),
    "both say the same in a trial": (
        window(ON_TRIAL, opinion(SECOND, ROLE_TRIAL, LEAK), opinion(FIRST, ROLE_SHADOW, LEAK)),
        (SECOND.digest, ROLE_TRIAL),
        {"scored": 1, "alarms": 1, "shadow_pairs": 1},
    ),
    "they do not": (
        window(ON_TRIAL, opinion(SECOND, ROLE_TRIAL, LEAK), opinion(FIRST, ROLE_SHADOW, NORMAL)),
        (SECOND.digest, ROLE_TRIAL),
        {"scored": 1, "alarms": 1, "shadow_pairs": 1, "shadow_disagreed": 1},
    ),
}


def counts(found: HealthWindow) -> dict[str, int]:
    """What is not zero."""
    named = {name: getattr(found, name) for name in COUNTS}
    return {name: value for name, value in named.items() if value}


@pytest.mark.parametrize("name", TOLD)
def test_counts(name: str, tmp_path: Path) -> None:
    """Each row is a window and what is counted of it for one model; of two such, twice that."""
    told, key, expected = TOLD[name]
    with KeptDocument(tmp_path / "h") as book:
        sums = HealthSums(1, at, book)
        for times in (1, 2):
            for _ in range(times):
                sums.take(told)
            found = {(each.digest, each.role): each for each in sums.close()}
            assert counts(found[key]) == {each: times * n for each, n in expected.items()}


LATER: dict[str, tuple[Route, Scored, dict[str, int]]] = {
    "the opinion came, and differs": (
        BESIDE,
        window(
            BESIDE,
            opinion(FIRST, ROLE_COMMITTED, NORMAL),
            opinion(SECOND, ROLE_SHADOW, LEAK),
            late=opinion(SECOND, ROLE_SHADOW, LEAK),
        ),
        {"scored": 1, "alarms": 1, "shadow_pairs": 1, "shadow_disagreed": 1},
    ),
    "it never came, beside the committed one": (
        BESIDE,
        window(BESIDE, opinion(FIRST, ROLE_COMMITTED, NORMAL), missed=(SECOND, ROLE_SHADOW)),
        {"shadow_dropped": 1},
    ),
    "it never came on trial: an error": (
        ON_TRIAL,
        window(ON_TRIAL, opinion(FIRST, ROLE_SHADOW, NORMAL), missed=(SECOND, ROLE_TRIAL)),
        {"shadow_dropped": 1, "errors": 1, "no_verdict": 1},
    ),
}


def test_a_model_that_left_is_not_counted(tmp_path: Path) -> None:
    """What a model was not asked any more, since it had left, is in no health window."""
    with KeptDocument(tmp_path / "h") as book:
        sums = HealthSums(1, at, book)
        sums.second(window(ON_TRIAL, opinion(FIRST, ROLE_SHADOW, NORMAL)))
        assert sums.close() == []


@pytest.mark.parametrize("name", LATER)
def test_second_opinions(name: str, tmp_path: Path) -> None:
    """Each row is what came after the verdict, and what is counted for the one under watch."""
    _, told, expected = LATER[name]
    with KeptDocument(tmp_path / "h") as book:
        sums = HealthSums(1, at, book)
        for times in (1, 2):
            for _ in range(times):
                sums.second(told)
            found = {each.digest: each for each in sums.close()}
            doubled = {each: times * n for each, n in expected.items()}
            assert counts(found[SECOND.digest]) == doubled


def test_percentiles(tmp_path: Path) -> None:
    """Latencies are known to within 2.2 %, also when there are more than anybody would list."""
    with KeptDocument(tmp_path / "h") as book:
        sums = HealthSums(1, at, book)
        for latency_us in range(10, 10_001, 10):
            made = opinion(FIRST, ROLE_COMMITTED, NORMAL, latency_us=latency_us)
            sums.take(window(Route(FIRST), made))
        found = sums.close()[0]
    assert found.latency_p50_us == pytest.approx(5000, rel=0.022)
    assert found.latency_p99_us == pytest.approx(9900, rel=0.022)


LATENCIES: dict[str, tuple[list[int], int, int]] = {
    "nothing was scored": ([], 0, 0),
    "too fast to be timed": ([0], 1, 1),
    "one: the upper edge of its step": ([1024], 1046, 1046),
    "half of them reach the half": ([100, 1000, 100, 1000], 100, 1002),
    "one in a hundred is beyond the ninety-nine": ([100] * 99 + [1000], 100, 100),
    "two in a hundred are not": ([1000, 1000] + [100] * 98, 100, 1002),
}


@pytest.mark.parametrize("name", LATENCIES)
def test_latencies(name: str, tmp_path: Path) -> None:
    """Each row is how long windows took, and what half and nearly all of them took at most."""
    latencies, half, most = LATENCIES[name]
    with KeptDocument(tmp_path / "h") as book:
        sums = HealthSums(1, at, book)
        sums.override(FIRST, ROLE_COMMITTED)
        for latency_us in latencies:
            made = opinion(FIRST, ROLE_COMMITTED, NORMAL, latency_us=latency_us)
            sums.take(window(Route(FIRST), made))
        [found] = sums.close()
    assert (found.latency_p50_us, found.latency_p99_us) == (half, most)


def test_nobody_in_charge(tmp_path: Path) -> None:
    """Without a model in charge there is nothing to sum up."""
    with KeptDocument(tmp_path / "h") as book:
        sums = HealthSums(1, at, book)
        sums.take(window(Route(), bad_input="no model"), Kpi(1.0, 1))
        assert sums.close() == []


REGIMES: dict[str, tuple[list[str | None], str]] = {
    "none": ([None, ""], ""),
    "the last one that was told": (["brew", "rinse", None], "rinse"),
    "a long name's beginning": (["r" * 41], "r" * 40),
}


@pytest.mark.parametrize("name", REGIMES)
def test_regime(name: str, tmp_path: Path) -> None:
    """Each row is the recipe of each window, and that of the health window."""
    modes, expected = REGIMES[name]
    with KeptDocument(tmp_path / "h") as book:
        sums = HealthSums(1, at, book)
        for mode in modes:
            said = opinion(FIRST, ROLE_COMMITTED, NORMAL)
            sums.take(window(Route(FIRST), said, mode=mode))
        [found] = sums.close()
    assert found.regime == expected


@dataclass(slots=True)
class Wall:
    """A wall clock that a test sets, in seconds after `AT`."""

    at_s: int = 0

    def __call__(self) -> datetime:
        """Now."""
        return AT + timedelta(seconds=self.at_s)


def test_from_when_to_when(tmp_path: Path) -> None:
    """A period begins where the last one ended; one cut short ends with what it saw last."""
    wall = Wall()

    def passes(at_s: int) -> None:
        wall.at_s = at_s
        sums.override(FIRST, ROLE_COMMITTED)

    sums = HealthSums(1, wall, KeptDocument(tmp_path / "h"))
    passes(10)
    wall.at_s = 20
    sums.close()
    passes(30)
    wall.at_s = 15  # somebody set the clock back
    sums.close()
    passes(25)
    passes(35)
    sums = HealthSums(2, wall, KeptDocument(tmp_path / "h"))
    passes(40)
    sums.close()
    found = sums.unkept
    seconds = [
        tuple(int((end - AT).total_seconds()) for end in (each.started, each.ended))
        for each in found
    ]
    assert seconds == [(0, 20), (20, 20), (15, 35), (35, 40)]
    assert [each.cut_short for each in found] == [False, False, True, False]
    assert [(each.epoch, each.number) for each in found] == [(1, 1), (1, 2), (1, 3), (2, 1)]


def test_kept(tmp_path: Path) -> None:
    """What is safe elsewhere leaves the book, and nothing else does."""
    with KeptDocument(tmp_path / "h") as book:
        lives = []
        for epoch in (1, 2):
            lives.append(HealthSums(epoch, at, book))
            for _ in range(2):
                lives[-1].override(FIRST, ROLE_COMMITTED)
                lives[-1].close()
        sums = lives[-1]
        sums.kept([each for each in sums.unkept if (each.epoch, each.number) == (1, 2)])
        left = [(1, 1), (2, 1), (2, 2)]
        assert [(each.epoch, each.number) for each in sums.unkept] == left
        again = HealthSums(3, at, book)
        assert [(each.epoch, each.number) for each in again.unkept] == left


def test_more_than_the_book_holds(tmp_path: Path) -> None:
    """While no disk takes them all are at hand; of those that a kill spares the newest are."""
    with KeptDocument(tmp_path / "h") as book:
        sums = HealthSums(1, at, book)
        for _ in range(200):
            sums.override(FIRST, ROLE_COMMITTED)
            sums.close()
        assert [each.number for each in sums.unkept] == list(range(1, 201))
        spared = [each.number for each in HealthSums(2, at, book).unkept]
    # The older half goes, and half again, until the rest fits.
    assert spared == list(range(152, 201))


def test_more_open_than_the_book_holds(tmp_path: Path) -> None:
    """So many models that not even the open sums fit: they are summed up all the same."""
    with KeptDocument(tmp_path / "h") as book:
        sums = HealthSums(1, at, book)
        for number in range(200):
            sums.override(FIRST, f"role-{number}")
        assert len(sums.close()) == 200


def left_by(epoch: int) -> bytes:
    """The book of a life that was cut short."""
    with tempfile.TemporaryDirectory() as folder, KeptDocument(Path(folder) / "h") as book:
        HealthSums(epoch, at, book).override(FIRST, ROLE_COMMITTED)
        return book.newest


NO_CODE = "MessagePack data is malformed: invalid opcode '\\xc1' (byte 0)"
# what lies in the book, how many windows the second life finds, what it says of it
BOOKS: dict[str, tuple[bytes, int, list[str]]] = {
    "nothing yet": (b"", 0, []),
    "that of the life before": (left_by(1), 1, []),
    "that of this life: its numbers would come twice": (
        *(left_by(2), 0, ["epoch 2 is not before 2"]),
    ),
    "that of a life to come": (left_by(3), 0, ["epoch 3 is not before 2"]),
    "no document": (
        b"\xc1",
        0,
        [NO_CODE],
    ),
}


@pytest.mark.parametrize("name", BOOKS)
def test_found(name: str, tmp_path: Path) -> None:
    """Each row is what an end left, and what of it the next start takes."""
    body, count, reasons = BOOKS[name]
    with KeptDocument(tmp_path / "h") as book, capture_logs() as events:
        book.put(body)
        assert len(HealthSums(2, at, book).unkept) == count
    assert [(each["event"], each["log_level"]) for each in events] == [
        ("health.unreadable", "warning") for _ in reasons
    ]
    assert [each["reason"] for each in events] == reasons


@dataclass(slots=True)
class Life:
    """A gateway that is killed again and again, and its site."""

    path: Path
    epoch: int = 0
    spooled: dict[tuple[int, int], HealthWindow] = field(default_factory=dict)
    happened: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    books: list[KeptDocument] = field(default_factory=list)

    def begin(self) -> HealthSums:
        """A new process; the one before was killed, so it closed nothing."""
        self.epoch += 1
        self.books.append(KeptDocument(self.path))
        return HealthSums(self.epoch, at, self.books[-1])

    def save(self, sums: HealthSums, *, killed: bool) -> None:
        """Put closed windows where the site gets them; a kill may come before the book knows."""
        for found in sums.unkept:
            known = self.spooled.setdefault((found.epoch, found.number), found)
            assert known == found, "a number that is used again is the same window"
        if not killed:
            sums.kept(sums.unkept)

    def saw(self, told: Scored, sums: HealthSums) -> None:
        """A window."""
        sums.take(told)
        for each in told.opinions:
            kind = "scored" if each.label else "errors"
            self.happened[each.model.digest, each.role, kind] += 1
            if told.paired:
                self.happened[each.model.digest, each.role, "shadow_pairs"] += 1

    @property
    def told(self) -> Counter[tuple[str, str, str]]:
        """What the site's own tallies add up to."""
        tallies: dict[tuple[str, str], Tally] = {}
        for each in self.spooled.values():
            key = (each.digest, each.role)
            tallies[key] = add(tallies.get(key, EMPTY), [each], GateLimits())
        found: Counter[tuple[str, str, str]] = Counter()
        for (digest, role), tally in tallies.items():
            found[digest, role, "scored"] = tally.scored
            found[digest, role, "errors"] = tally.errors
            found[digest, role, "shadow_pairs"] = tally.pairs
            found[digest, role, "overrides"] = tally.overrides
        return +found


Act = Callable[[Life, HealthSums], HealthSums]
STEPS: dict[str, Act] = {}


def step(act: Act) -> Act:
    """Something that happens to a gateway."""
    STEPS[str(act.__doc__)] = act
    return act


@step
def scores(life: Life, sums: HealthSums) -> HealthSums:
    """A window of the committed model alone."""
    life.saw(window(Route(FIRST), opinion(FIRST, ROLE_COMMITTED, NORMAL)), sums)
    return sums


@step
def fails(life: Life, sums: HealthSums) -> HealthSums:
    """One that it fails on."""
    life.saw(window(Route(FIRST), opinion(FIRST, ROLE_COMMITTED, None)), sums)
    return sums


@step
def tries(life: Life, sums: HealthSums) -> HealthSums:
    """One that both score."""
    both = (opinion(SECOND, ROLE_TRIAL, LEAK), opinion(FIRST, ROLE_SHADOW, NORMAL))
    life.saw(window(ON_TRIAL, *both), sums)
    return sums


@step
def overrides(life: Life, sums: HealthSums) -> HealthSums:
    """The operator decides otherwise."""
    sums.override(FIRST, ROLE_COMMITTED)
    life.happened[FIRST.digest, ROLE_COMMITTED, "overrides"] += 1
    return sums


@step
def closes(life: Life, sums: HealthSums) -> HealthSums:
    """The period ends, and what is closed gets to the site's journal."""
    sums.close()
    life.save(sums, killed=False)
    return sums


@step
def closes_on_a_full_disk(_: Life, sums: HealthSums) -> HealthSums:
    """The period ends, and no disk takes it."""
    sums.close()
    return sums


@step
def killed(life: Life, _: HealthSums) -> HealthSums:
    """Killed at any moment."""
    return life.begin()


@step
def killed_while_saving(life: Life, sums: HealthSums) -> HealthSums:
    """Killed when the journal had it and the book did not know yet."""
    sums.close()
    life.save(sums, killed=True)
    return life.begin()


@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=60))
def test_sums_are_exact(names: list[str]) -> None:
    """Whatever happens and whenever it is killed: the site adds up what happened, once."""
    with tempfile.TemporaryDirectory() as folder:
        life = Life(Path(folder) / "h")
        sums = life.begin()
        for name in names:
            sums = STEPS[name](life, sums)
        sums = life.begin()
        life.save(sums, killed=False)
        assert life.told == +life.happened
        cut_short = sum(each.cut_short for each in life.spooled.values())
        assert cut_short <= 4 * life.epoch
        for book in life.books:
            book.close()


async def test_killed_process(tmp_path: Path) -> None:
    """SIGKILL in the middle of a period: the next start reports it once, named as cut short."""
    child = os.fork()
    if child == 0:
        sums = HealthSums(1, at, KeptDocument(tmp_path / "h"))
        for _ in range(1000):
            sums.take(window(Route(FIRST), opinion(FIRST, ROLE_COMMITTED, NORMAL)))
        os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.to_thread(os.waitpid, child, 0)
    # The third start finds it in the book and in the journal; it is one window.
    due = [await due_at(tmp_path, epoch) for epoch in (2, 3)]
    assert due[0] == due[1]
    (found,) = due[1]
    assert (found.epoch, found.scored, found.cut_short) == (1, 1000, True)


async def due_at(folder: Path, epoch: int) -> list[HealthWindow]:
    """What a start finds and would send; it is killed before the book knows that it is safe."""
    with KeptDocument(folder / "h") as book:
        sums = HealthSums(epoch, at, book)
        async with open_spool(folder / "s", "gw-1", lambda: 1) as spool:
            await spool.add(sums.unkept)
            return spool.due()


def test_site_adds_up_every_field(tmp_path: Path) -> None:
    """Anomalies, drops, overrides and the KPI of two windows are in the site's tally."""
    with KeptDocument(tmp_path / "h") as book:
        sums = HealthSums(1, at, book)
        for total in (1.5, 2.0):
            said = opinion(anomalous(), ROLE_COMMITTED, LEAK)
            sums.take(window(Route(anomalous()), said), Kpi(total, 2))
            sums.second(window(BESIDE, missed=(FIRST, ROLE_COMMITTED)))
            for _ in range(3):
                sums.override(FIRST, ROLE_COMMITTED)
            sums.close()
        tally = add(EMPTY, list(sums.unkept), GateLimits())
    assert (tally.windows, tally.scored, tally.alarms, tally.anomalies) == (2, 2, 2, 2)
    assert (tally.dropped, tally.overrides) == (2, 6)
    assert (tally.kpi_sum, tally.kpi_rows) == (3.5, 4)


TORN: dict[str, tuple[int, bytes]] = {
    "the newest slot is torn: the one before it holds": (1, b"one"),
    "the older slot is torn: nothing is missing": (0, b"two"),
}


@pytest.mark.parametrize("name", TORN)
def test_torn_document(name: str, tmp_path: Path) -> None:
    """Each row is a slot that a power cut tore, and what is read then."""
    slot, left = TORN[name]
    path = tmp_path / "d"
    with KeptDocument(path) as document:
        document.put(b"one")  # generation 1, slot 1
        document.put(b"two")  # generation 2, slot 0
    raw = bytearray(path.read_bytes())
    raw[(1 - slot) * SLOT_BYTES + 24] ^= 1
    path.write_bytes(raw)
    with KeptDocument(path) as document:
        assert document.newest == left


def test_document_bounds(tmp_path: Path) -> None:
    """What is too long is refused, and what was there stays."""
    with KeptDocument(tmp_path / "d") as document:
        assert document.put(b"x" * 1000)
        assert not document.put(b"x" * SLOT_BYTES)
        assert document.newest == b"x" * 1000
