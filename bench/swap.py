"""Whether windows notice that models are exchanged under them, at 1,000 windows a second.

Two workers, the route that a gateway uses, and its ledger on disk. Every few windows one model is
promoted over the other or rolled back, a thousand times in all, while each window must have one
verdict, in its turn, from the model that its route named. Then candidates are loaded, warmed up
and retired again and again beside the committed model; what its windows then take is compared
with windows while nothing else happens, in turns.

    python -m bench.swap [--quick]
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import structlog

from bench.report import report, table
from edge_core.admission.model import ModelFile
from edge_core.contracts.artefact import ModelSignature, ReleaseRef
from edge_core.features.grid import Rows
from edge_core.features.window import Window, window_of
from edge_runtime.inference.engine import Engine, open_engine
from edge_runtime.inference.spec import LoadSpec
from edge_runtime.ledger import Ledger
from edge_runtime.lineup import Lineup
from edge_runtime.model import ROLE_TRIAL, Model, ready
from edge_runtime.scoring import Scorer
from edge_runtime.update.record import Entry
from edge_runtime.windows import CutWindow
from tests.simulators.good_models import WIDTH, mlp

PERIOD_S = 0.001
PERIOD_NS = 1_000_000
WINDOWS_A_SWAP = 5
NICE_CANDIDATE = 19
ROWS = 8
FIRST = 3  # release that is loaded as a candidate; the first two are swapped


@dataclass(frozen=True, slots=True)
class Effort:
    """How many swaps, and how long each turn of the comparison is."""

    swaps: int
    turns: int
    turn_windows: int


FULL = Effort(swaps=1000, turns=8, turn_windows=2000)
QUICK = Effort(swaps=1000, turns=4, turn_windows=1000)


@dataclass(slots=True)
class Heard:
    """What a listener saw: numbers, versions, when, and how long each window took."""

    numbers: list[int] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    taken_us: list[float] = field(default_factory=list)
    wrong_model: int = 0
    undecided: int = 0


@dataclass(frozen=True, slots=True)
class Loads:
    """Loads models that lie on disk, as `Lineup` asks.

    Attributes:
        files: of each release, by its number.
    """

    engine: Engine
    signature: ModelSignature
    files: Mapping[int, tuple[ModelFile, ...]]

    async def load(self, entry: Entry, *, nice: int = 0) -> Model:
        """A worker with the model of *entry*."""
        worker = await self.engine.load(
            LoadSpec(
                digest=entry.release.digest,
                runtime="onnxruntime",
                files=self.files[entry.release.release],
                signature=self.signature,
                nice=nice,
                spare=False,
            )
        )
        units = dict.fromkeys(self.signature.roles, "bar")
        return ready(entry.release, self.signature, None, units, worker)


def main() -> None:
    """Run, print, and end with the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a shorter comparison")
    effort = QUICK if parser.parse_args().quick else FULL
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    asyncio.run(measure(effort))


