"""The same windows and the same features, bit for bit, at the line and from a recording."""

import csv
import os
from collections.abc import Iterator
from datetime import timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_core.contracts.artefact import ModelSignature, Statistic
from edge_core.features.grid import ROWS_MAX, GridSpec, place
from edge_core.features.quality import SENTINELS, Screen, StuckWatch, TagRule
from edge_core.features.recording import Recording, read_samples
from edge_core.features.samples import CellQuality, Samples
from edge_core.features.statistics import Extractor
from edge_core.features.stream import FOREVER_NS, Plan, WindowFeed, windows_of
from edge_core.features.window import Window, windows
from tests.unit.features.strategies import (
    FIRST_ROW,
    LATENESS_NS,
    PERIOD_NS,
    ROWS,
    SPEC,
    Record,
    records,
    samples,
    signature,
    windowing,
)

SECOND_NS = 1_000_000_000
RULES = (TagRule(flat_rows_max=6), TagRule(low=-2.0), TagRule(sentinels=(1.0,)))
PLAN = Plan(windowing(6, 2, 3), SPEC, RULES)


def same(one: list[Window], other: list[Window]) -> None:
    """Equal to the bit, each array of each window."""
    assert [window.number for window in one] == [window.number for window in other]
    for left, right in zip(one, other, strict=True):
        for name in left.__slots__:
            found, wanted = getattr(left, name), getattr(right, name)
            np.testing.assert_array_equal(found, wanted)
            assert getattr(found, "dtype", None) == getattr(wanted, "dtype", None)


