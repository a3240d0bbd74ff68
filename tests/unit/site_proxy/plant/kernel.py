"""The simulated gateway with the product's own update kernel, on a disk that loses power.

Around the real record, its store, the update machine and the verdict over a trial there is only a
thin carrier: what the agent does in each state, without processes and without bytes. Every step
is held to the gateway's promises as it is made.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from edge_core.contracts.errors import EdgeError
from edge_core.contracts.gateway import (
    Assignment,
    Outcome,
    PermitReply,
    PermitRequest,
    StatusReport,
    UpdateReport,
    UpdateState,
)
from edge_runtime.update import events
from edge_runtime.update.events import Event
from edge_runtime.update.machine import advance, trial_policy
from edge_runtime.update.record import Attempt, Entry, Progress, Record
from edge_runtime.update.references import REFUNDS_MAX, Cause
from edge_runtime.update.store import RecordStore
from edge_runtime.update.trial import Verdict, judge
from edge_site_proxy.site import Site
from tests.simulators.disk import CuttableDisk, PowerCutError
from tests.unit.runtime.update.promises import broken_by, broken_in, restless
from tests.unit.site_proxy.plant.clocks import HandClock
from tests.unit.site_proxy.plant.gateway import SCORED, Behaviour, Gateway

FOLDER = Path("/record")


@dataclass(slots=True)
class Answer:
    """A permit on its way: when it was asked for by the gateway's own clock, and what was said."""

    asked_s: float
    reply: PermitReply


