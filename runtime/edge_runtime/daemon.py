"""Runs one gateway in one task group until it is told to stop.

It ends by cancellation; whatever must be closed is closed by the contexts it was opened in.
"""

import asyncio
import signal
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

import msgspec
import structlog

from edge_core.contracts.errors import ConfigurationError, EdgeError
from edge_runtime import snapshot
from edge_runtime.assembly import Gateway, assemble
from edge_runtime.config import Config
from edge_runtime.control import Asked, ControlServer, RollbackAsked
from edge_runtime.logs import RecentLogs
from edge_runtime.sources.sample import Source
from edge_runtime.startup import sole_use

log = structlog.get_logger(__name__)

SETTING_RETRY_S: Final = 10.0  # a server that lacks a node today may have it tomorrow
SNAPSHOT_LOOK_S: Final = 1.0
HEALTH_LOOK_S: Final = 1.0


async def serve(config: Config, logs: RecentLogs) -> None:
    """Run the gateway until SIGTERM or SIGINT.

    Raises:
        EdgeError: what the daemon cannot live with.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    with sole_use(config.data):
        async with assemble(config) as gateway:
            log.info(
                "gateway.started", serial=config.serial, epoch=gateway.agent.record.boot_epoch
            )
            await run(gateway, logs, stop)
    log.info("gateway.stopped", serial=config.serial)


async def run(gateway: Gateway, logs: RecentLogs, stop: asyncio.Event) -> None:
    """Run every part until *stop* is set.

    Raises:
        EdgeError: the first error that ended a part.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in _jobs(gateway, logs)]
            await stop.wait()
            for task in tasks:
                task.cancel()
    except* EdgeError as failures:
        first: BaseException = failures
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None


def _jobs(gateway: Gateway, logs: RecentLogs) -> list[Coroutine[Any, Any, None]]:  # Any: tasks
    config, epoch = gateway.config, gateway.agent.record.boot_epoch
    jobs: list[Coroutine[Any, Any, None]] = [  # Any: as above
        gateway.pipeline.run(config.serial, epoch, gateway.now),
        gateway.agent.run(),
        gateway.link.run(),
        gateway.heart.run(gateway.link),
        gateway.outbox.run(gateway.link),
        gateway.watchers.review.run(gateway.outbox),
        _measure(gateway),
        _close_health_windows(gateway),
        _take_snapshots(gateway, logs),
        ControlServer(config.socket, lambda asked: _answer(gateway, asked)).run(),
    ]
    jobs += [_read(gateway, name, source) for name, source in gateway.sources]
    if gateway.sink is not None:
        jobs.append(gateway.sink.run())
    if config.serving is not None:
        from edge_runtime.api.serving import Serving  # noqa: PLC0415 - who serves nobody loads none

        jobs.append(Serving(config.serving, gateway.scorer).run())
    return jobs


def _answer(gateway: Gateway, asked: Asked) -> dict[str, Any]:  # Any: JSON values
    if isinstance(asked, RollbackAsked):
        target = gateway.agent.order_back(asked.reason)
        log.warning("rollback.ordered", reason=asked.reason, target=target)
        return {"ordered": True, "target": target}
    status: dict[str, Any] = msgspec.to_builtins(gateway.status())  # Any: JSON values
    return {"daemon": True, **status}


async def _read(gateway: Gateway, name: str, source: Source) -> None:
    """Keep one source; a setting that does not fit the other side is an alarm, not an end."""
    while True:
        try:
            await source.run()
        except ConfigurationError as error:
            gateway.agent.keeper.fault(f"source {name}", str(error))
            await asyncio.sleep(SETTING_RETRY_S)


async def _measure(gateway: Gateway) -> None:
    """One OTLP batch a period."""
    while True:
        await asyncio.sleep(gateway.config.proxy.telemetry_s)
        body = gateway.watchers.meters.encoded()
        try:
            if body is not None:
                await gateway.outbox.add_metrics(body)
            gateway.agent.keeper.mend("outbox")
        except EdgeError as error:
            gateway.agent.keeper.fault("outbox", str(error))


async def _close_health_windows(gateway: Gateway) -> None:
    """One health window a model and period, kept until the site has it."""
    begun_s = time.monotonic()
    while True:
        # The site may shorten the period while we wait for the end of a long one.
        left_s = begun_s + gateway.health_window_s - time.monotonic()
        if left_s > 0:
            await asyncio.sleep(min(left_s, HEALTH_LOOK_S))
            continue
        begun_s = time.monotonic()
        windows = gateway.watchers.health.close()
        if not windows:
            continue
        try:
            await gateway.spool.add(windows)
            gateway.agent.keeper.mend("spool")
        except EdgeError as error:
            gateway.agent.keeper.fault("spool", str(error))


async def _take_snapshots(gateway: Gateway, logs: RecentLogs) -> None:
    """Whenever the site wants one that we have not taken."""
    taken: str | None = None
    while True:
        await asyncio.sleep(SNAPSHOT_LOOK_S)
        desired = gateway.agent.record.desired
        name = None if desired is None else desired.snapshot
        if name is None or name == taken:
            continue
        taken = name
        with suppress(EdgeError, OSError):
            place = await asyncio.to_thread(
                snapshot.take,
                gateway.folders.snapshots,
                name,
                record=gateway.agent.record,
                flight=gateway.folders.flight,
                status=gateway.status(),
                verdicts=list(gateway.pipeline.recent),
                lines=logs.lines,
            )
            log.info("snapshot.taken", name=name, path=str(place))
