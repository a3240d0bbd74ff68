"""What a gateway's telemetry costs a day at default settings: bytes, processor, disk.

A line with one committed model and a window every five seconds, and the same line during a trial.
Each period has one batch of each signal that has something to say, made, compressed and kept in an
outbox on this disk by the daemon's own code; a day has as many as the default period says.

    python -m bench.telemetry [--quick]
"""

import argparse
import asyncio
import gzip
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from bench.report import report, table
from edge_core.contracts.telemetry import Signal
from edge_runtime import events
from edge_runtime.batches import send_once
from edge_runtime.config import DiskConfig
from edge_runtime.device import Device
from edge_runtime.line_config import TelemetryConfig
from edge_runtime.model import ROLE_COMMITTED, ROLE_SHADOW, ROLE_TRIAL
from edge_runtime.outbox import Outbox, open_outbox
from edge_runtime.route import Route
from edge_runtime.scoring import Scored
from edge_runtime.series import resource, series
from edge_runtime.sitelog import SiteLog
from edge_runtime.telemetry import Levels, Meters
from edge_runtime.traces import Clocks, Traces
from edge_runtime.wear import DAY_S
from tests.simulators.models import loaded
from tests.unit.runtime.test_health import LEAK, NORMAL, opinion
from tests.unit.runtime.test_telemetry import timed

SERIAL: Final = "pg-01"
STRIDE_S: Final = 5.0
PERIOD_S: Final = 60.0  # the default of `proxy.telemetry_s`
WARNINGS_A_DAY: Final = 100
FIRST, _ = loaded("1")
SECOND, _ = loaded("2")


@dataclass(slots=True)
class Spent:
    """What a run cost, and how many periods it was."""

    periods: int = 0
    cpu_s: float = 0.0
    windows_cpu_s: float = 0.0
    raw: int = 0
    sent: int = 0
    batches: int = 0
    disk: int = 0

    def a_day(self, figure: float) -> float:
        """*figure* in a day."""
        return figure / self.periods * DAY_S / PERIOD_S


class Counting:
    """An outbox that says what it was given."""

    def __init__(self, outbox: Outbox, spent: Spent) -> None:
        self._outbox = outbox
        self._spent = spent

    @property
    def fill(self) -> float:
        """As the outbox."""
        return self._outbox.fill

    @property
    def written(self) -> int:
        """As the outbox."""
        return self._outbox.written

    async def add(self, signal: Signal, body: bytes) -> bool:
        """As the outbox."""
        self._spent.raw += len(gzip.decompress(body))
        self._spent.sent += len(body)
        self._spent.batches += 1
        return await self._outbox.add(signal, body)


def committed(number: int) -> Scored:
    """A window of an ordinary day."""
    return timed(Route(FIRST), opinion(FIRST, ROLE_COMMITTED, NORMAL), number=number)


def on_trial(number: int) -> Scored:
    """A window of a trial."""
    both = (opinion(SECOND, ROLE_TRIAL, LEAK), opinion(FIRST, ROLE_SHADOW, NORMAL))
    return timed(Route(SECOND, ROLE_TRIAL, FIRST), *both, number=number)


@asynccontextmanager
async def outbox_at(folder: Path) -> AsyncIterator[Outbox]:
    """An outbox with the default room."""
    folders = (folder / "outbox", folder / "review")
    room = DiskConfig().outbox_bytes_max
    async with open_outbox(folders, SERIAL, 1, room, time.time_ns) as outbox:
        yield outbox


async def measure(window: Callable[[int], Scored], periods: int) -> Spent:
    """So many periods, one after the other without the time between them."""
    spent, named = Spent(periods), resource(SERIAL, "bench")
    log = SiteLog()
    with tempfile.TemporaryDirectory() as folder:
        device = Device(Path(folder))
        meters = Meters(SERIAL, named, lambda: Levels(box=device.read()))
        clocks = Clocks(lambda: 10.0, time.time_ns)
        traces = Traces(SERIAL, 1, named, TelemetryConfig().traced_share, clocks)
        sources = {
            Signal.METRICS: meters.encoded,
            Signal.LOGS: lambda: events.encoded(
                log, named, lambda: series(SERIAL, FIRST.release, ROLE_COMMITTED)
            ),
            Signal.TRACES: traces.encoded,
        }
        every = max(1, round(DAY_S / PERIOD_S / WARNINGS_A_DAY))
        async with outbox_at(Path(folder)) as outbox:
            counting = Counting(outbox, spent)
            for period in range(periods):
                begun_s = time.process_time()
                for number in range(round(PERIOD_S / STRIDE_S)):
                    told = window(period * 100 + number)
                    meters.take(told)
                    traces.take(told)
                spent.windows_cpu_s += time.process_time() - begun_s
                if period % every == 0:
                    log.take({"event": "worker.lost", "level": "warning", "kind": "crash"})
                begun_s = time.process_time()
                await send_once(sources, counting)
                spent.cpu_s += time.process_time() - begun_s
            spent.disk = outbox.written
    return spent


def row(name: str, spent: Spent) -> tuple[object, ...]:
    """For people."""
    return (
        name,
        f"{spent.raw / spent.periods:.0f}",
        f"{spent.sent / spent.periods:.0f}",
        f"{1e3 * spent.cpu_s / spent.periods:.2f}",
        f"{spent.a_day(spent.sent) / 1e6:.2f}",
        f"{spent.a_day(spent.disk) / 1e6:.1f}",
        f"{spent.a_day(spent.cpu_s + spent.windows_cpu_s):.1f}",
    )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    periods = 60 if parser.parse_args().quick else 600
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    asyncio.run(compare(periods))


async def compare(periods: int) -> None:
    """An ordinary day, and a day on trial."""
    usual = await measure(committed, periods)
    trial = await measure(on_trial, periods)
    heads = ("", "bytes a period", "gzip", "CPU ms", "sent MB/day", "disk MB/day", "CPU s/day")
    rows = [row("committed model", usual), row("trial, all traced", trial)]
    table(f"telemetry of one gateway, a window every {STRIDE_S:g} s", heads, rows)
    budget = DiskConfig().outbox_bytes_a_day
    figures = {
        "bytes_a_period": round(usual.raw / periods),
        "gzip_bytes_a_period": round(usual.sent / periods),
        "cpu_ms_a_period": round(1e3 * usual.cpu_s / periods, 3),
        "sent_mb_a_day": round(usual.a_day(usual.sent) / 1e6, 3),
        "disk_mb_a_day": round(usual.a_day(usual.disk) / 1e6, 2),
        "cpu_s_a_day": round(usual.a_day(usual.cpu_s + usual.windows_cpu_s), 2),
        "trial_sent_mb_a_day": round(trial.a_day(trial.sent) / 1e6, 3),
        "trial_cpu_s_a_day": round(trial.a_day(trial.cpu_s + trial.windows_cpu_s), 2),
        "wear_budget_share": round(usual.a_day(usual.disk) / budget, 4),
    }
    report("telemetry", figures, {}, {})


if __name__ == "__main__":
    main()
