"""The way up of one attempt: download, smoke, shadow, permit, activation, trial.

Each step does what the present state asks for and ends; the agent looks again after it.
"""

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from edge_core.admission.model import Admission
from edge_core.contracts.artefact import Digest
from edge_core.contracts.errors import EdgeError, NotFoundError, RefusedError
from edge_core.contracts.gateway import Assignment, PermitReply, PermitRequest, UpdateState
from edge_core.oci.source import Source
from edge_runtime.errors import AssignmentRefusedError
from edge_runtime.lineup import Lineup
from edge_runtime.update import events
from edge_runtime.update.keeper import RecordKeeper
from edge_runtime.update.loader import NICE_COMMITTED, NICE_SHADOW
from edge_runtime.update.machine import trial_policy
from edge_runtime.update.record import Attempt, Entry
from edge_runtime.update.trial import PASSED, Standing, Verdict, judge, judge_shadow
from edge_runtime.wake import Wake

log = structlog.get_logger(__name__)

REASON_CHARS_MAX = 500


class Site(Protocol):
    """What an attempt asks of the site proxy."""

    async def permit(self, request: PermitRequest) -> PermitReply:
        """May I activate?"""
        ...

    def source(self, repository: str) -> Source:
        """Where releases come from."""
        ...


class Shelf(Protocol):
    """Where releases come to lie, verified."""

    async def fetch(self, source: Source, assignment: Assignment) -> Entry:
        """Bring a release here and prove it from disk."""
        ...

    def collect(self, kept: Iterable[Entry]) -> int:
        """Remove what no kept entry needs; blocks."""
        ...


class Smokes(Protocol):
    """Tries a release beside whatever runs."""

    async def smoke(self, entry: Entry) -> Admission:
        """Admit it and run its smoke vectors in a limited child."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the agent looks, and how it retries; a trial's own times come with the plan."""

    look_s: float = 0.25
    retry_s: float = 2.0
    retry_s_max: float = 60.0


@dataclass(frozen=True, slots=True)
class Means:
    """What the steps work with."""

    shelf: Shelf
    loader: Smokes
    lineup: Lineup
    site: Site
    monotonic: Callable[[], float]
    pace: Pace = Pace()


@dataclass(frozen=True, slots=True)
class _Watch:
    """Since when a candidate is being tried, and how often its worker had been restarted then."""

    digest: Digest
    since_s: float
    restarts: int