async def measure(effort: Effort) -> None:
    """All figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = {number: mlp(64, seed=number) for number in range(1, FIRST + effort.turns)}
        files = {number: made.save(folder) for number, made in models.items()}
        async with open_engine() as engine, asyncio.TaskGroup() as group:
            scorer = Scorer("gw-1", 1, time.monotonic)
            aside = group.create_task(scorer.run())
            lineup = Lineup(Loads(engine, models[1].signature, files), scorer)
            with Ledger(folder / "windows") as ledger:
                line = Line(scorer, ledger, models[1].signature)
                swapped = await swap(line, lineup, effort.swaps)
                counts = ledger.counts
                alone, loading, loads = await compared(line, lineup, effort)
            aside.cancel()
    lost = (counts.dropped, counts.doubled)
    tell(swapped, lost, alone, loading, loads)


async def swap(line: "Line", lineup: Lineup, swaps: int) -> "Swapped":
    """Promote and roll back in turn, with a few windows in between."""
    one = (await lineup.ensure(entry(1), nice=0)).digest
    two = (await lineup.ensure(entry(2), nice=0)).digest
    lineup.decide(one, two)
    await line.score(500)  # warm
    swapped = Swapped()
    for number in range(swaps):
        began_ns = time.perf_counter_ns()
        if number % 2 == 0:
            lineup.decide(two, one, role=ROLE_TRIAL)  # promoted
        else:
            lineup.decide(one, two)  # rolled back
        swapped.swap_us.append((time.perf_counter_ns() - began_ns) / 1e3)
        await line.score(WINDOWS_A_SWAP, swapped.heard)
    lineup.decide(one)
    await lineup.retire_others(frozenset({one}))
    return swapped


@dataclass(frozen=True, slots=True)
class Swapped:
    """What a listener heard while models were exchanged, and how long each exchange took."""

    heard: Heard = field(default_factory=Heard)
    swap_us: list[float] = field(default_factory=list)


class Line:
    """Cuts and scores windows at the pace, as the pipeline does."""

    def __init__(self, scorer: Scorer, ledger: Ledger, signature: ModelSignature) -> None:
        self._scorer = scorer
        self._ledger = ledger
        self._window = wave(len(signature.roles))
        self._number = 0
        self._due_s = time.perf_counter()

    async def score(self, count: int, heard: Heard | None = None) -> None:
        """*count* windows; those that are late are made up for, none is left out."""
        heard = Heard() if heard is None else heard
        for _ in range(count):
            self._due_s = max(self._due_s + PERIOD_S, time.perf_counter() - 0.1)
            await asyncio.sleep(max(0.0, self._due_s - time.perf_counter()))
            await self._one(heard)

    async def _one(self, heard: Heard) -> None:
        self._number += 1
        async with self._scorer.turn() as route:
            self._ledger.give(self._number * PERIOD_NS)
            began_s = time.perf_counter()
            scored = await self._scorer.score(CutWindow(self._number, self._window), route)
            ended_s = time.perf_counter()
            self._ledger.out(self._number, scored=scored.verdict.decided)
        named = {model.digest for model in (route.effective, route.shadow) if model is not None}
        heard.numbers.append(scored.verdict.window)
        heard.at_s.append(ended_s)
        heard.taken_us.append((ended_s - began_s) * 1e6)
        heard.wrong_model += scored.verdict.digest not in named
        heard.undecided += not scored.verdict.decided


async def compared(
    line: Line, lineup: Lineup, effort: Effort
) -> tuple[list[float], list[float], int]:
    """Windows alone and while candidates are loaded, in turns: microseconds each, and loads."""
    alone, loading = Heard(), Heard()
    loads = 0
    kept = lineup.running
    assert kept is not None
    for turn in range(effort.turns):
        await line.score(effort.turn_windows, alone)
        async with asyncio.TaskGroup() as group:
            scoring = group.create_task(line.score(effort.turn_windows, loading))
            while not scoring.done():
                await lineup.ensure(entry(FIRST + turn), nice=NICE_CANDIDATE)
                await lineup.retire_others(frozenset({kept}))
                loads += 1
    return alone.taken_us, loading.taken_us, loads


def entry(number: int) -> Entry:
    """A verified release by that number."""
    digest = f"sha256:{number:064x}"
    release = ReleaseRef(model="pump", version=str(number), release=number, digest=digest)
    return Entry(
        release=release,
        target="linux-amd64/onnxruntime/fp32/b1",
        manifest=digest,
        blobs=[],
        size_bytes=0,
        signers=[],
    )


def tell(
    swapped: Swapped,
    lost: tuple[int, int],
    alone: Sequence[float],
    loading: Sequence[float],
    loads: int,
) -> None:
    """The tables, and the last line."""
    rows = [
        [name, *(f"{np.percentile(taken, share):.0f}" for share in (50, 90, 99, 100))]
        for name, taken in (
            ("windows while swapping", swapped.heard.taken_us),
            ("windows alone", alone),
            ("windows while candidates load", loading),
            ("the swap itself", swapped.swap_us),
        )
    ]
    table("microseconds", ["what", "p50", "p90", "p99", "most"], rows)
    heard = swapped.heard
    gaps_ms = np.diff(heard.at_s) * 1e3
    steps = np.diff(heard.numbers)
    figures = {
        "swaps": len(swapped.swap_us),
        "windows": len(heard.numbers),
        "dropped": lost[0] + int(np.maximum(steps - 1, 0).sum()) + heard.undecided,
        "doubled": lost[1] + int((steps == 0).sum()),
        "out_of_order": int((steps < 0).sum()),
        "wrong_model": heard.wrong_model,
        "period_ms": round(float(np.mean(gaps_ms)), 3),
        "largest_gap_ms": round(float(gaps_ms.max()), 2),
        "swap_p50_us": round(float(np.median(swapped.swap_us)), 1),
        "p99_loading_vs_alone": round(
            float(np.percentile(loading, 99) / np.percentile(alone, 99)), 3
        ),
        "loads": loads,
        "load_1min": round(os.getloadavg()[0], 1),
    }
    table("figures", ["what", "is"], [[key, value] for key, value in figures.items()])
    report(
        "swap",
        figures,
        {
            "name": "the same windows while no model is loaded",
            "alone_p99_us": round(float(np.percentile(alone, 99)), 1),
            "loading_p99_us": round(float(np.percentile(loading, 99)), 1),
        },
        {"p99_loading_vs_alone": figures["p99_loading_vs_alone"]},
    )


def wave(width: int) -> Window:
    """A window that every model may score."""
    assert width == WIDTH
    values = np.random.default_rng(0).normal(size=(ROWS, width)).astype(np.float32)
    source_ns = np.zeros(values.shape, np.int64)
    quality = np.zeros(values.shape, np.uint8)
    return window_of(1, Rows(0, PERIOD_NS, values, quality, source_ns))


if __name__ == "__main__":
    main()
