"""The drift charts of a gateway: they survive its end, and belong to one reference."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import pytest
from structlog.testing import capture_logs

from edge_core.contracts.artefact import DriftReference, ModelSignature, ReleaseRef, Windowing
from edge_core.contracts.errors import TryAgainError
from edge_core.contracts.gateway import DriftNotice
from edge_core.drift.domain import fit_domain
from edge_core.drift.errors import StateRefusedError
from edge_core.drift.state import DriftState
from edge_core.drift.wcusum import DriftScore, DriftWindow, step
from edge_core.features.grid import Rows
from edge_core.features.samples import CellQuality
from edge_core.features.window import window_of
from edge_core.features.words import Words, number_of
from edge_runtime.charts import ChartFile, ChartKeeper
from edge_runtime.drift import NOTICES_MAX, Checkpoint, DriftWatch, reference_digest
from edge_runtime.inference.worker import Worker
from edge_runtime.model import Model, ready
from edge_runtime.route import Route
from edge_runtime.scoring import Scored, Scorer
from edge_runtime.windows import CutWindow
from tests.simulators.models import SimulatedWorker
from tests.simulators.releases import signature
from tests.unit.drift.plants import NOISE, ROLES, WINDOW_ROWS, plant, reference

pytestmark = pytest.mark.anyio

SECOND_NS = 1_000_000_000
WINDOWING = Windowing(
    period_s=1.0, length_rows=WINDOW_ROWS, stride_rows=WINDOW_ROWS, gap_rows_max=5
)
FIRST = 60_000_000
UNITS = dict.fromkeys((*ROLES, "recipe"), "1")
PLAIN: ModelSignature = signature(ROLES, WINDOWING)


@cache
def whole(recipes: tuple[str, ...]) -> DriftReference:
    """A reference whose domain has as many features as the model."""
    domain = fit_domain(np.random.default_rng(0).normal(size=(9, 2 * len(ROLES))).astype("f4"))
    return msgspec.structs.replace(reference(recipes=recipes), domain=domain)


def model(
    version: str = "1",
    recipes: tuple[str, ...] = ("low",),
    *,
    regime: bool = True,
    windowing: Windowing = WINDOWING,
) -> Model:
    """A model of that version; the reference is the same for the same recipes."""
    units = [
        msgspec.structs.replace(feature, unit="1", role=feature.role) for feature in PLAIN.features
    ]
    contract = msgspec.structs.replace(
        PLAIN,
        features=units,
        regime_role="recipe" if regime else None,
        windowing=windowing,
    )
    digest = f"sha256:{int(version):064x}"
    release = ReleaseRef(model="pump", version=version, release=int(version), digest=digest)
    # Nobody asks the worker anything here.
    worker = cast("Worker", SimulatedWorker(digest))
    return ready(release, contract, whole(recipes), UNITS, worker)


async def scored(
    runs: Model,
    number: int,
    values: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    recipe: float,
    quality: int = CellQuality.GOOD,
) -> Scored:
    """One window of the plant, with its recipe in the last column."""
    cells = np.column_stack([values, np.full(len(values), recipe, np.float32)]).astype(np.float32)
    first = (FIRST + number) * WINDOW_ROWS
    states = np.zeros(cells.shape, np.uint8)
    states[0, -1] = quality
    source_ns = np.zeros(cells.shape, np.int64)
    window = window_of(FIRST + number, Rows(first, SECOND_NS, cells, states, source_ns))
    return await Scorer("gw-1", 1, lambda: 0.0).score(CutWindow(number + 1, window), Route(runs))


async def through(
    watch: DriftWatch, runs: Model, numbers: range, *, bias: float = 0.0, recipe: str = "low"
) -> list[DriftScore | None]:
    """What the charts say of so many windows of one recipe, with a bias on the flow."""
    rows = plant(max(numbers) + 1, recipe, seed=7)
    rows[:, :, 0] += bias * NOISE[0]
    code = number_of(recipe)
    return [watch.take(await scored(runs, number, rows[number], code)) for number in numbers]


async def test_nobody_to_watch() -> None:
    """Without a model, or of one whose release says nothing of what is normal, nothing counts."""
    watch, runs = DriftWatch(), model()
    told = await scored(runs, 0, plant(1)[0], number_of("low"))
    assert watch.take(replace(told, route=Route())) is None
    blank = replace(runs, reference=None, monitor=None)
    assert watch.take(replace(told, route=Route(blank))) is None
    assert (watch.checkpoint(), watch.height, watch.notices()) == (None, 0.0, [])


# rows of a window and of a stride, the windows that are offered, and those that count
STRIDES: dict[str, tuple[int, int, list[int | None]]] = {
    "windows that share no row: each": (30, 30, [0, 1, 2, 3, 4, 5]),
    "windows apart: each": (30, 40, [0, 1, 2, 3, 4, 5]),
    "half of it is shared: every second": (30, 15, [0, None, 1, None, 2, None]),
    "a third of it is shared: every second": (30, 20, [0, None, 1, None, 2, None]),
    "two thirds are shared: every third": (30, 10, [0, None, None, 1, None, None]),
    "the reference is of other windows: none": (60, 60, [None] * 6),
}


@pytest.mark.parametrize("name", STRIDES)
async def test_windows_that_share_rows(name: str) -> None:
    """Each row is how windows overlap, and which of them the charts number how."""
    length, stride, expected = STRIDES[name]
    windowing = msgspec.structs.replace(WINDOWING, length_rows=length, stride_rows=stride)
    found = await through(DriftWatch(), model(windowing=windowing), range(6))
    apart = -(length // -stride)
    assert [None if each is None else each.number - FIRST // apart for each in found] == expected


UNFIT: dict[str, tuple[bool, bool]] = {
    "a cell is bad": (True, False),
    "a cell has no value": (False, True),
    "one is bad, and another has no value": (True, True),
}


@pytest.mark.parametrize("name", UNFIT)
async def test_rows_that_do_not_count(name: str) -> None:
    """Each row is what is wrong with a window; the charts take its other rows and no more."""
    bad, empty = UNFIT[name]
    watch, runs = DriftWatch(), model()
    await through(watch, runs, range(6))
    kept = watch.checkpoint()
    told = await scored(runs, 6, plant(7)[6], number_of("low"))
    window, fit = told.cut.window, np.ones(WINDOW_ROWS, np.bool_)
    if bad:
        window.quality[3, 1], fit[3] = CellQuality.BAD, False
        window.values[3, 1] += 50.0
    if empty:
        window.values[5, 2], fit[5] = np.nan, False
    assert kept is not None
    assert runs.monitor is not None
    state = DriftState.from_bytes(kept.state, len(ROLES))
    rows = DriftWindow(FIRST + 6, window.values[:, : len(ROLES)], fit, "low")
    _, expected = step(runs.monitor, state, rows)
    assert expected.status == "scored"
    assert watch.take(told) == expected


async def test_notice() -> None:
    """What the site is told of an alarm is what the charts said, and when the window ended."""
    watch, runs = DriftWatch(), model("3")
    found = await through(watch, runs, range(30), bias=2.0)
    alarms = [score for score in found if score is not None and score.status == "alarm"]
    assert watch.notices() == [
        DriftNotice(
            digest=runs.digest,
            kind=score.kind,
            tags=list(score.tags),
            since=datetime.fromtimestamp((score.number + 1) * WINDOW_ROWS - 1, UTC),
            mode="low",
            height=score.ratio,
        )
        for score in alarms
    ]
    assert alarms[0].kind in {"level", "resid"}
    assert alarms[0].tags[0] == "flow"


async def test_notice_of_a_line_without_recipes() -> None:
    """Where the line has no recipe, the site is told of none."""
    watch = DriftWatch()
    await through(watch, model(regime=False), range(1))
    assert [(each.kind, each.mode) for each in watch.notices()] == [("recipe", "")]


async def test_notices_are_bounded() -> None:
    """Of more alarms than a heartbeat carries the newest are told; a long recipe's beginning."""
    watch, runs, rows, code = DriftWatch(), model(), plant(1)[0], number_of("r" * 41)
    found = [watch.take(await scored(runs, number, rows, code)) for number in range(70)]
    alarms = [score for score in found if score is not None and score.status == "alarm"]
    told = watch.notices()
    assert len(told) == NOTICES_MAX < len(alarms)
    assert {each.mode for each in told} == {"r" * 40}
    ends = [(alarm.number + 1) * WINDOW_ROWS - 1 for alarm in alarms[-NOTICES_MAX:]]
    assert [each.since for each in told] == [datetime.fromtimestamp(end, UTC) for end in ends]


