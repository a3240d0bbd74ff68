"""Samples to a grid with quality and age: ours, and pandas' pivot, resample and forward fill.

The same 20,000 samples of 200 tags in the order in which an OPC UA server sends them: batches of
200 ms, tag by tag. One in a hundred has a bad status. Both give 100 rows of 200 tags with the last
good value at each instant, whether the last sample was usable, and how old the value is; that both
give the same is checked. They take turns of the same length, of which the mean is taken, and the
best turn of each counts, since whatever else runs on the machine only ever adds.

pandas lives in an environment of its own below the cache folder, made when it is first needed.

    python -m bench.ingest_grid [--quick]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from bench.report import report, table
from edge_core.features.grid import Grid, GridSpec, Rows
from edge_core.features.quality import SENTINELS, Screen, TagRule
from edge_core.features.samples import Samples, from_columns, usable

PANDAS: Final = "pandas==3.1.1"
TAGS, ROWS = 200, 100
PERIOD_NS = 10_000_000
BATCH_ROWS = 20  # what one publish response carries
BAD_SENSOR_FAILURE = 0x808C_0000
ROUNDS, ROUNDS_QUICK = 60, 15
TURN_NS = 50_000_000  # the first grid after the other's turn finds cold caches, on both sides

PEER: Final = """
import sys, time
import numpy as np, pandas as pd

columns = np.load(sys.argv[1])
period = pd.Timedelta(int(columns["period_ns"]), "ns")
instants = pd.to_datetime(np.arange(int(columns["rows"])) * int(columns["period_ns"]))


def grid():
    good = columns["good"]
    frame = pd.DataFrame(
        {
            "tag": columns["tag"],
            "value": np.where(good, columns["value"], np.nan),
            "at": np.where(good, columns["time_ns"], np.nan),
            "good": good.astype(np.float32),
        },
        index=pd.to_datetime(columns["time_ns"]),
    )
    wide = frame.pivot(columns="tag", values=["value", "at", "good"])
    rows = wide.resample(period, closed="right", label="right", origin="epoch").last().ffill()
    rows = rows.reindex(instants, method="ffill")
    age = instants.asi8[:, None] - rows["at"].to_numpy()
    return rows["value"], rows["good"], age


values, good, age = grid()
np.savez(sys.argv[2], values=values.to_numpy(), good=good.to_numpy(float), age=age)
print("ready", pd.__version__, flush=True)
for line in sys.stdin:
    began, made = time.perf_counter_ns(), 0
    while (taken := time.perf_counter_ns() - began) < int(line):
        grid()
        made += 1
    print(taken / made, flush=True)
"""


@dataclass(frozen=True, slots=True)
class Work:
    """The samples, and how they are placed."""

    samples: Samples
    spec: GridSpec
    screen: Screen


def main() -> None:
    """Run, print, and end with the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a quarter of the rounds")
    figures = measure(quick=parser.parse_args().quick)
    table("figures", ["what", "is"], [[name, f"{value:.4g}"] for name, value in figures.items()])
    ratio = {"grid_vs_pandas": figures["grid_vs_pandas"]}
    peer = {"name": PANDAS, "us": figures["pandas_us"]}
    report("ingest_grid", figures, peer, ratio)