@given(records, st.lists(st.integers(1, 400), min_size=1, max_size=40), st.data())
def test_any_batches_give_the_windows_of_the_batch(
    listed: list[Record], steps: list[int], data: st.DataObject
) -> None:
    """However a stream is cut into batches, within the lateness, its windows are the same."""
    late = st.integers(0, LATENESS_NS)
    arrivals = sorted(
        (record[3] + data.draw(late), number) for number, record in enumerate(listed)
    )
    feed, cut = WindowFeed(PLAN, FIRST_ROW), list[Window]()
    end_ns = (FIRST_ROW + ROWS - 1) * PERIOD_NS + LATENESS_NS
    now_ns = FIRST_ROW * PERIOD_NS - 600
    for step in [*steps, end_ns]:
        now_ns = min(now_ns + step, end_ns)
        due = [listed[number] for at, number in arrivals if at <= now_ns]
        arrivals = [arrival for arrival in arrivals if arrival[0] > now_ns]
        for record in due[: len(due) // 2]:
            feed.add(samples([record]))
        feed.add(samples(due[len(due) // 2 :]))
        cut += [window.copied() for window in feed.advance(now_ns)]
    rows = place(Screen(RULES).mark(samples(listed)), SPEC, FIRST_ROW, ROWS)
    same(cut, list(windows(StuckWatch(RULES).mark(rows), PLAN.windowing)))


def shared() -> Path:
    """Where recorded data are, if they are here at all."""
    named = os.environ.get("EDGE_SHARED")
    return (Path(named) if named else Path(__file__).parents[4] / "shared") / "data"


def recorded(name: str) -> Iterator[str]:
    """A pump's experiment as lines of (tag, timestamp, value, status), the frozen and all."""
    yield "tag,timestamp,value,status\n"
    with (shared() / "skab-pump/data" / name).open(newline="") as lines:
        for row in csv.DictReader(lines, delimiter=";"):
            for tag in PUMP:
                yield f"{tag},{row['datetime']},{row[tag]},0\n"


PUMP = (
    "Accelerometer1RMS",
    "Accelerometer2RMS",
    "Current",
    "Pressure",
    "Voltage",
    "Volume Flow RateRMS",
)


def contract() -> ModelSignature:
    """Every statistic of every tag of the pump."""
    every = [(tag, "1", statistic) for tag in PUMP for statistic in Statistic]
    return signature(every)


def pump_plan(lateness_ns: int) -> Plan:
    """Windows of a minute, with rules that the recording meets now and then."""
    return Plan.of(
        windowing(60, 15, 20),
        len(PUMP),
        rules=(TagRule(sentinels=SENTINELS, flat_rows_max=5),) * len(PUMP),
        stale_ns=(5 * SECOND_NS,) * len(PUMP),
        lateness_ns=lateness_ns,
    )


def at_the_line(found: Recording, plan: Plan, seed: int) -> Iterator[Window]:
    """The recording as a gateway gets it: in batches of any size, late and out of order."""
    rng = np.random.default_rng(seed)
    times_ns = found.samples.times_ns
    first_row = -(-int(times_ns.min()) // plan.spec.period_ns)
    feed = WindowFeed(plan, first_row)
    arrivals_ns = times_ns + rng.integers(0, plan.spec.lateness_ns, len(times_ns))
    order = np.argsort(arrivals_ns, kind="stable")
    at = 0
    while at < len(order):
        batch = order[at : at + int(rng.integers(1, 400))]
        at += len(batch)
        # What arrives at an instant is there before rows are closed at that instant.
        yield from feed.advance(int(arrivals_ns[batch[0]]) - 1)
        feed.add(found.samples.take(batch))
    yield from feed.advance(int(times_ns.max()) + plan.spec.lateness_ns)


@pytest.mark.skipif(
    not shared().is_dir(),
    reason=f"no recorded data at {shared()}: EDGE_SHARED names the folder that has data/",
)
@pytest.mark.parametrize("name", ["valve1/1.csv", "other/14.csv"])
def test_recorded_pump(name: str) -> None:
    """A real pump: windows and features at the line are those of training, bit for bit."""
    zone = timezone(timedelta(hours=3))
    found = read_samples(recorded(name), PUMP, zone)
    plan = pump_plan(2 * SECOND_NS)
    trained = [window.copied() for window in windows_of(found.samples, plan)]
    assert len(trained) >= 60
    line = [window.copied() for window in at_the_line(found, plan, seed=1)]
    same(line, trained)
    extractor = Extractor(contract())
    matrix = extractor.matrix(np.stack([window.values for window in trained if _whole(window)]))
    alone: list[NDArray[np.float32]] = [
        extractor.vector(window.values) for window in line if _whole(window)
    ]
    assert np.stack(alone).tobytes() == matrix.tobytes()


def _whole(window: Window) -> bool:
    return not np.isnan(window.values).any()


def counting(count: int) -> Samples:
    """A sample a second from 1970 on, whose value is how many seconds have passed."""
    times_ns = np.arange(count, dtype=np.int64) * SECOND_NS
    tags, quality = np.zeros(count, np.int32), np.zeros(count, np.uint8)
    return Samples(tags, np.arange(count, dtype=np.float32), quality, times_ns)


LENGTHS: dict[str, tuple[int, int, int]] = {
    "a few rows": (25, 10, 7),
    "one row": (1, 1, 1),
    "as many as a grid makes at once": (ROWS_MAX, 4, 4),
    "one more": (ROWS_MAX + 1, 1, 8),
    "twice as many and some": (2 * ROWS_MAX + 50, 10, 7),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_recordings_are_read_in_parts(name: str) -> None:
    """Each row is a recording's rows, a window's, and its stride: every window of it is there."""
    rows, length, stride = LENGTHS[name]
    plan = Plan.of(windowing(length, stride, 3), 1)
    found = [
        (each.number, each.values[0, 0], each.values[-1, 0])
        for each in windows_of(counting(rows), plan)
    ]
    count = (rows - length) // stride + 1
    assert found == [
        (number, stride * number, stride * number + length - 1) for number in range(count)
    ]


def test_all_at_one_instant() -> None:
    """However many samples lie in one row: the last of each tag counts, and none is left out."""
    listed: list[Record] = [(tag, float(at), 0, at) for at in range(1, 51) for tag in (1, 0, 2)]
    [window] = windows_of(samples([*listed, (0, 9.0, 0, SECOND_NS)]), Plan.of(windowing(1, 1), 3))
    assert window.values.tolist() == [[9.0, 50.0, 50.0]]


def test_plan_of_a_signature() -> None:
    """Unless more is said: anything goes, a value holds for ever, and nothing is waited for."""
    windows_cut = windowing()
    forever = (FOREVER_NS,) * 2
    assert Plan.of(windows_cut, 2) == Plan(
        windows_cut, GridSpec(SECOND_NS, forever, lateness_ns=0), (TagRule(), TagRule())
    )
    assert Plan.of(windows_cut, 2, rules=RULES[:2], stale_ns=(1, 2), lateness_ns=3) == Plan(
        windows_cut, GridSpec(SECOND_NS, (1, 2), lateness_ns=3), RULES[:2]
    )


def test_first_open_time() -> None:
    """What is older than the last closed row changes nothing; what is newer does."""
    feed = WindowFeed(Plan.of(windowing(1, 1), 1, lateness_ns=SECOND_NS), 10)
    assert feed.open_ns == 9 * SECOND_NS + 1
    feed.add(samples([(0, 1.0, 0, feed.open_ns - 1), (0, 2.0, 0, feed.open_ns)]))
    assert feed.counts.late == 1
    [window] = feed.advance(11 * SECOND_NS)
    assert window.values.tolist() == [[2.0]]
    assert feed.open_ns == 10 * SECOND_NS + 1


def test_other_rules() -> None:
    """From now on values are held to the new rules; how long one stood still begins anew."""
    feed = WindowFeed(Plan.of(windowing(1, 1), 1, rules=(TagRule(flat_rows_max=2),)), 0)
    found: list[int] = []

    def rows(*values: float) -> None:
        for value in values:
            at_ns = len(found) * SECOND_NS
            feed.add(samples([(0, value, 0, at_ns)]))
            found.extend(int(each.quality[0, 0]) for each in feed.advance(at_ns))

    rows(5.0, 5.0, 5.0)
    feed.judge_by((TagRule(low=0.0, flat_rows_max=3),))
    rows(5.0, 5.0, 5.0, 5.0, -1.0)
    good, stuck = int(CellQuality.GOOD), int(CellQuality.STUCK)
    assert found == [good, good, stuck, good, good, good, stuck, int(CellQuality.IMPOSSIBLE)]


def test_nothing_recorded() -> None:
    """No samples, no windows."""
    assert list(windows_of(samples([]), Plan.of(windowing(), 3))) == []