def test_digest_of_a_reference() -> None:
    """The same numbers in other windows, or other numbers, mean something else."""
    one, two = whole(("low",)), whole(("low", "high"))
    wider = msgspec.structs.replace(WINDOWING, gap_rows_max=6)
    digests = {reference_digest(each, how) for each in (one, two) for how in (WINDOWING, wider)}
    assert len(digests) == 4
    assert reference_digest(one, WINDOWING) in digests
    assert all(digest.startswith("sha256:") and len(digest) == 71 for digest in digests)


async def test_a_restart_forgets_nothing() -> None:
    """Charts that were kept and read again say of the next windows what they would have said."""
    straight, runs = DriftWatch(), model()
    await through(straight, runs, range(20), bias=0.6)
    kept = straight.checkpoint()
    assert kept is not None
    again = DriftWatch(kept)
    assert again.height == 0.0
    expected = await through(straight, runs, range(20, 26), bias=0.6)
    assert await through(again, model(), range(20, 26), bias=0.6) == expected
    assert again.checkpoint() == straight.checkpoint()
    assert again.height == straight.height > 0.0


async def test_the_same_reference_under_another_release() -> None:
    """A release that brings the same reference goes on with its charts."""
    watch, straight, runs = DriftWatch(), DriftWatch(), model("1")
    await through(watch, runs, range(10), bias=0.6)
    before = watch.checkpoint()
    expected = (await through(straight, runs, range(11), bias=0.6))[-1:]
    assert await through(watch, model("2"), range(10, 11), bias=0.6) == expected
    after = watch.checkpoint()
    assert before is not None
    assert after is not None
    assert after.reference == before.reference
    assert after.last_end_ns > before.last_end_ns


