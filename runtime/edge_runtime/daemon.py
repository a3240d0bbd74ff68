"""Runs one gateway in one task group until it is told to stop.

It ends by cancellation; whatever must be closed is closed by the contexts it was opened in.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import structlog

from edge_core.contracts.errors import ConfigurationError, EdgeError
from edge_core.contracts.telemetry import Signal
from edge_core.journal import JournalReadOnlyError, JournalUnreadableError
from edge_core.reserve import Reserve
from edge_runtime import events, snapshot
from edge_runtime.assembly import Gateway, assemble
from edge_runtime.batches import Pace, send_batches
from edge_runtime.care import Care, Present, cared_for
from edge_runtime.config import Config
from edge_runtime.control import Asked, ControlServer, RollbackAsked
from edge_runtime.decisions import DecisionTopic
from edge_runtime.errors import StoreError
from edge_runtime.live import Shows
from edge_runtime.logs import RecentLogs
from edge_runtime.refusals import tell_refusals
from edge_runtime.reporting import close_health_windows
from edge_runtime.sealed import MEMORY, sealed
from edge_runtime.series import resource, series
from edge_runtime.startup import refusal, sole_use

log = structlog.get_logger(__name__)

SETTING_RETRY_S: Final = 10.0  # a server that lacks a node today may have it tomorrow
AGAIN_S: Final = 3.0  # what is still there so long after its end was asked for is asked again
RESERVE_BYTES: Final = 2 << 20  # for which start this is, and that a try is taken


async def serve(config: Config, logs: RecentLogs, care: Care, below: Path = MEMORY) -> None:
    """Run the gateway until SIGTERM or SIGINT; SIGHUP reads the configuration again.

    Where the data folder takes nothing, scratch files lie *below* another.

    Raises:
        EdgeError: what the daemon cannot live with.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    loop.add_signal_handler(signal.SIGHUP, care.hup.set)
    with sole_use(config.data):
        reserve = Reserve(config.data / "reserve", RESERVE_BYTES)
        reserve.give_up()
        async with _begun(config, logs, below) as gateway, asyncio.TaskGroup() as group:
            log.info(
                "gateway.started", serial=config.serial, epoch=gateway.agent.record.boot_epoch
            )
            keeping = group.create_task(reserve.keep())
            try:
                await run(gateway, logs, stop, care)
            finally:
                keeping.cancel()
    log.info("gateway.stopped", serial=config.serial)


@asynccontextmanager
async def _begun(config: Config, logs: RecentLogs, below: Path) -> AsyncIterator[Gateway]:
    """The gateway, on its data folder or, where that takes nothing, on what lies there.

    Raises:
        EdgeError: as `assemble`.
    """
    async with AsyncExitStack() as stack:
        refused = await asyncio.to_thread(refusal, config.data)
        gateway = None
        if not refused:
            try:
                gateway = await stack.enter_async_context(assemble(config, site_log=logs.site))
            except (StoreError, JournalReadOnlyError, JournalUnreadableError) as error:
                refused = str(error)
        if gateway is None:
            found = stack.enter_context(sealed(config.data, refused, below))
            log.error("gateway.sealed", data=str(config.data), reason=refused)
            again = assemble(config, site_log=logs.site, sealed=found)
            gateway = await stack.enter_async_context(again)
        yield gateway


