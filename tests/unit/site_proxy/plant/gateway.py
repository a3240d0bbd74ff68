"""A gateway as the site meets it: obeys the update machine, decides alone, loses what it is told.

`Behaviour` says what one model does here. Time is the test's clock; one `beat` is one heartbeat.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from edge_core.contracts.gateway import (
    BadInput,
    Desired,
    HealthWindow,
    Outcome,
    PermitRequest,
    References,
    StatusReport,
    UpdateReport,
    UpdateState,
    WindowCounts,
)
from edge_core.contracts.plant import ClockQuality
from edge_site_proxy.site import Site
from tests.unit.site_proxy.plant.clocks import HandClock

SCORED = 60  # model windows in one health window
BEAT_S = 2.0


@dataclass(frozen=True)
class Behaviour:
    """What one model does: shares of its windows."""

    disagrees: float = 0.0
    outside: float = 0.0
    fails: float = 0.0
    latency_us: int = 1500
    overridden: int = 0  # verdicts a health window
    veto: str | None = None
    hides: bool = False  # it is as it should be while it only looks on
    stalls: bool = False  # its download never ends
    unlike: bool = False  # it wants other windows than every other model


@dataclass
class Gateway:
    """One simulated gateway."""

    serial: str
    clock: HandClock
    models: dict[str, Behaviour] = field(default_factory=dict)
    committed: str | None = None
    previous_good: str | None = None
    candidate: str | None = None
    update: UpdateReport | None = None
    boot_epoch: int = 1
    sequence: int = 0
    window: int = 0
    trial_beats: int = 0
    pairs: int = 0
    etag: str = ""
    desired: Desired | None = None
    bad: set[tuple[str, int]] = field(default_factory=set)
    permits: int = 0
    deferred: list[str] = field(default_factory=list)
    safe_mode: bool = False
    generation_seen: int = 0
    config: str | None = None
    tell_inputs: bool = False
    epoch_seen: int = 0
    ahead_s: float = 0.0  # of its own clock
    stood: tuple[str, int, UpdateState] | None = None
    stood_since: float = 0.0
    swapped: str | None = None  # what somebody made the worker load by hand
    unloaded: bool = False  # its worker runs nothing just now
    orders_done: dict[str, int] = field(default_factory=dict)  # as the update machine keeps them
    bad_inputs: list[BadInput] = field(default_factory=list)  # instruments that it speaks of
    stuck: bool = False  # nothing that a rollback could return to loads here

    @property
    def wall(self) -> datetime:
        """What its own clock says."""
        return self.clock.wall + timedelta(seconds=self.ahead_s)

    @property
    def effective(self) -> str | None:
        """What decides."""
        return self.candidate if self.state is UpdateState.TRIAL else self.committed

    @property
    def state(self) -> UpdateState:
        """Of the present attempt."""
        return UpdateState.IDLE if self.update is None else self.update.state

    async def beat(self, site: Site) -> None:
        """One heartbeat, and whatever follows from its answer."""
        reply = await site.take_status(self.serial, self.report())
        self.tell_inputs = reply.tell_inputs
        if reply.desired_etag != self.etag:
            self.etag, told = await site.desired(self.serial)
            if told.generation >= self.generation_seen and told.epoch >= self.epoch_seen:
                self.desired = told
                self.generation_seen, self.epoch_seen = told.generation, told.epoch
        await self.act(site)

    async def act(self, site: Site) -> None:
        """One step of the update machine."""
        desired = self.desired
        if desired is None:
            return
        self.safe_mode = desired.safe_mode
        order = desired.rollback
        if order is not None and order.epoch > self.orders_done.get(order.from_digest, -1):
            self.orders_done[order.from_digest] = order.epoch
            if order.from_digest in {self.effective, self.candidate}:
                self.roll_back(order.from_digest, order.reason)
                return
        if self.state is UpdateState.TRIAL:
            self.go_on_trial()
            return
        if desired.assignment is None:
            return
        digest, attempt = desired.assignment.release.digest, desired.assignment.attempt
        if digest == self.committed or (digest, attempt) in self.bad:
            return
        if self.update is None or (self.update.digest, self.update.attempt) != (digest, attempt):
            self.pairs = 0
            self.say(digest, attempt, UpdateState.DOWNLOADING)
        elif self.state is UpdateState.DOWNLOADING:
            if not self.models.get(digest, Behaviour()).stalls:
                self.stage(digest, attempt)
        elif desired.assignment.activate and self.pairs >= desired.assignment.shadow_pairs_min:
            await self.ask(site, digest, attempt)

    def stage(self, digest: str, attempt: int) -> None:
        """Verified and smoked; or refused."""
        veto = self.models.get(digest, Behaviour()).veto
        if veto is None:
            self.say(digest, attempt, UpdateState.STAGED)
            return
        self.bad.add((digest, attempt))
        self.update = UpdateReport(
            digest=digest,
            attempt=attempt,
            state=UpdateState.FAILED_NO_CHANGE,
            outcome=Outcome.FAILED_NO_CHANGE,
            veto=veto,
            reason="the smoke vectors do not come out",
        )

    async def ask(self, site: Site, digest: str, attempt: int) -> None:
        """Ask for a permit; with one, begin the trial."""
        request = PermitRequest(digest=digest, attempt=attempt, boot_epoch=self.boot_epoch)
        reply = await site.permit(self.serial, request)
        if not reply.granted or reply.epoch < self.epoch_seen:
            self.deferred.append(reply.reason)
            return
        self.epoch_seen = reply.epoch
        self.permits += 1
        self.candidate, self.trial_beats = digest, 0
        self.say(digest, attempt, UpdateState.TRIAL)

    def go_on_trial(self) -> None:
        """A few beats in good health, then commit."""
        assert self.update is not None
        self.trial_beats += 1
        if self.trial_beats >= 2:
            self.previous_good, self.committed = self.committed, self.candidate
            self.candidate = None
            self.say(
                self.update.digest,
                self.update.attempt,
                UpdateState.COMMITTED,
                Outcome.SUCCEEDED,
            )

    def roll_back(self, digest: str, reason: str) -> None:
        """To the release before; needs no bytes."""
        if self.stuck:
            self.update = UpdateReport(
                digest=digest,
                attempt=1,
                state=UpdateState.ROLLBACK_FAILED,
                outcome=Outcome.FAILED_ROLLBACK,
                reason="no other verified version on this gateway",
            )
            return
        if self.candidate == digest:
            self.candidate = None
        elif self.committed == digest:
            self.committed, self.previous_good = self.previous_good, None
        attempt = 1 if self.update is None else self.update.attempt
        self.bad.add((digest, attempt))
        self.update = UpdateReport(
            digest=digest,
            attempt=attempt,
            state=UpdateState.ROLLED_BACK,
            outcome=Outcome.FAILED_ROLLED_BACK,
            reason=reason,
        )

    def kill(self) -> None:
        """SIGKILL and start again: a trial goes on, a permit is lost."""
        self.boot_epoch += 1
        self.sequence = 0
        self.window = 0

    def say(
        self, digest: str, attempt: int, state: UpdateState, outcome: Outcome = Outcome.OPEN
    ) -> None:
        """What the next report says of the attempt."""
        self.update = UpdateReport(digest=digest, attempt=attempt, state=state, outcome=outcome)

    def report(self) -> StatusReport:
        """The next heartbeat."""
        self.sequence += 1
        return StatusReport(
            serial=self.serial,
            boot_epoch=self.boot_epoch,
            sequence=self.sequence,
            software="test",
            clock=ClockQuality(synchronised=True, error_max_us=10),
            references=References(
                committed=self.committed,
                previous_good=self.previous_good,
                candidate=self.candidate,
            ),
            effective=self.effective,
            running=None if self.unloaded else self.swapped or self.effective,
            update=self._update(),
            health=self.health(),
            windows=WindowCounts(cut=self.window * SCORED, scored=self.window * SCORED),
            safe_mode=self.safe_mode,
            targets=["linux-amd64/onnxruntime/fp32/b1"],
            generation_seen=self.generation_seen,
            config=self.config,
            inputs=["flow plc:ns=2;s=P7.Flow", "torque mqtt:p7"] if self.tell_inputs else [],
            epoch_seen=self.epoch_seen,
            at=self.wall,
            bad_inputs=self.bad_inputs,
        )

    def _update(self) -> UpdateReport | None:
        """The attempt with how long it has stood so."""
        update = self.update
        if update is None:
            return None
        stood = (update.digest, update.attempt, update.state)
        if stood != self.stood:
            self.stood, self.stood_since = stood, self.clock.mono
        since_s = self.clock.mono - self.stood_since
        return msgspec.structs.replace(update, since_s=since_s, unpaired=self._waits_in_vain())

    def _waits_in_vain(self) -> bool:
        """Whether what stands by wants other windows, and pairs are asked for."""
        if self.update is None or self.state is not UpdateState.STAGED or self.desired is None:
            return False
        assignment, does = self.desired.assignment, self.models.get(self.update.digest)
        asked = assignment is not None and assignment.shadow_pairs_min > 0
        return asked and does is not None and does.unlike

    def health(self) -> list[HealthWindow]:
        """One window of what decides, and one of what runs beside it."""
        found = []
        if self.effective is not None:
            role = "trial" if self.state is UpdateState.TRIAL else "committed"
            former = self._former()
            pairs = 0 if former is None else SCORED
            found.append(self._window(self.effective, role, pairs=pairs))
            if former is not None:
                found.append(self._window(former, "shadow", pairs=pairs))
        paired = self.effective is not None and not self._waits_in_vain()
        if self.state is UpdateState.STAGED and self.update is not None and paired:
            self.pairs += SCORED
            found.append(self._window(self.update.digest, "shadow", pairs=SCORED))
        return found

    def _former(self) -> str | None:
        """What goes on beside the new model: in its trial, and then as long as the site says."""
        if self.state is UpdateState.TRIAL:
            return self.committed
        assignment = None if self.desired is None else self.desired.assignment
        asked = assignment is not None and assignment.former_beside
        same = assignment is not None and assignment.release.digest == self.committed
        return self.previous_good if asked and same else None

    def _window(self, digest: str, role: str, pairs: int) -> HealthWindow:
        self.window += 1
        does = self.models.get(digest, Behaviour())
        if does.hides and role == "shadow":
            does = Behaviour()
        errors = round(SCORED * does.fails)
        return HealthWindow(
            epoch=self.boot_epoch,
            number=self.window,
            digest=digest,
            role=role,
            started=self.wall - timedelta(seconds=BEAT_S),
            ended=self.wall,
            scored=SCORED - errors,
            errors=errors,
            out_of_domain=round(SCORED * does.outside),
            overrides=does.overridden if role != "shadow" else 0,
            shadow_pairs=pairs,
            shadow_disagreed=round(pairs * does.disagrees),
            latency_p50_us=does.latency_us // 2,
            latency_p99_us=does.latency_us,
        )
