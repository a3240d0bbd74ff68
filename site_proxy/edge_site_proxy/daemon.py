"""The site proxy as one TaskGroup: everything starts here, and ends by cancellation."""

import asyncio
import datetime as dt
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import SystemRandom
from typing import Any

import structlog

from edge_core import clock
from edge_core.contracts.errors import ConfigurationError, EdgeError
from edge_core.contracts.plant import ClockQuality
from edge_core.journal import Journal
from edge_core.reserve import Reserve
from edge_core.trust import Trust
from edge_site_proxy import outbound
from edge_site_proxy.alarms.pages.alertmanager import Alertmanager, AlertsWire
from edge_site_proxy.alarms.pages.pager import Pager
from edge_site_proxy.alarms.pages.patience import Patience
from edge_site_proxy.alarms.pages.receivers import Receiver, Receivers
from edge_site_proxy.api.gateway.app import GatewayApp
from edge_site_proxy.api.gateway.est import enrolment_app
from edge_site_proxy.api.gateway.server import listening, serve
from edge_site_proxy.api.gateway.tls import HandshakeLog, TlsFront
from edge_site_proxy.api.operator.app import operator_app
from edge_site_proxy.api.operator.server import serve as serve_operator
from edge_site_proxy.config import (
    ClockSource,
    FolderUpstream,
    LayoutSource,
    Listen,
    SiteConfig,
    life,
    load_inventory,
)
from edge_site_proxy.identity import ledger
from edge_site_proxy.identity.errors import AuthorityError
from edge_site_proxy.identity.files import IdentityFiles
from edge_site_proxy.identity.register import Register
from edge_site_proxy.mirror.gate import admit_any, admit_release
from edge_site_proxy.mirror.mirror import Mirror
from edge_site_proxy.mirror.rules import Rules
from edge_site_proxy.mirror.shelf import Shelf
from edge_site_proxy.paths import StatePaths
from edge_site_proxy.rollout.policies import check_plans
from edge_site_proxy.rollout.world import Clocks
from edge_site_proxy.site import Site, open_store
from edge_site_proxy.store.holder import holding
from edge_site_proxy.telemetry.dead_letters import DeadLetters
from edge_site_proxy.telemetry.receiver import JournalReceiver
from edge_site_proxy.telemetry.shipper import Draining, Shipper
from edge_site_proxy.telemetry.status import TelemetryStatus
from edge_site_proxy.telemetry.wan import Wan

_log = structlog.get_logger(__name__)
_RENEWAL_LOOK_S = 12 * 3600.0
RESERVE_BYTES = 16 << 20  # four times what SQLite moves from its log into the database at once

Job = Coroutine[Any, Any, None]  # what a coroutine is sent and yields is asyncio's business


