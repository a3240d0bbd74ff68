"""The daemon under its keeper: signals and systemd in, READY, signs of life and reloads out."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from edge_core.contracts.errors import ConfigurationError, EdgeError
from edge_core.trust.policy import Trust
from edge_runtime.assembly import Gateway
from edge_runtime.config import Config
from edge_runtime.logs import RecentLogs
from edge_runtime.named_files import changed_files, prints_of
from edge_runtime.reload import Reload, reloaded
from edge_runtime.service import Notifier, keep_alive
from edge_runtime.setup import setup_of

log = structlog.get_logger(__name__)

FAULT: Final = "configuration"


@dataclass(frozen=True, slots=True)
class Care:
    """How a daemon is watched over.

    Attributes:
        notifier: systemd, if it started us.
        reread: reads the configuration again; None where nobody can.
        hup: set by SIGHUP.
    """

    notifier: Notifier = field(default_factory=Notifier)
    reread: Callable[[], Config] | None = None
    hup: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Files:
    """What came of the files: a line for each that the old one counts of, and the new policy."""

    kept: dict[str, str]
    policy: str | None = None


class Present:
    """The configuration that a running gateway works with, part by part.

    Attributes:
        config: as it stands.
        prints: of the files that it names, as they were at the start.
    """

    def __init__(self, gateway: Gateway, logs: RecentLogs) -> None:
        self._gateway = gateway
        self._logs = logs
        self.config = gateway.config
        self.prints: dict[str, str] = {}

    def look_at_files(self) -> None:
        """Note what the files hold that the gateway has started with. Blocks."""
        self.prints = prints_of(self.config)

    def reread_files(self) -> Files:
        """Trust as the policy says now, and name every other file that has changed. Blocks."""
        kept = changed_files(self.prints, prints_of(self.config))
        shelf = self._gateway.shelf
        try:
            trust = Trust.load(self.config.trust_policy)
        except ConfigurationError as error:
            return Files(
                {**kept, "trust_policy": f"`$.trust_policy`: {error}; the old one counts"}
            )
        if trust == shelf.trust:
            return Files(kept)
        shelf.trust = trust
        return Files(kept, policy=trust.digest)

    def take(self, new: Config) -> Reload:
        """Take over what can be taken over of *new*; the rest stays as it is."""
        found = reloaded(self.config, new)
        config = self.config = found.config
        self._logs.from_level(config.log_level)
        self._gateway.heart.every(config.proxy.heartbeat_s)
        self._gateway.heart.works_with(setup_of(config))
        self._gateway.watchers.review.follow(config.review)
        if any(change.key.startswith("tags[") for change in found.applied):
            self._gateway.stream.judge_by(config.tags)
        return found


async def cared_for(gateway: Gateway, care: Care, present: Present) -> None:
    """Tell systemd how we are, and read the configuration again when told, for ever."""
    async with asyncio.TaskGroup() as group:
        group.create_task(
            keep_alive(care.notifier, lambda: gateway.pipeline.beats, lambda: _status(gateway))
        )
        group.create_task(_reload_when_told(gateway, care, present))


async def _reload_when_told(gateway: Gateway, care: Care, present: Present) -> None:
    await asyncio.to_thread(present.look_at_files)
    while True:
        await care.hup.wait()
        care.hup.clear()
        if care.reread is None:
            continue
        care.notifier.reloading(time.monotonic())
        try:
            new = await asyncio.to_thread(care.reread)
        except EdgeError as error:
            # A file that is being written, or a mistake in it: what runs goes on as it was.
            log.warning("config.refused", reason=str(error))
            gateway.agent.keeper.fault(FAULT, str(error))
        else:
            found = present.take(new)
            _tell(gateway, found, await asyncio.to_thread(present.reread_files))
        care.notifier.ready(_status(gateway))


def _tell(gateway: Gateway, found: Reload, files: Files) -> None:
    refusals = {change.key: change.refusal for change in found.refused} | files.kept
    for key, refusal in refusals.items():
        log.warning("config.kept", key=key, reason=refusal)
    if files.policy is not None:
        gateway.agent.keeper.tell("trust.reloaded", policy=files.policy)
    if refusals:
        gateway.agent.keeper.fault(FAULT, "; ".join(refusals.values()))
    else:
        gateway.agent.keeper.mend(FAULT)
    policy = [] if files.policy is None else ["trust_policy"]
    log.info(
        "config.reloaded",
        applied=[*(change.key for change in found.applied), *policy],
        kept=list(refusals),
    )


def _status(gateway: Gateway) -> str:
    """One line for `systemctl status`."""
    route = gateway.scorer.route
    runs = (
        "no model"
        if route.effective is None
        else (f"{route.effective.release.model} {route.effective.release.version} ({route.role})")
    )
    counts = gateway.stream.counts
    faults = len(gateway.agent.keeper.faults)
    return f"{runs}; {counts.received} values, {counts.gaps} gaps; {faults} faults"
