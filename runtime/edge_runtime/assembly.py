"""Puts the parts of one gateway together; starts nothing."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_core.clock import quality as clock_quality
from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.gateway import StatusReport
from edge_core.oci.store import BlobStore
from edge_core.trust.policy import Trust
from edge_runtime.charts import ChartFile, ChartKeeper
from edge_runtime.config import Config
from edge_runtime.device import Device
from edge_runtime.document import KeptDocument
from edge_runtime.drift import DriftWatch
from edge_runtime.errors import StoreError
from edge_runtime.folders import Folders
from edge_runtime.frames.newest import Newest
from edge_runtime.frames.off_time import off_time
from edge_runtime.frames.windows import PictureStream
from edge_runtime.health import HealthSums
from edge_runtime.heartbeat import Heart, Looks
from edge_runtime.identity import IdentityFolder
from edge_runtime.inference.engine import open_engine
from edge_runtime.inplace import InPlaceFile
from edge_runtime.instruments import InstrumentWatch
from edge_runtime.ledger import Ledger
from edge_runtime.line import LineWatch
from edge_runtime.line_config import LineConfig
from edge_runtime.lineup import Lineup
from edge_runtime.link import SiteLink
from edge_runtime.live import LiveFeed
from edge_runtime.outbox import Outbox, open_outbox
from edge_runtime.pipeline import Pipeline
from edge_runtime.review import ReviewRouter
from edge_runtime.scoring import Scorer
from edge_runtime.sealed import Sealed, SheddingOutbox, SheddingSpool, beyond
from edge_runtime.series import resource
from edge_runtime.setup import setup_of
from edge_runtime.sinks.fanout import Fanout
from edge_runtime.sinks.make import outlets
from edge_runtime.sinks.mqtt import still_to_say
from edge_runtime.sinks.port import Sink
from edge_runtime.sitelog import SiteLog
from edge_runtime.sources.factory import SourceMeans, make
from edge_runtime.sources.sample import Source
from edge_runtime.spool import HealthSpool, open_spool
from edge_runtime.startup import cause_of, kernel_boot, made, tidied, watchdog_bit
from edge_runtime.telemetry import Levels, Meters
from edge_runtime.traces import Clocks, Traces
from edge_runtime.unsaid import Unsaid
from edge_runtime.update.agent import Agent
from edge_runtime.update.ascent import Means, Pace
from edge_runtime.update.fetch import Shelf
from edge_runtime.update.keeper import RecordKeeper, begin, begin_sealed
from edge_runtime.update.loader import Loader
from edge_runtime.update.recorder import FlightRecorder
from edge_runtime.update.store import RecordStore, SealedStore
from edge_runtime.watchers import Review, Watchers
from edge_runtime.wear import WearBudget
from edge_runtime.windows import WindowStream
from edge_runtime.witness import WITNESS, Witness

REVIEW_BUDGET = 20  # until the site has said otherwise
HEALTH_WINDOW_S = 300.0  # likewise


@dataclass(frozen=True, slots=True)
class Mail:
    """Everything that goes to the site by itself, and what it may cost."""

    outbox: Outbox
    spool: HealthSpool
    site_log: SiteLog
    wear: WearBudget


@dataclass(frozen=True, slots=True)
class Cutting:
    """Where windows come from, and what numbers them."""

    stream: WindowStream
    ledger: Ledger
    frames: Newest


@dataclass(frozen=True, slots=True)
class Gateway:
    """All parts of one gateway, ready to run."""

    config: Config
    folders: Folders
    agent: Agent
    link: SiteLink
    witness: Witness
    heart: Heart
    spool: HealthSpool
    outbox: Outbox
    shelf: Shelf
    pipeline: Pipeline
    frames: Newest
    scorer: Scorer
    stream: WindowStream
    watchers: Watchers
    site_log: SiteLog
    wear: WearBudget
    sources: list[tuple[str, Source]]
    fanout: Fanout
    in_place: tuple[InPlaceFile, ...]

    @property
    def health_window_s(self) -> float:
        """How long a health window is, as the site wants it."""
        desired = self.agent.record.desired
        return HEALTH_WINDOW_S if desired is None else desired.health_window_s

    def status(self) -> StatusReport:
        """How it is, as a heartbeat would say."""
        return self.heart.report()

    def now(self) -> datetime:
        """The wall clock."""
        return utc_now()


def utc_now() -> datetime:
    """The wall clock, which decides nothing."""
    return datetime.now(UTC)


def _prepared(data: Path, sealed: Sealed | None) -> Folders:
    """The folders, those made that must be there, without what a killed run left.

    Raises:
        StoreError: the disk does not take one.
    """
    folders = Folders(data, None if sealed is None else sealed.scratch)
    for folder in (folders.record, folders.store) if sealed is None else (folders.flight.parent,):
        try:
            made(folder)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be made: {error.strerror}") from error
    for folder in (folders.data, folders.record) if sealed is None else ():
        tidied(folder)
    return folders


@asynccontextmanager
async def assemble(
    config: Config,
    sinks: Sequence[Sink] = (),
    site_log: SiteLog | None = None,
    sealed: Sealed | None = None,
) -> AsyncIterator[Gateway]:
    """The gateway that *config* describes; the caller alone uses its data folder.

    Args:
        config: what it is and where things are.
        sinks: take every verdict, beside those that are configured.
        site_log: collects the warnings that go to the site.
        sealed: that the data folder takes nothing, and what is used instead.

    Raises:
        ConfigurationError: a file that is named cannot be used, or a folder that takes nothing
            holds no record.
        StoreError: the record cannot be read or written, or a folder not be made.
        JournalReadOnlyError: a journal cannot be written.
        JournalUnreadableError: or not be read.
    """
    folders = _prepared(config.data, sealed)
    trust = Trust.load(config.trust_policy)
    async with AsyncExitStack() as stack:
        recorder = FlightRecorder(folders.flight, utc_now)
        keeper = RecordKeeper(_record_in(folders.record, sealed), time.monotonic, recorder)
        if sealed is None:
            await _begin(keeper)
        else:
            begin_sealed(keeper, sealed.words)
        epoch = keeper.record.boot_epoch
        outbox = await stack.enter_async_context(
            open_outbox(
                (folders.outbox, folders.review),
                config.serial,
                epoch,
                config.disk.outbox_bytes_max,
                time.time_ns,
                kind=Outbox if sealed is None else SheddingOutbox,
            )
        )
        ledger = stack.enter_context(Ledger(folders.written / "windows"))
        stream = WindowStream(
            config.tags,
            ledger,
            lateness_s=config.lateness_s,
            monotonic=time.monotonic,
            unix_ns=time.time_ns,
        )
        book = stack.enter_context(KeptDocument(folders.written / "health.open"))
        health = HealthSums(epoch, utc_now, book)
        spool = await stack.enter_async_context(
            open_spool(
                folders.health,
                config.serial,
                time.time_ns,
                kind=HealthSpool if sealed is None else SheddingSpool,
            )
        )
        store = BlobStore(folders.store)
        shelf = Shelf(
            store=store,
            trust=trust,
            stage=config.stage,
            safety_class=config.safety_class,
            targets=config.targets_parsed,
            reserve_bytes=config.disk.reserve_bytes,
        )
        identity = IdentityFolder(folders.identity, config.serial)
        witness = Witness(folders.written / WITNESS, keeper, time.monotonic)
        link = SiteLink(config.proxy, identity, utc_now, witness, keeper)
        scorer = Scorer(config.serial, epoch, time.monotonic)
        # Its processes come last: a start that fails before has none to end.
        engine = await stack.enter_async_context(open_engine(config.inference.engine))
        loader = Loader(engine, store, config.units, config.inference)
        lineup = Lineup(loader, scorer)
        pace = Pace(look_s=min(0.25, config.proxy.heartbeat_s / 2))
        agent = Agent(keeper, Means(shelf, loader, lineup, link, time.monotonic, pace))
        told = site_log or SiteLog()
        told.a_minute = config.telemetry.logs_a_minute
        wear = WearBudget(config.disk.outbox_bytes_a_day, time.monotonic())
        mail = Mail(outbox, spool, told, wear)
        frames = Newest(
            time.monotonic,
            lambda source_ns: off_time(
                source_ns,
                time.time_ns(),
                stream.now_ns(),
                trusted=clock_quality().synchronised,
            ),
        )
        kept = ChartFile(folders.written / "charts")
        cutting = Cutting(stream, ledger, frames)
        watchers = _watchers(config, agent, cutting, mail, health, kept)
        scorer.heard = watchers.second
        unsaid = stack.enter_context(Unsaid(folders.written / "unsaid"))
        fanout = Fanout(
            outlets(config, unsaid, agent.keeper, utc_now),
            (config.serial, epoch),
            lambda: None if (model := scorer.route.effective) is None else model.signature,
            (time.monotonic, utc_now),
            config.sinks.heartbeat_s,
        )
        looks = Looks(
            running=lambda: agent.running,
            windows=lambda: ledger.counts,
            clock=clock_quality,
            outbox_waiting=lambda: outbox.waiting,
            disk_free_bytes=shelf.free_bytes,
            drift=watchers.drift.notices,
            now=utc_now,
        )
        heart = Heart(config.serial, config.targets, agent, spool, looks, config.proxy.heartbeat_s)
        heart.works_with(setup_of(config))
        if sealed is not None:
            # Neither may be taken for what an earlier start said, nor a later one for either.
            ledger.skip_to(beyond())
            heart.count_from(beyond())
        means = SourceMeans(stream.take, time.monotonic, time.time_ns, frames, engine.starter)
        pictures = PictureStream(
            frames, ledger, len(config.tags), monotonic=time.monotonic, unix_ns=time.time_ns
        )
        yield Gateway(
            config=config,
            folders=folders,
            agent=agent,
            link=link,
            witness=witness,
            heart=heart,
            spool=spool,
            outbox=outbox,
            shelf=shelf,
            pipeline=Pipeline(
                stream, scorer, ledger, [*sinks, fanout], watchers, still_to_say(unsaid), pictures
            ),
            frames=frames,
            scorer=scorer,
            stream=stream,
            watchers=watchers,
            site_log=told,
            wear=wear,
            sources=make(config, means),
            fanout=fanout,
            in_place=(ledger.file, book.file, unsaid.file),
        )
        await agent.end()  # not reached when the daemon dies of something


def _record_in(folder: Path, sealed: Sealed | None) -> RecordStore | SealedStore:
    """The record, from *folder* as it is if that takes nothing.

    Raises:
        ConfigurationError: there is none, and none can be made.
        StoreError: it cannot be read.
    """
    found = RecordStore(folder)
    if sealed is None:
        return found
    if found.record.sequence == 0:
        raise ConfigurationError(
            f"data {sealed.data}: expected a folder we can write: {sealed.refusal}"
        )
    return SealedStore(found, sealed.words)


async def _begin(keeper: RecordKeeper) -> None:
    """See `begin`."""
    boot, last = kernel_boot(), keeper.record
    cause = cause_of(last.kernel_boot, boot, stopped=last.stopped, bitten=watchdog_bit())
    await begin(keeper, cause, boot)


def _watchers(
    config: Config,
    agent: Agent,
    cutting: Cutting,
    mail: Mail,
    health: HealthSums,
    kept: ChartFile,
) -> Watchers:
    stream = cutting.stream
    drift = DriftWatch(kept.load())

    named = resource(config.serial, config.site)
    clocks = Clocks(time.monotonic, time.time_ns)
    epoch = agent.record.boot_epoch
    traces = Traces(config.serial, epoch, named, config.telemetry.traced_share, clocks)
    device = Device(config.data)

    def levels() -> Levels:
        return Levels(
            samples_received=stream.counts.received,
            samples_gaps=stream.counts.gaps,
            window_last=cutting.ledger.emitted,
            outbox_waiting=mail.outbox.waiting,
            outbox_written=mail.outbox.written,
            outbox_shed={signal.value: count for signal, count in mail.outbox.shed.items()},
            wear_budget_used=mail.wear.used(time.monotonic()),
            logs_suppressed=mail.site_log.suppressed,
            spans_dropped=traces.dropped,
            health_dropped=mail.spool.dropped,
            drift_height=drift.height,
            pictures=dict(cutting.frames.tallies),
            box=device.read(),
        )

    def budget() -> int:
        desired = agent.record.desired
        return REVIEW_BUDGET if desired is None else desired.review_budget

    router = ReviewRouter(config.review, config.serial, epoch)
    columns: dict[str | None, int] = {tag.role: at for at, tag in enumerate(config.tags)}
    return Watchers(
        health=health,
        drift=drift,
        charts=ChartKeeper(kept, drift.checkpoint),
        meters=Meters(config.serial, named, levels),
        review=Review(router, stream, config.units, budget, time.monotonic),
        live=LiveFeed(
            stream.roles, config.units, stream.latest, stream.now_ns, cutting.frames.shown
        ),
        line=_line(config.line, columns),
        traces=traces,
        instruments=InstrumentWatch(agent.keeper, time.monotonic),
    )


def _line(settings: LineConfig, columns: dict[str | None, int]) -> LineWatch:
    codes = {code: label for label, code in settings.codes.items()}
    return LineWatch(columns.get(settings.kpi), columns.get(settings.operator), codes)
