"""The way up of one attempt: download, smoke, shadow, permit, activation, trial.

Each step does what the present state asks for and ends; the agent looks again after it.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Protocol

from edge_core.admission.model import Admission
from edge_core.contracts.artefact import Digest
from edge_core.contracts.errors import (
    EdgeError,
    NotFoundError,
    NotPermittedError,
    RefusedError,
    TryAgainError,
)
from edge_core.contracts.gateway import (
    Assignment,
    PermitReply,
    PermitRequest,
    PullReply,
    PullRequest,
    UpdateState,
)
from edge_core.oci.source import Meter, Source
from edge_runtime.errors import AssignmentRefusedError, DownloadDeferredError
from edge_runtime.lineup import Lineup
from edge_runtime.update import events
from edge_runtime.update.keeper import RecordKeeper
from edge_runtime.update.loader import NICE_COMMITTED, NICE_SHADOW
from edge_runtime.update.machine import trial_policy
from edge_runtime.update.meter import SiteMeter
from edge_runtime.update.record import Attempt, Entry, Progress
from edge_runtime.update.trial import PASSED, Standing, Tally, Verdict, judge, judge_shadow
from edge_runtime.wake import Wake

COMING = frozenset({UpdateState.ASSIGNED, UpdateState.DOWNLOADING})
BARRED = "download"
BARRED_DO = (
    "expected to be let in: see that the inventory has this gateway and that its certificate is "
    "good (edge-gateway doctor); the download waits"
)


class Site(Protocol):
    """What an attempt asks of the site proxy."""

    async def permit(self, request: PermitRequest) -> PermitReply:
        """May I activate?"""
        ...

    async def pull(self, request: PullRequest) -> PullReply:
        """May I download, and how much?"""
        ...

    def source(self, repository: str, meter: Meter | None = None) -> Source:
        """Where releases come from; *meter*, if there is one, gives out the bytes of blobs."""
        ...


class Shelf(Protocol):
    """Where releases come to lie, verified."""

    async def fetch(self, source: Source, assignment: Assignment, kept: Iterable[Entry]) -> Entry:
        """Bring a release here and prove it from disk; what no kept entry needs makes room."""
        ...

    def collect(self, kept: Iterable[Entry]) -> int:
        """Remove what no kept entry needs; blocks.

        Raises:
            TryAgainError: the disk does not take that.
        """
        ...

    def verify(self, entry: Entry) -> None:
        """Read every byte of an entry back from disk; blocks.

        Raises:
            RefusedError: the disk gives other bytes back, or none.
            NotFoundError: bytes are gone.
            TryAgainError: they cannot be looked at now.
        """
        ...


class Smokes(Protocol):
    """Tries a release beside whatever runs."""

    async def smoke(self, entry: Entry) -> Admission:
        """Admit it and run its smoke vectors in a limited child."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the agent looks, and how it retries; a trial's own times come with the plan.

    `keep_s` is how often a trial's progress is written: so much of it a power cut may cost.
    `barred_s` is how long a download waits that was not let in: a person has to act first.
    `answer_s` is how long a person at the gateway waits to hear whether an order is on the disk.
    """

    look_s: float = 0.25
    retry_s: float = 2.0
    retry_s_max: float = 60.0
    keep_s: float = 15.0
    barred_s: float = 600.0
    answer_s: float = 8.0


@dataclass(frozen=True, slots=True)
class Means:
    """What the steps work with."""

    shelf: Shelf
    loader: Smokes
    lineup: Lineup
    site: Site
    monotonic: Callable[[], float]
    pace: Pace = Pace()


@dataclass(slots=True)
class _Watch:
    """One candidate as it has been tried in this run of the daemon."""

    digest: Digest
    since_s: float
    restarts: int
    tally: Tally
    kept_s: float


class Ascent:
    """Takes the present attempt one step further."""

    def __init__(self, keeper: RecordKeeper, means: Means, wake: Wake) -> None:
        self._keeper = keeper
        self._means = means
        self._wake = wake
        self._watch: _Watch | None = None
        self._failures = 0
        self._sound: Digest | None = None  # committed, as read back in this run for this attempt

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
        if attempt is None or attempt.state not in {UpdateState.ACTIVATING, UpdateState.TRIAL}:
            self._watch = None
        if attempt is None or attempt.state not in COMING:
            self._keeper.mend(BARRED)
        if attempt is None or attempt.state not in steps:
            return False
        await steps[attempt.state](attempt)
        return True

    async def end(self) -> None:
        """Keep how far a trial has come; the daemon is about to end.

        Raises:
            StoreError: the disk does not take it.
        """
        watch, attempt = self._watch, self._keeper.record.attempt
        in_trial = self._keeper.state is UpdateState.TRIAL
        if watch is None or attempt is None or not in_trial or watch.digest != attempt.digest:
            return
        await self._keeper.save(events.Tried(self._progress(watch)))

    async def back_off(self) -> None:
        """Wait longer with every failure in a row."""
        self._failures += 1
        pace = self._means.pace
        await self._pause(min(pace.retry_s * 2 ** min(self._failures - 1, 10), pace.retry_s_max))

    async def _pause(self, wait_s: float) -> None:
        spread = 1.0 - 0.4 * random.random()  # noqa: S311 - no secret: a fleet out of step
        await self._wake.sleep(wait_s * spread)

    async def _download(self, attempt: Attempt) -> None:
        desired = self._keeper.record.desired
        if desired is None:
            await self._wake.sleep(self._means.pace.look_s)
            return
        await self._keeper.save(events.DownloadStarted())
        record = self._keeper.record
        await self._keeper.save(
            events.Collected(frozenset(record.entries) - record.slots.referenced)
        )
        source = self._means.site.source(desired.repository, self._meter(attempt.assignment))
        kept = list(self._keeper.record.entries.values())
        try:
            entry = await self._wake.unless_woken(
                self._means.shelf.fetch(source, attempt.assignment, kept)
            )
        except AssignmentRefusedError as error:
            await self._refuse(error.veto, error)
        except (RefusedError, NotFoundError) as error:
            await self._refuse("verification", error)
        except DownloadDeferredError as error:
            self._failures = 0
            self._keeper.tell("download.deferred", digest=attempt.digest, reason=str(error))
            await self._wake.sleep(max(self._means.pace.look_s, error.retry_after_s))
        except NotPermittedError as error:
            self._failures = 0
            self._keeper.fault(BARRED, f"{error}; {BARRED_DO}")
            await self._pause(self._means.pace.barred_s)
        except EdgeError as error:
            self._keeper.mend(BARRED)
            self._keeper.tell("download.interrupted", digest=attempt.digest, reason=str(error))
            await self.back_off()
        else:
            if entry is not None:
                self._failures = 0
                await self._keeper.save(events.Verified(entry))

    def _meter(self, assignment: Assignment) -> Meter | None:
        if not assignment.metered:
            return None
        return SiteMeter(self._means.site.pull, assignment, self._means.monotonic, asyncio.sleep)

    async def _smoke(self, attempt: Attempt) -> None:
        entry = self._keeper.record.entries[attempt.digest]
        try:
            evidence = await self._wake.unless_woken(self._means.loader.smoke(entry))
        except (RefusedError, NotFoundError) as error:
            await self._refuse("smoke", error, bars=True)
        except EdgeError as error:
            self._keeper.tell("smoke.interrupted", digest=attempt.digest, reason=str(error))
            await self.back_off()
        else:
            if evidence is not None:
                self._failures, self._sound = 0, None
                self._keeper.tell(
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
            await self._keeper.save(events.Refused(standing.veto, standing.reason, bars=True))
        elif standing.verdict is Verdict.GOING_ON or not attempt.assignment.activate:
            await self._wake.sleep(self._means.pace.look_s)
        elif await self._way_back():
            await self._ask(attempt)

    async def _way_back(self) -> bool:
        """Whether what a failed trial returns to is still whole on the disk; read once a run."""
        record = self._keeper.record
        entry = record.entries.get(record.slots.committed or "")
        if entry is None or record.fail_safe or self._sound == entry.digest:
            return True
        try:
            await asyncio.to_thread(self._means.shelf.verify, entry)
        except TryAgainError as error:
            self._keeper.tell("way_back.unseen", digest=entry.digest, reason=str(error))
            await self.back_off()
            return False
        except EdgeError as error:
            # What runs from memory goes on running; only nothing is put in its place.
            self._keeper.fault("integrity", f"{entry.release.version}: {error}")
            await self._refuse("rollback_target", error)
            return False
        self._sound = entry.digest
        return True

    async def _shadow(self, attempt: Attempt) -> Standing:
        pairs_min, self._keeper.unpaired = attempt.assignment.shadow_pairs_min, None
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
        if route.unlike:
            self._keeper.unpaired = attempt.key
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
            self._keeper.tell("permit.unanswered", digest=attempt.digest, reason=str(error))
            self._keeper.note(events.PermitDenied())
            await self.back_off()
            return
        self._failures = 0
        if reply is not None and reply.granted and monotonic() - asked_s < reply.valid_s:
            self._keeper.tell("permit.granted", digest=attempt.digest, epoch=reply.epoch)
            await self._keeper.save(events.PermitGranted(reply.epoch), shown_at_once=True)
            return
        self._keeper.note(events.PermitDenied())
        if reply is not None:
            self._keeper.tell("permit.deferred", digest=attempt.digest, reason=reply.reason)
            await self._wake.sleep(max(pace.look_s, reply.retry_after_s))

    async def _activate(self, attempt: Attempt) -> None:
        """Load the candidate; the activation or the restart that led here has paid for it once."""
        lineup, digest = self._means.lineup, attempt.digest
        watch = self._watch
        if watch is not None and watch.digest == digest and not lineup.has(digest):
            await self._fail("crash", lineup.loss(digest) or "its process is gone")
            return
        try:
            if lineup.has(digest):
                await lineup.promote(digest, NICE_COMMITTED)
            else:
                await lineup.ensure(self._keeper.record.entries[digest], nice=NICE_COMMITTED)
        except EdgeError as error:
            await self._fail("load", str(error))
            return
        self._begin(attempt)
        await self._keeper.save(events.Loaded(digest))

    def _begin(self, attempt: Attempt) -> _Watch:
        now_s, restarts = self._means.monotonic(), self._means.lineup.restarts(attempt.digest)
        tally = Tally(attempt.progress)
        self._watch = _Watch(attempt.digest, now_s, restarts, tally, now_s)
        return self._watch

    async def _try(self, attempt: Attempt) -> None:
        lineup, digest = self._means.lineup, attempt.digest
        watch = self._watch
        if watch is None or watch.digest != digest:
            watch = self._begin(attempt)
        ended = not lineup.has(digest) or lineup.restarts(digest) > watch.restarts
        loss = (lineup.loss(digest) or "its process is gone") if ended else ""
        progress = self._progress(watch)
        standing = judge(
            trial_policy(self._keeper.record), progress, loss or lineup.route.exposure.lost
        )
        if standing.verdict is Verdict.PASSED:
            await self._keeper.save(events.TrialPassed())
        elif standing.verdict is Verdict.FAILED:
            await self._fail(standing.veto, standing.reason)
        else:
            await self._keep(watch, progress)
            await self._wake.sleep(self._means.pace.look_s)

    def _progress(self, watch: _Watch) -> Progress:
        elapsed_s = self._means.monotonic() - watch.since_s
        route = self._means.lineup.route
        decides = route.effective is not None and route.effective.digest == watch.digest
        # Off the record's disk the committed model decides again, and those windows are its own.
        return watch.tally.add(route.exposure, elapsed_s) if decides else watch.tally.at(elapsed_s)

    async def _keep(self, watch: _Watch, progress: Progress) -> None:
        now_s = self._means.monotonic()
        if now_s - watch.kept_s >= self._means.pace.keep_s:
            watch.kept_s = now_s
            await self._keeper.save(events.Tried(progress))

    async def _fail(self, veto: str, reason: str) -> None:
        await self._keeper.save(events.TrialFailed(veto, reason))

    async def _refuse(self, veto: str, error: EdgeError, *, bars: bool = False) -> None:
        await self._keeper.save(events.Refused(veto, str(error), bars=bars))
