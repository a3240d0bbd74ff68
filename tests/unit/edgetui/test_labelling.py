"""The labeller's bench: what was said, what is confirmed, and undo over windows."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge_core.contracts.review import ItemState
from edgetui.client import Operator, connect
from edgetui.labelling import LEASED, UNDO_MAX, Bench, Courier, choices
from edgetui.present.label_page import label_page
from edgetui.present.words import width
from tests.simulators.site import Site, serve
from tests.simulators.site_data import CLASSES, items
from tests.unit.edgetui.made import Clock

WAIT_S = 20.0
SIXTY = items(60, 1)


class Labeller(RuleBasedStateMachine):
    """Says, skips, undoes, while answers come late; the site must end with what was meant."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(Clock())
        self.bench.take(SIXTY)
        self.meant: list[tuple[int, str]] = []
        self.site: dict[int, str] = {}

    @rule(label=st.sampled_from(CLASSES))
    def say(self, label: str) -> None:
        """One key."""
        current = self.bench.current
        if self.bench.say(label) and current is not None:
            self.meant.append((current.item, label))

    @rule()
    def skip(self) -> None:
        """Leave one for somebody else."""
        current = self.bench.current
        if self.bench.skip() and current is not None:
            self.meant.append((current.item, ""))

    @rule()
    def undo(self) -> None:
        """Back by one."""
        said = self.bench.undo()
        if said is not None:
            item, label = self.meant.pop()
            assert (said.item.item, said.label) == (item, label)
            assert self.bench.current is not None
            assert self.bench.current.item == item

    @precondition(lambda self: self.bench.waiting)
    @rule(lost=st.booleans())
    def answer(self, *, lost: bool) -> None:
        """The site takes the first call; its answer may get lost, then it is called again."""
        call = self.bench.waiting[0]
        call.said.sent = True
        if call.verb == "label":
            self.site[call.said.item.item] = call.said.label
        else:
            self.site.pop(call.said.item.item, None)
        if not lost:
            self.bench.confirmed(call)

    @invariant()
    def never_more_ticks_than_stored(self) -> None:
        """What is ticked is at the site."""
        assert self.bench.stored <= len(self.site) + len(self.bench.waiting)

    def teardown(self) -> None:
        """Once everything is carried, the site has the last word on each window, and only that."""
        while self.bench.waiting:
            self.answer(lost=False)
        assert self.site == {item: label for item, label in self.meant if label}
        assert self.bench.stored == len(self.site)


LabellerTest = Labeller.TestCase
LabellerTest.settings = settings(max_examples=25, stateful_step_count=30)


def test_digits_are_the_classes_in_order() -> None:
    """0 is normal wherever it stands in the list; the others keep their order."""
    (item,) = items(1, 1)
    assert choices(item) == {
        "0": "normal",
        "1": "cavitation",
        "2": "imbalance",
        "3": "valve_sticking",
        "4": "leak",
    }


def test_a_window_is_taken_once() -> None:
    """A lease that repeats windows at hand adds none."""
    bench = Bench(Clock())
    bench.take(items(5, 1))
    bench.take(items(7, 1))
    assert bench.at_hand == 7


def test_undo_reaches_back_a_score_of_windows() -> None:
    """Twenty decisions can be taken back, no more."""
    bench = Bench(Clock())
    bench.take(items(30, 1))
    for _ in range(25):
        bench.say("leak")
    taken_back = 0
    while bench.undo() is not None:
        taken_back += 1
    assert taken_back == UNDO_MAX


def test_how_long_a_window_was_looked_at() -> None:
    """Seconds go with the label, counted from when the window came up."""
    clock = Clock()
    bench = Bench(clock)
    bench.take(items(2, 1))
    clock.hold()
    clock.forward(4.0)
    bench.say("leak")
    assert 3.9 < bench.waiting[0].said.request.seconds < 60


@pytest.mark.parametrize(("cells", "rows"), [(78, 20), (118, 32), (58, 14)])
@pytest.mark.parametrize("low", [False, True])
def test_the_page_fits_its_screen(cells: int, rows: int, *, low: bool) -> None:
    """No line is too wide and the choices are always on it."""
    bench = Bench(Clock())
    bench.take(items(3, 1))
    lines = [str(line) for line in label_page(bench, None, cells, rows, low=low)]
    assert len(lines) <= rows
    assert max(width(line) for line in lines) <= cells
    assert any("1 cavitation" in line for line in lines)


def test_low_draws_less() -> None:
    """On a slow link a window is under 1.5 kB."""
    bench = Bench(Clock())
    bench.take(items(1, 1))
    page = "\n".join(str(line) for line in label_page(bench, None, 118, 32, low=True))
    assert len(page.encode()) < 1500


async def until(holds: Callable[[], bool]) -> None:
    """Wait until *holds*."""
    end = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


@pytest.mark.anyio
async def test_labels_survive_a_site_that_goes_away(tmp_path: Path) -> None:
    """What is said while the site is away is sent when it is back; nothing is ticked before."""
    site, socket = Site(), tmp_path / "s"
    at: list[Operator | None] = [None]
    bench = Bench(Clock())
    courier = Courier(bench, lambda: at[0], lambda: None, retry_s=(0.02,))
    async with asyncio.TaskGroup() as group:
        work = group.create_task(courier.run())
        async with serve(site, socket), connect(socket) as operator:
            at[0] = operator
            courier.look_again()
            await until(lambda: bench.at_hand == LEASED)
        for label in ("leak", "normal", "cavitation"):
            bench.say(label)
            courier.wake()
        await asyncio.sleep(0)
        assert bench.stored == 0
        async with serve(site, socket), connect(socket) as operator:
            at[0] = operator
            await until(lambda: bench.stored == 3)
        work.cancel()
    assert [site.items[n].labels[-1].label for n in (1, 2, 3)] == ["leak", "normal", "cavitation"]


@pytest.mark.anyio
async def test_a_refused_label_is_said_and_not_ticked(tmp_path: Path) -> None:
    """A label the site will not take is named with the reason; the next ones go on."""
    site, socket = Site(), tmp_path / "s"
    bench = Bench(Clock())
    async with serve(site, socket), connect(socket) as operator, asyncio.TaskGroup() as group:
        courier = Courier(bench, lambda: operator, lambda: None)
        work = group.create_task(courier.run())
        await until(lambda: bench.at_hand == LEASED)
        del site.items[1]
        bench.say("leak")
        bench.say("normal")
        courier.wake()
        await until(lambda: bench.stored == 1 and not bench.waiting)
        work.cancel()
    assert "item 1: there is no 1" in bench.trouble
    assert site.items[2].state is ItemState.LABELLED