async def test_another_reference_begins_anew() -> None:
    """A release that brings another reference is held against that one from its first window."""
    watch, other = DriftWatch(), model("2", recipes=("low", "high"))
    await through(watch, model("1"), range(10), bias=0.6)
    expected = await through(DriftWatch(), other, range(10, 14))
    assert await through(watch, other, range(10, 14)) == expected
    kept = watch.checkpoint()
    assert kept is not None
    assert kept.reference == reference_digest(whole(("low", "high")), WINDOWING)


async def test_another_reference_is_refused() -> None:
    """Charts held against another reference are left aside, said once, and begin anew."""
    other = DriftWatch()
    await through(other, model(recipes=("low", "high")), range(10), bias=0.6)
    kept = other.checkpoint()
    assert kept is not None
    fresh, runs = DriftWatch(), model()
    with capture_logs() as events:
        refused = DriftWatch(kept)
        found = await through(refused, runs, range(10, 14))
    assert found == await through(fresh, model(), range(10, 14))
    [event] = [each for each in events if each["event"] == "drift.checkpoint_refused"]
    expected = reference_digest(whole(("low",)), WINDOWING)
    assert (event["found"], event["expected"]) == (kept.reference, expected)
    assert event["log_level"] == "info"  # as ordinary as a new model


async def test_charts_of_too_few_tags_are_refused() -> None:
    """A checkpoint that names the right reference and does not fit it is left aside as well."""
    watch, runs = DriftWatch(), model()
    await through(watch, runs, range(3))
    kept = watch.checkpoint()
    assert kept is not None
    torn = msgspec.structs.replace(kept, state=kept.state[:-9])
    with capture_logs() as events:
        await through(DriftWatch(torn), model(), range(3, 4))
    with pytest.raises(StateRefusedError) as refusal:
        DriftState.from_bytes(torn.state, len(ROLES))
    assert events == [
        {
            "event": "drift.checkpoint_refused",
            "log_level": "warning",
            "expected": kept.reference,
            "reason": str(refusal.value),
        }
    ]


async def test_windows_that_come_again_do_not_count() -> None:
    """After a power cut the ledger may lag behind the charts: nothing is counted twice."""
    watch, runs = DriftWatch(), model()
    await through(watch, runs, range(10), bias=0.6)
    before = watch.checkpoint()
    assert await through(watch, runs, range(7, 10), bias=0.6) == [None, None, None]
    assert watch.checkpoint() == before
    assert await through(watch, runs, range(6, 7), bias=0.6) != [None]


async def test_windows_that_come_again_after_a_restart() -> None:
    """The charts that were kept know their last window too, and stand as high as they stood."""
    watch, runs = DriftWatch(), model()
    await through(watch, runs, range(10), bias=0.6)
    kept = watch.checkpoint()
    again = DriftWatch(kept)
    assert await through(again, runs, range(9, 10), bias=0.6) == [None]
    assert again.height == watch.height > 0.0
    assert again.checkpoint() == kept


async def test_a_clock_that_was_set_back() -> None:
    """Numbers of windows that come again after an hour are of new rows, and count."""
    watch, runs = DriftWatch(), model()
    await through(watch, runs, range(300, 310))
    found = await through(watch, runs, range(180, 190))
    assert all(score is not None and score.reason != "taken before" for score in found)


async def test_the_recipe_selects_the_reference() -> None:
    """The word in the recipe's tag chooses what is normal: high is no drift where it is known."""
    knows, blind = DriftWatch(), DriftWatch()
    both, one = model(recipes=("low", "high")), model(recipes=("low",))
    for runs, watch in ((both, knows), (one, blind)):
        await through(watch, runs, range(10))
    known = await through(knows, both, range(10, 30), recipe="high")
    assert not [score for score in known if score is not None and score.status == "alarm"]
    unknown = await through(blind, one, range(10, 30), recipe="high")
    alarms = [score for score in unknown if score is not None and score.status == "alarm"]
    assert alarms[0].kind == "recipe"
    assert "'high'" in alarms[0].reason
    assert [notice.mode for notice in blind.notices()] == ["high"] * len(alarms)
    assert blind.notices() == []