@dataclass(frozen=True, slots=True)
class Signals:
    """What the outside asks of a running daemon: to stop, or to read its TLS files again."""

    stop: asyncio.Event
    reload: asyncio.Event


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a daemon listens, for whoever started it with port 0."""

    gateways: int
    enrolment: int


async def run(config: SiteConfig, signals: Signals, ready: Callable[[Ports], None]) -> None:
    """Run the site proxy until `signals.stop` is set.

    Raises:
        EdgeError: what keeps it from running, in one line.
    """
    async with AsyncExitStack() as stack:
        gateways, enrolment = _listeners(config, stack)
        jobs = await _assemble(config, signals, stack, gateways, enrolment)
        ready(Ports(gateways.getsockname()[1], enrolment.getsockname()[1]))
        await _together(jobs, signals.stop)
    _log.info("daemon.stopped", site=config.site)


async def _together(jobs: list[Job], stop: asyncio.Event) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
            await stop.wait()
            for task in tasks:
                task.cancel()
    except* EdgeError as errors:
        raise _first(errors) from None


def _first(errors: BaseExceptionGroup[EdgeError]) -> EdgeError:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


async def _assemble(
    config: SiteConfig,
    signals: Signals,
    stack: AsyncExitStack,
    gateways: socket.socket,
    enrolment: socket.socket,
) -> list[Job]:
    """Build the parts and hand back what has to run; *stack* closes what has to be closed."""
    paths = StatePaths(config.directory)
    paths.make()
    clocks = _clocks(config)
    holder = stack.enter_context(holding(paths.lock))
    reserve = Reserve(paths.reserve, RESERVE_BYTES)
    reserve.give_up()
    inventory = load_inventory(config.inventory, config.site)
    files = IdentityFiles(config.identity.directory)
    authority = files.authority()
    files.renew_server(authority, config.identity.names, now=clocks.now())
    store = await stack.enter_async_context(
        open_store(paths.database, more=(ledger.MIGRATIONS,), now=clocks.now, clock=clocks.quality)
    )
    register = Register(store, authority, folder=paths.drops, life=life(config))
    await register.load()
    site = await Site.open(
        store,
        inventory,
        config.rollout,
        paths.audit_key,
        clocks,
        paths.pins,
        fence=holder.last,
    )
    holder.note(site.world.epoch, clocks.now())
    journal = await stack.enter_async_context(
        await Journal.open(paths.journal, config.telemetry.journal)
    )
    shipper, status = await _telemetry(config, paths, stack, journal, site, clocks)
    mirror = await _mirror(config, paths, stack, site, clocks)
    receivers = await _receivers(config, stack, site, clocks)
    handshakes = HandshakeLog(clocks.monotonic)
    tls = TlsFront(files.server_certificate, files.server_key, files.ca_certificate, handshakes)
    open_tls = TlsFront(files.server_certificate, files.server_key, None, handshakes)
    app = GatewayApp(
        identity=register,
        site=site,
        receiver=JournalReceiver(journal, now=clocks.now, clock=clocks.quality),
        shelf=mirror.shelf if mirror else Shelf(paths.mirror),
        now=clocks.now,
    )

    async def revoke(serial: str, reason: str, who: str) -> None:
        await register.revoke(serial, reason, who, now=clocks.now())

    renewal = _Renewal(config, files, (tls, open_tls), clocks)
    jobs: list[Job] = [
        site.run(),
        receivers.run(),
        register.run(clocks.now),
        shipper.run(),
        status.watch(site),
        serve(app, gateways, tls, config.limits),
        serve(enrolment_app(register, clocks.now), enrolment, open_tls, config.limits),
        serve_operator(
            operator_app(
                site,
                config.operator,
                telemetry=status.view,
                enrolled=register.enrolled,
                revoke=revoke,
            ),
            config.operator,
        ),
        renewal.run(signals.reload),
        reserve.keep(),
    ]
    if mirror and config.mirror:
        jobs.append(mirror.run(dt.timedelta(seconds=config.mirror.poll_s), SystemRandom()))
    return jobs


async def _telemetry(
    config: SiteConfig,
    paths: StatePaths,
    stack: AsyncExitStack,
    journal: Journal,
    site: Site,
    clocks: Clocks,
) -> tuple[Shipper, TelemetryStatus]:
    chosen = config.telemetry
    proxy = None if isinstance(chosen.upstream, FolderUpstream) else chosen.upstream.proxy
    http = await stack.enter_async_context(outbound.session(proxy))
    sink = outbound.sink_of(chosen.upstream, http, clocks.now)
    outage = dt.timedelta(seconds=chosen.outage_alarm_s)
    wan = Wan(sink.name, site, now=clocks.now, outage_alarm=outage)
    draining = Draining(
        order=chosen.order,
        deadline=dt.timedelta(seconds=chosen.deadline_s),
        backoff_max=dt.timedelta(seconds=chosen.backoff_max_s),
    )
    shipper = Shipper(
        journal,
        sink,
        DeadLetters(paths.quarantine),
        wan,
        draining=draining,
        random=SystemRandom(),
    )
    return shipper, TelemetryStatus(journal, shipper, wan, now=clocks.now)


async def _receivers(
    config: SiteConfig, stack: AsyncExitStack, site: Site, clocks: Clocks
) -> Receivers:
    made: list[Receiver] = []
    for pages in config.pages:
        http = await stack.enter_async_context(outbound.session(pages.proxy))
        wire = outbound.wire_of(pages, http, config.site, clocks.now)
        patience = Patience(site.alarms, pages.name, SystemRandom())
        if isinstance(wire, AlertsWire):
            made.append(
                Alertmanager(site.pages, site.alarms, patience, pages.name, wire, clocks.now)
            )
        else:
            made.append(Pager(site.pages, patience, pages.name, wire, clocks.now))
    return Receivers(site.pages, made)


async def _mirror(
    config: SiteConfig, paths: StatePaths, stack: AsyncExitStack, site: Site, clocks: Clocks
) -> Mirror | None:
    chosen = config.mirror
    if chosen is None:
        return None
    proxy = None if isinstance(chosen.source, LayoutSource) else chosen.source.proxy
    http = await stack.enter_async_context(outbound.session(proxy))
    trust = Trust.load(chosen.trust_policy)
    check_plans(config.rollout.policy, trust)
    mirror = Mirror(
        paths.mirror,
        source=outbound.source_of(chosen.source, http),
        rules=Rules(config.site, trust, chosen.stage, chosen.safety_class),
        gate=admit_release if chosen.admission else admit_any,
        site=site,
        now=clocks.now,
        carried=paths.carried,
    )
    await mirror.load()
    return mirror


@dataclass(frozen=True, slots=True)
class _Renewal:
    """Keeps the server's own certificate good, and takes in changed TLS files."""

    config: SiteConfig
    files: IdentityFiles
    fronts: tuple[TlsFront, ...]
    clocks: Clocks

    async def run(self, asked: asyncio.Event) -> None:
        """Look twice a day, and whenever *asked*, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_RENEWAL_LOOK_S):
                    await asked.wait()
            except TimeoutError:
                pass
            asked.clear()
            await asyncio.to_thread(self._look)

    def _look(self) -> None:
        try:
            authority = self.files.authority()
            names = self.config.identity.names
            self.files.renew_server(authority, names, now=self.clocks.now())
            for front in self.fronts:
                front.reload()
        except AuthorityError as error:
            # What is in force stays in force; a broken file must not stop the plant.
            _log.error("tls.kept", reason=str(error))
        else:
            _log.info("tls.reloaded")


def _listeners(config: SiteConfig, stack: AsyncExitStack) -> tuple[socket.socket, socket.socket]:
    found = []
    for key, wanted in (("gateways", config.gateways), ("enrolment", config.enrolment)):
        listener = _listener(key, wanted)
        stack.callback(listener.close)
        found.append(listener)
    return found[0], found[1]


def _listener(key: str, wanted: Listen) -> socket.socket:
    try:
        return listening(wanted.host, wanted.port)
    except OSError as error:
        raise ConfigurationError(
            f"{key}: expected a free address, found {wanted.host} port {wanted.port}: "
            f"{error.strerror or error}"
        ) from None


def _clocks(config: SiteConfig) -> Clocks:
    trusted = config.clock is ClockSource.TRUSTED
    return Clocks(clock.now, time.monotonic, _trusted if trusted else clock.quality)


def _trusted() -> ClockQuality:
    return ClockQuality(synchronised=True, error_max_us=clock.quality().error_max_us)