@dataclass
class KernelGateway(Gateway):
    """One gateway; `now` is its record, and the fields of `Gateway` are read off it.

    Attributes:
        rate: seconds of its monotonic clock in one of the site's.
        skew_s: how far its wall clock is off.
        swapped: what a person at the gateway put in its worker's place.
        answers: how the next permit comes: "now", "late" (at the next step) or "lost".
        granted: told of each permit at the instant it was decided.
        taken: told of each report that the site has answered.
    """

    rate: float = 1.0
    skew_s: float = 0.0
    swapped: str | None = None
    answers: str = "now"
    granted: Callable[[str], None] | None = None
    taken: Callable[[StatusReport], None] | None = None
    disk: CuttableDisk = field(default_factory=CuttableDisk)
    answer: Answer | None = None
    loads: int = 0
    tried_s: float = 0.0

    def __post_init__(self) -> None:
        """Read the disk, as at a first start."""
        self.store = RecordStore(FOLDER, self.disk)
        self.now = self.store.record
        self.begin(Cause.ORDERLY)

    def own_s(self) -> float:
        """Its monotonic clock."""
        return self.clock.mono * self.rate

    # Power.

    def cut_after(self, steps: int) -> None:
        """The power goes at the step after so many of what it next writes."""
        self.disk.cut_after = self.disk.steps + steps

    def power_returns(self, cause: Cause = Cause.POWER) -> None:
        """Start from what the medium kept."""
        was = self.now
        self.disk = self.disk.reboot()
        self.store = RecordStore(FOLDER, self.disk)
        self.now = self.store.record
        if self.now.slots.candidate != was.slots.candidate:
            self.loads = 0
        self.begin(cause)

    def kill(self) -> None:
        """SIGKILL and start again."""
        self.power_returns(Cause.PROCESS)

    def begin(self, cause: Cause) -> None:
        """One run of the daemon: nothing is remembered but the record."""
        self.answer, self.etag, self.desired, self.answers = None, "", None, "now"
        self.sequence = self.window = self.pairs = 0
        self.happen(events.Restarted(cause, "kernel"))

    # What is said and heard.

    async def beat(self, site: Site) -> None:
        """One heartbeat and what follows; a site that cannot answer is missed."""
        try:
            report = self.report()
            reply = await site.take_status(self.serial, report)
            if self.taken is not None:
                self.taken(report)
            if self.desired is None or reply.desired_etag != self.etag:
                self.etag, self.desired = await site.desired(self.serial)
        except EdgeError:
            return
        self.hear(report.update)
        await self.act(site)

    def hear(self, told: UpdateReport | None) -> None:
        """The site has heard *told*, and wants what it last said."""
        if told is not None and told.outcome is not Outcome.OPEN:
            self.happen(events.Reported((told.digest, told.attempt), told.outcome))
        if self.desired is not None:
            self.happen(events.Told(self.desired))

    def report(self) -> StatusReport:
        """How it is, as the heartbeat says it."""
        record = self.now
        leading = record.slots.effective if self.state is UpdateState.TRIAL else self.committed
        told = record.told_next
        running = None if record.fail_safe else self.swapped or leading
        return replace(
            super().report(),
            references=record.slots.shown,
            effective=None if record.fail_safe else record.slots.effective,
            running=running,
            update=None if told is None else told.report(0.0),
            epoch_seen=record.epoch_seen,
        )

    # What the agent does in each state.

    async def act(self, site: Site | None) -> None:
        """The one thing that is due; without a *site* what needs one waits."""
        attempt = self.now.attempt
        state = self.now.state
        if attempt is None:
            return
        if state is UpdateState.ASSIGNED:
            self.happen(events.DownloadStarted())
        elif state is UpdateState.DOWNLOADING:
            if site is not None:
                self.happen(events.Verified(_entry(attempt.assignment)))
        elif state is UpdateState.VERIFIED:
            self.smoke(attempt)
        elif state in {UpdateState.STAGED, UpdateState.AWAITING_PERMIT}:
            await self.stand_by(site, attempt)
        elif state is UpdateState.ACTIVATING:
            self.load(attempt)
        elif state is UpdateState.TRIAL:
            self.go_on_trial()
        elif state is UpdateState.ROLLING_BACK:
            self.happen(events.TargetRunning())
        else:
            gone = frozenset(self.now.entries) - self.now.slots.referenced
            self.happen(events.Collected(gone))

    def smoke(self, attempt: Attempt) -> None:
        """The smoke vectors come out, or they do not."""
        veto = self.does(attempt.digest).veto
        if veto is None:
            self.happen(events.Staged())
        else:
            words = "the smoke vectors do not come out"
            self.happen(events.Refused(veto, words, bars=True))

    async def stand_by(self, site: Site | None, attempt: Attempt) -> None:
        """Use a permit that has come, or ask for one once enough was seen beside the incumbent."""
        if self.answer is not None:
            self.use(self.answer)
            return
        enough = self.pairs >= attempt.assignment.shadow_pairs_min or self.committed is None
        if site is None or not attempt.assignment.activate or not enough:
            return
        self.note(events.PermitAsked())
        request = PermitRequest(
            digest=attempt.digest,
            attempt=attempt.assignment.attempt,
            boot_epoch=self.now.boot_epoch,
        )
        asked_s, how, self.answers = self.own_s(), self.answers, "now"
        try:
            reply = await site.permit(self.serial, request)
        except EdgeError:
            self.note(events.PermitDenied())
            return
        if reply.granted and self.granted is not None:
            self.granted(self.serial)
        if how == "lost":
            self.note(events.PermitDenied())
        elif how == "late":
            self.answer = Answer(asked_s, reply)
        else:
            self.use(Answer(asked_s, reply))

    def use(self, answer: Answer) -> None:
        """Act on an answer: a permit counts from our own request."""
        self.answer = None
        if answer.reply.granted and self.own_s() - answer.asked_s < answer.reply.valid_s:
            self.permits += 1
            self.happen(events.PermitGranted(answer.reply.epoch))
            return
        if not answer.reply.granted:
            self.deferred.append(answer.reply.reason)
        self.note(events.PermitDenied())

    def load(self, attempt: Attempt) -> None:
        """Load the candidate, which was paid for before."""
        slots, policy = self.now.slots, trial_policy(self.now)
        self.loads += 1
        assert self.loads <= policy.tries - slots.tries_left + slots.refunds, "S5: unpaid load"
        assert self.loads <= policy.tries + REFUNDS_MAX, "S5: too many loads"
        self.tried_s = self.own_s()
        self.happen(events.Loaded(attempt.digest))

    def go_on_trial(self) -> None:
        """More windows, and the product's own verdict over them."""
        attempt = self.now.attempt
        assert attempt is not None
        before, now_s = attempt.progress, self.own_s()
        failed = round(SCORED * self.does(attempt.digest).fails)
        progress = Progress(
            scored=before.scored + SCORED - failed,
            errors=before.errors + failed,
            elapsed_s=before.elapsed_s + max(0.0, now_s - self.tried_s),
        )
        self.tried_s = now_s
        standing = judge(trial_policy(self.now), progress, "")
        if standing.verdict is Verdict.PASSED:
            self.happen(events.TrialPassed())
        elif standing.verdict is Verdict.FAILED:
            self.happen(events.TrialFailed(standing.veto, standing.reason))
        else:
            self.happen(events.Tried(progress))

    def does(self, digest: str) -> Behaviour:
        """How a model behaves here."""
        return self.models.get(digest, Behaviour())

    # The record.

    def happen(self, event: Event) -> None:
        """Make *event* durable, then believe it, as long as the power lasts."""
        was, now = self.now, advance(self.now, event)
        if now != was:
            now = self.store.save(now)
        self.believe(event, was, now)

    def note(self, event: Event) -> None:
        """Believe an event that need not survive a restart."""
        self.believe(event, self.now, advance(self.now, event))

    def believe(self, event: Event, was: Record, now: Record) -> None:
        """Judge the step and take it; what `Gateway` shows follows the record."""
        self.now = now
        broken = [*broken_by(was, event, now), *broken_in(now)]
        stuck = restless(now)
        assert not broken, (self.serial, event, broken)
        assert stuck is None, (self.serial, event, stuck)
        if now.slots.candidate is not None and was.slots.candidate is None:
            self.loads = 0
        if now.attempt is None or was.attempt is None or now.attempt.key != was.attempt.key:
            self.pairs, self.answer = 0, None
        if now.state not in {UpdateState.STAGED, UpdateState.AWAITING_PERMIT}:
            self.answer = None
        self.committed, self.candidate = now.slots.committed, now.slots.candidate
        self.previous_good, self.boot_epoch = now.slots.previous_good, now.boot_epoch
        self.generation_seen = now.generation_seen
        self.safe_mode = now.desired is not None and now.desired.safe_mode
        self.update = None if now.attempt is None else now.attempt.report(0.0)


def _entry(assignment: Assignment) -> Entry:
    return Entry(
        release=assignment.release,
        target="linux-amd64/onnxruntime/fp32/b1",
        manifest=assignment.release.digest,
        blobs=[assignment.release.digest],
        size_bytes=10,
        signers=["key-a"],
        attempt=assignment.attempt,
    )


__all__ = ["HandClock", "KernelGateway", "PowerCutError"]