RECIPES = {
    "a number": (31.0, CellQuality.GOOD, "31"),
    "a number with a fraction": (2.5, CellQuality.GOOD, "2.5"),
    "a word": (number_of("skimmed"), CellQuality.GOOD, "skimmed"),
    "unknown for one row": (31.0, CellQuality.BAD, None),
    "nothing": (float("nan"), CellQuality.GOOD, None),
}


@pytest.mark.parametrize("name", RECIPES)
async def test_the_recipe_of_a_window(name: str) -> None:
    """Each row is what the recipe's tag shows, and which recipe that is."""
    number, quality, mode = RECIPES[name]
    found = await scored(model(), 0, plant(1)[0], number, quality)
    assert found.mode == mode


async def test_a_recipe_of_the_reference() -> None:
    """A recipe that the reference names is known by its number alone, whoever remembers words."""
    number = Words().number_of("kefir")
    usual = model()
    assert usual.reference is not None
    modes = [msgspec.structs.replace(each, mode="kefir") for each in usual.reference.modes]
    kefir = msgspec.structs.replace(usual.reference, modes=modes)
    runs = ready(usual.release, usual.signature, kefir, UNITS, usual.worker)
    assert (await scored(runs, 0, plant(1)[0], number)).mode == "kefir"


async def test_the_recipe_changes() -> None:
    """A window with two recipes in it has none, and the charts settle."""
    window = (await scored(model(), 0, plant(1)[0], 1.0)).cut.window
    window.values[-1, -1] = 2.0
    assert model().regime(window) is None
    assert model(regime=False).regime(window) == ""


def charts(end_ns: int = 5) -> Checkpoint:
    """Something to keep."""
    return Checkpoint(reference="sha256:aa", last_end_ns=end_ns, ratio=0.5, state=b"x" * 100)


def test_the_file_gives_back_what_it_was_given(tmp_path: Path) -> None:
    """The last checkpoint written is read; what is the same is not written again."""
    file = ChartFile(tmp_path / "charts")
    assert file.load() is None
    file.write(None)
    assert not (tmp_path / "charts").exists()
    file.write(charts(1))
    file.write(charts(2))
    written = (tmp_path / "charts").stat().st_ino
    file.write(charts(2))
    assert (tmp_path / "charts").stat().st_ino == written
    assert ChartFile(tmp_path / "charts").load() == charts(2)
    assert [path.name for path in tmp_path.iterdir()] == ["charts"]


@pytest.mark.parametrize("damage", ["", "torn", "flipped", "foreign"])
def test_a_damaged_file_is_left_aside(damage: str, tmp_path: Path) -> None:
    """Charts that cannot be believed are not; the daemon starts without them and says so."""
    path = tmp_path / "charts"
    ChartFile(path).write(charts())
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(
        {"": b"", "torn": bytes(raw[:-7]), "flipped": bytes(raw), "foreign": b"hello"}[damage]
    )
    with capture_logs() as events:
        assert ChartFile(path).load() is None
    said = [(each["log_level"], each["event"]) for each in events]
    assert said == [("warning", "drift.checkpoint_unreadable")]


def test_an_unreadable_place(tmp_path: Path) -> None:
    """A folder where the file should be is said, not raised."""
    (tmp_path / "charts").mkdir()
    with capture_logs() as events:
        assert ChartFile(tmp_path / "charts").load() is None
    assert len(events) == 1


class FullDisk(ChartFile):
    """Takes no bytes."""

    def write(self, _charts: Checkpoint | None) -> None:
        """Never."""
        raise TryAgainError("charts: cannot be written: No space left on device")


async def test_the_last_state_is_kept_at_the_end(tmp_path: Path) -> None:
    """Whoever stops the daemon finds the charts as they were at that moment."""
    file = ChartFile(tmp_path / "charts")
    job = ChartKeeper(file, charts).run()
    job.send(None)  # until it first waits
    job.close()
    assert ChartFile(tmp_path / "charts").load() == charts()


async def test_a_full_disk_ends_nothing(tmp_path: Path) -> None:
    """A disk that takes no bytes is said once; nothing is raised."""
    job = ChartKeeper(FullDisk(tmp_path / "charts"), charts).run()
    with capture_logs() as events:
        job.send(None)
        job.close()
    assert [each["event"] for each in events] == ["drift.unkept"]