def measure(*, quick: bool) -> dict[str, float]:
    """Every figure; `grid_vs_pandas` says how many times faster ours is."""
    work = samples_of_a_second()
    rounds = ROUNDS_QUICK if quick else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        columns, theirs = Path(folder) / "samples.npz", Path(folder) / "grid.npz"
        save(work.samples, columns)
        command = [str(peer_python()), "-c", PEER, str(columns), str(theirs)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as peer:
            assert peer.stdin is not None
            assert peer.stdout is not None
            ready = peer.stdout.readline().split()
            assert ready[:1] == ["ready"], f"pandas gave no grid: {ready}"
            check(grid(work), theirs)
            ours_us, theirs_us = list[float](), list[float]()
            for _ in range(rounds):
                ours_us.append(_turn_us(work))
                print(TURN_NS, file=peer.stdin, flush=True)
                theirs_us.append(float(peer.stdout.readline()) / 1e3)
            peer.stdin.close()
    best, median = min(theirs_us) / min(ours_us), np.median(theirs_us) / np.median(ours_us)
    return {
        "grid_vs_pandas": round(best, 1),
        "grid_vs_pandas_median": round(float(median), 1),
        "grid_us": round(min(ours_us), 1),
        "grid_ns_per_value": round(1e3 * min(ours_us) / len(work.samples), 1),
        "pandas_us": round(min(theirs_us), 1),
        "screen_us": round(screen_us(work, rounds), 1),
        "tick_us": round(tick_us(work, rounds), 1),
    }


def samples_of_a_second() -> Work:
    """20,000 samples as a server sends them; a scan reads all tags at once, not on the dot."""
    rng = np.random.default_rng(20261122)
    row, tag = (part.ravel() for part in np.indices((ROWS, TAGS)))
    times_ns = row * PERIOD_NS - rng.integers(0, PERIOD_NS - 1, ROWS)[row]
    status = np.where(rng.random(row.size) < 0.01, BAD_SENSOR_FAILURE, 0)
    values = rng.normal(size=row.size)
    order = np.lexsort((times_ns, tag, row // BATCH_ROWS))
    samples = from_columns(tag[order], values[order], times_ns[order], status[order])
    rule = TagRule(sentinels=SENTINELS, low=-1e3, high=1e4)
    return Work(samples, GridSpec(PERIOD_NS, (10**9,) * TAGS), Screen((rule,) * TAGS))


def grid(work: Work) -> tuple[Rows, "np.ndarray[tuple[int, ...], np.dtype[np.int64]]"]:
    """What a gateway does with a second of samples: rows with quality, and their age."""
    made = Grid(work.spec, 0)
    made.add(work.samples)
    rows = made.advance((ROWS - 1) * PERIOD_NS)
    instants = np.arange(ROWS, dtype=np.int64)[:, None] * PERIOD_NS
    return rows, instants - rows.source_ns


def _turn_us(work: Work) -> float:
    """The mean of a turn."""
    began, made = time.perf_counter_ns(), 0
    while (taken := time.perf_counter_ns() - began) < TURN_NS:
        grid(work)
        made += 1
    return taken / made / 1e3


def screen_us(work: Work, rounds: int) -> float:
    """Sentinels and impossible values, of which pandas is asked nothing: microseconds."""
    taken: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter_ns()
        work.screen.mark(work.samples)
        taken.append((time.perf_counter_ns() - began) / 1e3)
    return min(taken)


def tick_us(work: Work, rounds: int) -> float:
    """One row at a time, as at the line: microseconds a row of 200 new values."""
    chunks = [
        work.samples.take((work.samples.times_ns + PERIOD_NS - 1) // PERIOD_NS == row)
        for row in range(ROWS)
    ]
    taken: list[float] = []
    for _ in range(max(3, rounds // 5)):
        made = Grid(work.spec, 0)
        began = time.perf_counter_ns()
        for row, chunk in enumerate(chunks):
            made.add(work.screen.mark(chunk))
            made.advance(row * PERIOD_NS)
        taken.append((time.perf_counter_ns() - began) / 1e3 / ROWS)
    return min(taken)


def save(samples: Samples, path: Path) -> None:
    """The columns, as pandas will read them."""
    np.savez(
        path,
        tag=samples.tags,
        value=samples.values,
        good=usable(samples.quality),
        time_ns=samples.times_ns,
        period_ns=PERIOD_NS,
        rows=ROWS,
    )


def check(
    made: tuple[Rows, "np.ndarray[tuple[int, ...], np.dtype[np.int64]]"], theirs: Path
) -> None:
    """Both grids are the same, cell by cell."""
    rows, age_ns = made
    with np.load(theirs) as pandas:
        known = ~np.isnan(pandas["values"])
        assert np.array_equal(known, ~np.isnan(rows.values)), "values are in other cells"
        assert np.array_equal(pandas["values"][known].astype(np.float32), rows.values[known])
        assert np.array_equal(pandas["age"][known], age_ns[known]), "ages differ"
        seen = ~np.isnan(pandas["good"])
        assert np.array_equal(pandas["good"][seen] > 0, usable(rows.quality)[seen]), "quality"


def peer_python() -> Path:
    """The interpreter of the environment that has pandas."""
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edge-mlops"
    folder = root / "peers" / PANDAS.replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--clear", folder], check=True)
        pip = [uv, "pip", "install", "--quiet", "--python", str(python)]
        subprocess.run([*pip, PANDAS, f"numpy=={np.__version__}"], check=True)
        (folder / "done").write_text(json.dumps({"packages": [PANDAS]}), encoding="utf-8")
    return python


if __name__ == "__main__":
    main()
