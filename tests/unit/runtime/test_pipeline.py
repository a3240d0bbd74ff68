"""What the pipeline says first after any end of the process before it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_runtime.ledger import Ledger
from edge_runtime.pipeline import CUT_SHORT, Pipeline
from edge_runtime.scoring import Scored, Scorer, instant
from edge_runtime.verdict import NO_MODEL, Verdict
from tests.unit.runtime.test_windows import T0_NS, Plant

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


class Listener:
    """A sink that keeps what it was told, and an onlooker that sees no window."""

    def __init__(self) -> None:
        self.told: list[Verdict] = []

    def put(self, verdict: Verdict) -> None:
        """Keep it."""
        self.told.append(verdict)

    def take(self, scored: Scored) -> None:
        """Nothing is scored here."""
        raise AssertionError(scored)


def killed(path: Path, *, given: int, out: int) -> None:
    """Leave the ledger as a process does that was killed with windows under way."""
    with Ledger(path) as ledger:
        for _ in range(given):
            ledger.give(T0_NS)
        for number in range(1, out + 1):
            ledger.out(number, scored=True)


def resumed(path: Path) -> Iterator[Listener]:
    """The first words of two processes, one after the other."""
    for epoch in (2, 3):
        listener = Listener()
        with Ledger(path) as ledger:
            scorer = Scorer("gw-1", epoch, lambda: 0.0)
            stream = Plant(ledger).stream
            Pipeline(stream, scorer, ledger, [listener], listener).resume("gw-1", epoch, NOW)
            assert (ledger.counts.dropped, ledger.counts.doubled) == (0, 0)
        yield listener


@pytest.mark.parametrize(
    ("given", "out", "owed"),
    [
        pytest.param(5, 5, [], id="nothing was under way and nothing is said"),
        pytest.param(5, 4, [5], id="the window that was being scored keeps its number"),
        pytest.param(5, 2, [3, 4, 5], id="windows cut together are each accounted for"),
    ],
)
def test_windows_that_a_kill_cut_short(
    tmp_path: Path, given: int, out: int, owed: list[int]
) -> None:
    """Each is announced once, without a verdict, and by the first process that can."""
    killed(tmp_path / "w", given=given, out=out)
    first, second = resumed(tmp_path / "w")
    assert [verdict.window for verdict in first.told] == owed
    for verdict in first.told:
        assert (verdict.decided, verdict.label, verdict.reason) == (False, None, CUT_SHORT)
        assert (verdict.epoch, verdict.ended) == (2, instant(T0_NS))
    assert not second.told


def test_verdict_that_a_sink_still_has(tmp_path: Path) -> None:
    """A kill after a verdict was kept and before it was counted: it is said by the sink alone."""
    killed(tmp_path / "w", given=5, out=3)
    kept = Verdict(
        serial="gw-1", epoch=1, window=4, started=NOW, ended=NOW, decided=True, label="leak"
    )
    listener = Listener()
    with Ledger(tmp_path / "w") as ledger:
        stream, scorer = Plant(ledger).stream, Scorer("gw-1", 2, lambda: 0.0)
        pipeline = Pipeline(stream, scorer, ledger, [listener], listener, [kept])
        pipeline.resume("gw-1", 2, NOW)
        assert [verdict.window for verdict in listener.told] == [5]
        counts = ledger.counts
        assert (counts.scored, counts.no_verdict, counts.dropped, counts.doubled) == (4, 1, 0, 0)


def test_gateway_that_never_scored(tmp_path: Path) -> None:
    """Before the first window the line hears that there is no model; zero is no window."""
    for listener in resumed(tmp_path / "w"):
        assert [(each.window, each.reason) for each in listener.told] == [(0, NO_MODEL)]
