"""The drift charts of a gateway: they survive its end, and belong to one reference."""

from functools import cache
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import pytest
from structlog.testing import capture_logs

from edge_core.contracts.artefact import DriftReference, ModelSignature, ReleaseRef, Windowing
from edge_core.contracts.errors import TryAgainError
from edge_core.drift.domain import fit_domain
from edge_core.drift.wcusum import DriftScore
from edge_core.features.grid import Rows
from edge_core.features.samples import CellQuality
from edge_core.features.window import window_of
from edge_core.features.words import number_of
from edge_runtime.charts import ChartFile, ChartKeeper
from edge_runtime.drift import Checkpoint, DriftWatch
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
    version: str = "1", recipes: tuple[str, ...] = ("low",), *, regime: bool = True
) -> Model:
    """A model of that version; the reference is the same for the same recipes."""
    units = [
        msgspec.structs.replace(feature, unit="1", role=feature.role) for feature in PLAIN.features
    ]
    contract = msgspec.structs.replace(
        PLAIN, features=units, regime_role="recipe" if regime else None
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
    watch = DriftWatch()
    await through(watch, model("1"), range(10), bias=0.6)
    before = watch.checkpoint()
    await through(watch, model("2"), range(10, 11), bias=0.6)
    after = watch.checkpoint()
    assert before is not None
    assert after is not None
    assert after.reference == before.reference
    assert after.last_end_ns > before.last_end_ns


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
    assert (event["found"], event["expected"] != event["found"]) == (kept.reference, True)


async def test_charts_of_too_few_tags_are_refused() -> None:
    """A checkpoint that names the right reference and does not fit it is left aside as well."""
    watch, runs = DriftWatch(), model()
    await through(watch, runs, range(3))
    kept = watch.checkpoint()
    assert kept is not None
    torn = msgspec.structs.replace(kept, state=kept.state[:-9])
    with capture_logs() as events:
        await through(DriftWatch(torn), model(), range(3, 4))
    assert [each["event"] for each in events] == ["drift.checkpoint_refused"]


async def test_windows_that_come_again_do_not_count() -> None:
    """After a power cut the ledger may lag behind the charts: nothing is counted twice."""
    watch, runs = DriftWatch(), model()
    await through(watch, runs, range(10), bias=0.6)
    before = watch.checkpoint()
    assert await through(watch, runs, range(8, 10), bias=0.6) == [None, None]
    assert watch.checkpoint() == before


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
    assert [each["event"] for each in events] == ["drift.checkpoint_unreadable"]


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