class Ascent:
    """Takes the present attempt one step further."""

    def __init__(self, keeper: RecordKeeper, means: Means, wake: Wake) -> None:
        self._keeper = keeper
        self._means = means
        self._wake = wake
        self._watch: _Watch | None = None
        self._failures = 0
        self.paid = False  # whether the next load of the candidate has been paid for

    async def step(self) -> bool:
        """Do what the present state asks for; false if it asks for nothing."""
        steps: dict[UpdateState, Callable[[Attempt], Coroutine[None, None, None]]] = {
            UpdateState.ASSIGNED: self._download,
            UpdateState.DOWNLOADING: self._download,
            UpdateState.VERIFIED: self._smoke,
            UpdateState.STAGED: self._stand_by,
            UpdateState.AWAITING_PERMIT: self._stand_by,
            UpdateState.ACTIVATING: self._activate,
            UpdateState.TRIAL: self._try,
        }
        attempt = self._keeper.record.attempt
        if attempt is None or attempt.state not in steps:
            return False
        await steps[attempt.state](attempt)
        if self._keeper.state is not UpdateState.ACTIVATING:
            self.paid = False
        return True

    async def back_off(self) -> None:
        """Wait longer with every failure in a row."""
        self._failures += 1
        pace = self._means.pace
        wait_s = pace.retry_s * 2 ** min(self._failures - 1, 10)
        await self._wake.sleep(min(wait_s, pace.retry_s_max))

    async def _download(self, attempt: Attempt) -> None:
        desired = self._keeper.record.desired
        if desired is None:
            await self._wake.sleep(self._means.pace.look_s)
            return
        await self._keeper.save(events.DownloadStarted())
        source = self._means.site.source(desired.repository)
        try:
            entry = await self._wake.unless_woken(
                self._means.shelf.fetch(source, attempt.assignment)
            )
        except AssignmentRefusedError as error:
            await self._refuse(error.veto, error)
        except (RefusedError, NotFoundError) as error:
            await self._refuse("verification", error)
        except EdgeError as error:
            log.warning("download.interrupted", digest=attempt.digest, reason=str(error))
            await self.back_off()
        else:
            if entry is not None:
                self._failures = 0
                await self._keeper.save(events.Verified(entry))

    async def _smoke(self, attempt: Attempt) -> None:
        entry = self._keeper.record.entries[attempt.digest]
        try:
            evidence = await self._wake.unless_woken(self._means.loader.smoke(entry))
        except (RefusedError, NotFoundError) as error:
            await self._refuse("smoke", error, bars=True)
        except EdgeError as error:
            log.warning("smoke.interrupted", digest=attempt.digest, reason=str(error))
            await self.back_off()
        else:
            if evidence is not None:
                log.info(
                    "smoke.passed",
                    digest=attempt.digest,
                    outputs=evidence.outputs_digest,
                    p99_us=round(evidence.p99_us),
                    peak_rss_bytes=evidence.peak_rss_bytes,
                )
                await self._keeper.save(events.Staged())

    async def _stand_by(self, attempt: Attempt) -> None:
        """Shadow first, then ask for a permit once the site wants the activation."""
        standing = await self._shadow(attempt)
        if standing.verdict is Verdict.FAILED:
            await self._keeper.save(
                events.Refused(standing.veto, standing.reason[:REASON_CHARS_MAX], bars=True)
            )
        elif standing.verdict is Verdict.GOING_ON or not attempt.assignment.activate:
            await self._wake.sleep(self._means.pace.look_s)
        else:
            await self._ask(attempt)

    async def _shadow(self, attempt: Attempt) -> Standing:
        pairs_min = attempt.assignment.shadow_pairs_min
        record, lineup = self._keeper.record, self._means.lineup
        committed, digest = record.slots.committed, attempt.digest
        if pairs_min == 0 or committed is None:
            return PASSED
        if not lineup.has(digest) and not lineup.loss(digest):
            try:
                await lineup.ensure(record.entries[digest], nice=NICE_SHADOW)
            except EdgeError as error:
                return Standing(Verdict.FAILED, "load", str(error))
        safe_mode = lineup.route.safe_mode
        route = lineup.decide(committed, digest, safe_mode=safe_mode)
        return judge_shadow(pairs_min, route.exposure, lineup.loss(digest))

    async def _ask(self, attempt: Attempt) -> None:
        monotonic, pace = self._means.monotonic, self._means.pace
        asked_s = monotonic()  # before the request leaves, so that our end comes first
        # No write: a permit does not survive a restart, and so the question need not.
        self._keeper.note(events.PermitAsked())
        request = PermitRequest(
            digest=attempt.digest,
            attempt=attempt.assignment.attempt,
            boot_epoch=self._keeper.record.boot_epoch,
        )
        try:
            reply = await self._wake.unless_woken(self._means.site.permit(request))
        except EdgeError as error:
            log.warning("permit.unanswered", digest=attempt.digest, reason=str(error))
            self._keeper.note(events.PermitDenied())
            await self.back_off()
            return
        self._failures = 0
        if reply is not None and reply.granted and monotonic() - asked_s < reply.valid_s:
            log.info("permit.granted", digest=attempt.digest, epoch=reply.epoch)
            await self._keeper.save(events.PermitGranted(reply.epoch))
            return
        self._keeper.note(events.PermitDenied())
        if reply is not None:
            await self._wake.sleep(max(pace.look_s, reply.retry_after_s))

    async def _activate(self, attempt: Attempt) -> None:
        lineup, digest = self._means.lineup, attempt.digest
        if not self.paid:
            await self._keeper.save(events.TryPaid())
            if self._keeper.state is not UpdateState.ACTIVATING:
                return
            self.paid = True
        try:
            if lineup.has(digest):
                await lineup.promote(digest, NICE_COMMITTED)
            else:
                await lineup.ensure(self._keeper.record.entries[digest], nice=NICE_COMMITTED)
        except EdgeError as error:
            await self._fail("load", str(error))
            return
        self._watch = _Watch(digest, self._means.monotonic(), lineup.restarts(digest))
        await self._keeper.save(events.Loaded(digest))

    async def _try(self, attempt: Attempt) -> None:
        lineup, digest = self._means.lineup, attempt.digest
        watch = self._watch
        if watch is None or watch.digest != digest:
            watch = self._watch = _Watch(digest, self._means.monotonic(), lineup.restarts(digest))
        ended = not lineup.has(digest) or lineup.restarts(digest) > watch.restarts
        standing = judge(
            trial_policy(self._keeper.record),
            lineup.route.exposure,
            self._means.monotonic() - watch.since_s,
            (lineup.loss(digest) or "its process is gone") if ended else "",
        )
        if standing.verdict is Verdict.PASSED:
            await self._keeper.save(events.TrialPassed())
        elif standing.verdict is Verdict.FAILED:
            await self._fail(standing.veto, standing.reason)
        else:
            await self._wake.sleep(self._means.pace.look_s)

    async def _fail(self, veto: str, reason: str) -> None:
        await self._keeper.save(events.TrialFailed(veto, reason[:REASON_CHARS_MAX]))

    async def _refuse(self, veto: str, error: EdgeError, *, bars: bool = False) -> None:
        await self._keeper.save(events.Refused(veto, str(error)[:REASON_CHARS_MAX], bars=bars))