async def run(
    gateway: Gateway, logs: RecentLogs, stop: asyncio.Event, care: Care | None = None
) -> None:
    """Run every part until *stop* is set; without *care* nobody watches over it.

    Raises:
        EdgeError: the first error that ended a part.
    """
    try:
        async with asyncio.TaskGroup() as group:
            jobs = _jobs(gateway, logs, care or Care())
            tasks = [group.create_task(job) for job in jobs]
            await stop.wait()
            if care is not None:
                care.notifier.stopping()
            await _ended(tasks)
    except* EdgeError as failures:
        first: BaseException = failures
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel *tasks* until every one has ended.

    Once is not enough: `asyncio.wait_for` of Python 3.11, with which libraries connect, may answer
    a cancellation with the error that came at the same moment, and then it is forgotten.
    """
    left: Collection[asyncio.Task[None]] = tasks
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_S)


def _jobs(
    gateway: Gateway, logs: RecentLogs, care: Care
) -> list[Coroutine[Any, Any, None]]:  # Any: tasks
    present = Present(gateway, logs)
    config, epoch = gateway.config, gateway.agent.record.boot_epoch
    jobs: list[Coroutine[Any, Any, None]] = [  # Any: as above
        gateway.pipeline.run(config.serial, epoch, gateway.now),
        gateway.agent.run(),
        _kept(gateway, "site", gateway.link),
        gateway.heart.run(gateway.link),
        gateway.outbox.run(gateway.link),
        gateway.watchers.review.run(gateway.outbox),
        gateway.watchers.charts.run(),
        cared_for(gateway, care, present),
        send_batches(
            _sources(gateway),
            gateway.outbox,
            Pace(lambda: present.config.proxy.telemetry_s, gateway.wear, time.monotonic),
            gateway.agent.keeper,
        ),
        gateway.scorer.run(),
        tell_refusals(gateway.in_place, gateway.agent.keeper),
        close_health_windows(
            gateway.watchers.health,
            gateway.spool,
            lambda: gateway.health_window_s,
            gateway.agent.keeper,
            time.monotonic,
        ),
        _take_snapshots(gateway, logs),
    ]
    control = ControlServer(
        config.socket,
        lambda asked: _answer(gateway, asked),
        lambda asked: gateway.watchers.live.watch(
            Shows(every_s=asked.every_s, roles=frozenset(asked.roles))
        ),
    )
    jobs.append(_kept(gateway, "control", control))
    jobs += [_kept(gateway, f"source {name}", source) for name, source in gateway.sources]
    jobs.append(gateway.fanout.run(gateway.agent.keeper.fault))
    if config.line.decisions is not None:
        decisions = DecisionTopic(config.line.decisions, gateway.watchers.decided)
        jobs.append(_kept(gateway, "decisions", decisions))
    if config.serving is not None:
        from edge_runtime.api.serving import Serving  # noqa: PLC0415 - who serves nobody loads none

        serving = Serving(config.serving, lambda: gateway.scorer.route)
        jobs.append(_kept(gateway, "serving", serving))
    return jobs


async def _answer(gateway: Gateway, asked: Asked) -> dict[str, Any]:  # Any: JSON values
    if isinstance(asked, RollbackAsked):
        log.warning("rollback.ordered", reason=asked.reason)
        target = await gateway.agent.order_back(asked.reason)
        return {"ordered": True, "target": target}
    status: dict[str, Any] = msgspec.to_builtins(gateway.status())  # Any: JSON values
    pictures = msgspec.to_builtins(gateway.frames.shown())
    seen = msgspec.to_builtins(gateway.witness.seen)
    return {"daemon": True, **status, "pictures": pictures, **seen}


class _Runs(Protocol):
    """A part that runs for ever."""

    async def run(self) -> None:
        """See there."""
        ...


async def _kept(gateway: Gateway, name: str, part: _Runs) -> None:
    """Keep one part; a setting that does not fit the other side is an alarm, not an end."""
    while True:
        try:
            await part.run()
        except ConfigurationError as error:
            gateway.agent.keeper.fault(name, str(error))
            await asyncio.sleep(SETTING_RETRY_S)


def _sources(gateway: Gateway) -> dict[Signal, Callable[[], bytes | None]]:
    """Where telemetry comes from, the dearest first: as room runs out the others go before it."""
    config, watchers = gateway.config, gateway.watchers
    named = resource(config.serial, config.site)

    def whose() -> dict[str, str]:
        route = gateway.scorer.route
        if route.effective is None:
            return {}
        return series(config.serial, route.effective.release, route.role)

    return {
        Signal.METRICS: watchers.meters.encoded,
        Signal.LOGS: lambda: events.encoded(gateway.site_log, named, whose),
        Signal.TRACES: watchers.traces.encoded,
    }


async def _take_snapshots(gateway: Gateway, logs: RecentLogs) -> None:
    """Whenever the site wants one that we have not taken."""

    def wanted() -> str | None:
        desired = gateway.agent.record.desired
        return None if desired is None else desired.snapshot

    async def take(name: str) -> Path | None:
        return await asyncio.to_thread(
            snapshot.take,
            gateway.folders.snapshots,
            name,
            record=gateway.agent.record,
            flight=gateway.folders.flight,
            status=gateway.status(),
            verdicts=list(gateway.pipeline.recent),
            lines=logs.lines,
        )

    await snapshot.take_wanted(wanted, take, gateway.agent.keeper)
