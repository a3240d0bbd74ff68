"""A worker: one model that answers windows, whatever happens to the processes behind it.

It keeps every window until it is answered, so when a process dies the next one gets what was
open, in order, once. A window that ends a process twice is set aside with the reasons.
"""

import asyncio
from dataclasses import dataclass, field

import numpy as np
import structlog
from numpy.typing import NDArray

from edge_core.admission.errors import ModelRefusedError
from edge_runtime.inference.deadline import Deadline, Pace
from edge_runtime.inference.errors import (
    ModelFailedError,
    WindowQuarantinedError,
    WorkerBusyError,
    WorkerLostError,
)
from edge_runtime.inference.fitting import Fitting
from edge_runtime.inference.ledger import Entry, Ledger
from edge_runtime.inference.process import Origin, Process
from edge_runtime.inference.ring import DONE, Arrays, Layout
from edge_runtime.inference.spec import (
    EngineConfig,
    LoadSpec,
    Loss,
    LossKind,
    WorkerReport,
    WorkerState,
)

log = structlog.get_logger(__name__)

SPARE_PAUSE_S = 0.05  # starting one takes a core for some 20 ms

Outputs = tuple[NDArray[np.generic], ...]


@dataclass(slots=True, eq=False)
class _Window:
    inputs: Arrays
    answer: asyncio.Future[Outputs] = field(init=False)


@dataclass(slots=True)
class _Counts:
    answered: int = 0
    restarts: int = 0
    quarantined: int = 0
    busy: int = 0
    deaths_in_row: int = 0
    set_aside_in_row: int = 0
    blamed: dict[Process, Entry[_Window]] = field(default_factory=dict)


class Worker:
    """One model, loaded in a process of its own; made by `Engine.load`."""

    def __init__(
        self,
        spec: LoadSpec,
        plan: Layout,
        config: EngineConfig,
        origin: Origin,
    ) -> None:
        self.spec = spec
        self.plan = plan
        self._config = config
        self._origin = origin
        self._loop = asyncio.get_running_loop()
        self._ledger: Ledger[_Window] = Ledger(plan.slots, config.quarantine_after)
        self._counts = _Counts()
        self._fitting = Fitting(plan.inputs)
        self._nice = spec.nice
        self._careful = False  # one window at a time, after a death that nobody can be blamed for
        self._pace = Pace.of(spec)
        self._deadline = Deadline(
            lambda: self._pace.deadline_s(self._nice), self._head_for_s, self._late
        )
        self._spare_timer: asyncio.TimerHandle | None = None
        self._last_loss: Loss | None = None
        self._lost: WorkerLostError | None = None
        self._spare: Process | None = None
        self._successor: tuple[Process, asyncio.Future[None]] | None = None
        self._retired: set[Process] = set()
        self.loaded: asyncio.Future[None] = self._loop.create_future()
        self._current: Process | None = origin.begin(self, spec.nice)

    async def infer(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score one window: the first input in, the first output out.

        Cancelling abandons the answer. The array must not change until it is answered, since it
        is replayed when the process dies.

        Args:
            features: of the first input's shape, flat or not, or one row of its batch; float32.

        Raises:
            WorkerBusyError: every slot is taken.
            WindowRefusedError: *features* does not fit the signature.
            WindowQuarantinedError: this window ended the process twice.
            ModelFailedError: the model raised, or gave a value that is not finite.
            WorkerLostError: the worker is closed, or cannot be restarted.
        """
        return (await self.run((features,)))[0].astype(np.float32, copy=False)

    async def run(self, inputs: Arrays) -> Outputs:
        """As `infer`, with every input and every output in the signature's order."""
        if self._lost is not None:
            raise self._lost
        window = _Window(self._fitting.fit(inputs))
        taken = self._ledger.take(window, self._loop.time())
        if taken is None:
            self._counts.busy += 1
            slots = self.plan.slots
            raise WorkerBusyError(f"model {self.spec.digest}: all {slots} slots hold windows")
        slot, entry = taken
        # The bell first: the other process takes a while to wake up, and we go on meanwhile.
        current = self._current
        if (
            current is not None
            and current.loaded
            and not (self._careful and len(self._ledger) > 1)
        ):
            current.give(slot, entry.sequence, window.inputs)
        answer: asyncio.Future[Outputs] = self._loop.create_future()
        window.answer = answer
        self._deadline.arm()
        return await answer

    async def renice(self, nice: int) -> None:
        """Go on in a fresh process at *nice*; no window is lost or scored twice over it.

        A process may not lower its own, so a promoted trial changes processes instead.

        Raises:
            WorkerLostError: the fresh process did not come up; the old one goes on.
        """
        done: asyncio.Future[None] = self._loop.create_future()
        self._nice = nice
        self._successor = (self._origin.begin(self, nice), done)
        await done

    def report(self) -> WorkerReport:
        """How it is doing, at once and without asking the process."""
        current, counts = self._current, self._counts
        return WorkerReport(
            digest=self.spec.digest,
            state=self._state(),
            pid=(current.pid or None) if current else None,
            digests=current.greeting.digests if current else {},
            asked=tuple(self._config.providers.get(self.spec.runtime, ())),
            used=current.greeting.used if current else (),
            in_flight=len(self._ledger),
            answered=counts.answered,
            restarts=counts.restarts,
            quarantined=counts.quarantined,
            busy=counts.busy,
            last_loss=self._last_loss,
            last_us=self._pace.last_s * 1e6,
            spare_ready=self._spare is not None and self._spare.loaded,
            rss_bytes=current.resident_bytes() if current else 0,
        )

    @property
    def closed(self) -> bool:
        """Whether it is gone for good."""
        return self._lost is not None

    def _state(self) -> WorkerState:
        if self._lost is not None:
            return WorkerState.LOST
        if not self.loaded.done():
            return WorkerState.STARTING
        alive = self._current is not None and self._current.loaded
        return WorkerState.READY if alive else WorkerState.RECOVERING

    def close(self) -> None:
        """End the processes; unanswered windows get `WorkerLostError`. Never waits."""
        self._give_up(WorkerLostError(f"model {self.spec.digest}: the worker was closed"))

    def ready(self, process: Process) -> None:
        """See `Listener`."""
        log.info(
            "worker.ready",
            digest=self.spec.digest,
            pid=process.pid,
            asked=self._config.providers.get(self.spec.runtime, []),
            used=process.greeting.used,
        )
        if process is self._current:
            self._replay()
        elif self._successor is not None and process is self._successor[0]:
            self._succeed()
        if not self.loaded.done():
            self.loaded.set_result(None)
        self._want_spare()

    def refused(self, process: Process, reason: str) -> None:
        """See `Listener`."""
        self._retired.add(process)
        if not self.loaded.done():
            self.loaded.set_exception(ModelRefusedError(reason))
        self._give_up(WorkerLostError(f"model {self.spec.digest}: refused: {reason}"))

    def answered(self, process: Process, slot: int) -> None:
        """See `Listener`."""
        entry = self._ledger.holder(slot)
        # Whoever rings for a slot that holds no window may also name one that does not exist.
        sequence, taken_ns, status = (0, 0, 0) if entry is None else process.ring.header(slot)
        if entry is None or entry.sequence != sequence or status < DONE:
            process.kill(LossKind.PROTOCOL, f"answered slot {slot}, which was not asked")
            return
        self._ledger.settle(slot, self._loop.time())
        self._counts.answered += 1
        self._counts.deaths_in_row = self._counts.set_aside_in_row = 0
        self._pace.took(taken_ns / 1e9)
        answer = entry.window.answer
        if not answer.done() and status == DONE:
            answer.set_result(tuple([view.copy() for view in process.ring.outputs[slot]]))
        elif not answer.done():
            answer.set_exception(ModelFailedError(process.ring.text(slot)))
        if self._careful and process is self._current:
            self._hand(process)

    def gone(self, process: Process) -> None:
        """See `Listener`."""
        if process in self._retired or self._lost is not None:
            return
        self._counts.deaths_in_row += 1
        if process is self._spare:
            self._spare = None
        elif self._successor is not None and process is self._successor[0]:
            self._fail_successor("the fresh process ended while it loaded")
        elif process is self._current and not self.loaded.done():
            self._current = None  # whoever asked for the model hears the reason and decides
        elif process is self._current:
            self._blame(process)
            self._recover()

    def ended(self, process: Process, loss: Loss) -> None:
        """See `Listener`."""
        if process in self._retired:
            self._retired.discard(process)
            return
        self._last_loss = loss
        log.warning(
            "worker.lost", digest=self.spec.digest, pid=loss.pid, kind=loss.kind, why=loss.detail
        )
        blamed = self._counts.blamed.pop(process, None)
        if blamed is not None:
            self._explain(blamed, loss)
        if self._lost is not None and self._lost.loss is None:
            self._lost.loss = loss
        if self._lost is None and self._current is None:
            self._give_up(
                WorkerLostError(
                    f"model {self.spec.digest}: too many processes ended in a row without an "
                    f"answer, the last: {loss.kind}: {loss.detail}",
                    loss,
                )
            )
        self._want_spare()

    def _blame(self, process: Process) -> None:
        """Find the window at work, if there was one; it may be set aside for it."""
        often = self._counts.deaths_in_row > self._config.quarantine_after
        slot = self._ledger.suspect(
            process.running, lied=process.broke_protocol, often=often, alone=self._careful
        )
        entry = None if slot is None else self._ledger.holder(slot)
        if slot is None or entry is None:
            self._careful = len(self._ledger) > 0
            return
        self._counts.blamed[process] = entry
        # These deaths are explained; only a row of such windows condemns the model.
        if self._ledger.blame(slot, self._loop.time()) is not None:
            self._counts.deaths_in_row = 0
            self._counts.set_aside_in_row += 1

    def _explain(self, entry: Entry[_Window], loss: Loss) -> None:
        """Processes end in any order; a window that was set aside gets all reasons at once."""
        entry.losses.append(loss)
        if not entry.set_aside or len(entry.losses) < entry.deaths:
            return
        self._counts.quarantined += 1
        log.warning("window.quarantined", digest=self.spec.digest, sequence=entry.sequence)
        if not entry.window.answer.done():
            failed = WindowQuarantinedError(entry.sequence, tuple(entry.losses))
            entry.window.answer.set_exception(failed)

    def _recover(self) -> None:
        """Go on with the spare, or with a fresh process; what is open goes to it."""
        self._counts.restarts += 1
        self._current, self._spare = self._spare, None
        if self._current is None:
            # Without another try `ended` gives up, which knows the reason in a moment.
            if self._hopeful:
                self._current = self._origin.begin(self, self._nice)
        elif self._current.loaded:
            self._replay()

    def _replay(self) -> None:
        """Give the current process all that is open, oldest first."""
        assert self._current is not None, "called when there is one"  # noqa: S101 - ours
        self._ledger.restart_clock(self._loop.time())
        self._hand(self._current)

    def _hand(self, process: Process) -> None:
        """Give *process* what is open, oldest first; only the oldest while we are careful."""
        for slot, entry in list(self._ledger):
            if entry.window.answer.done():  # whoever asked has left
                self._ledger.settle(slot, self._loop.time())
                continue
            process.give(slot, entry.sequence, entry.window.inputs)
            if self._careful:
                break
        self._careful = self._careful and len(self._ledger) > 0
        self._deadline.arm()

    def _succeed(self) -> None:
        assert self._successor is not None, "called when there is one"  # noqa: S101 - ours
        old, spare = self._current, self._spare
        (self._current, done), self._successor = self._successor, None
        self._spare = None
        for process in (old, spare):
            if process is not None:
                self._retire(process)
        self._replay()
        if not done.done():
            done.set_result(None)

    def _fail_successor(self, why: str) -> None:
        if self._successor is not None:
            (_, done), self._successor = self._successor, None
            if not done.done():
                done.set_exception(WorkerLostError(f"model {self.spec.digest}: {why}"))

    def _retire(self, process: Process) -> None:
        self._retired.add(process)
        process.kill(LossKind.EXIT, "retired")

    @property
    def _hopeful(self) -> bool:
        """Whether it is worth another process."""
        counts = self._counts
        return max(counts.deaths_in_row, counts.set_aside_in_row) <= self._config.restarts_max

    def _want_spare(self) -> None:
        """Have another one started, a little later: what just took over has windows to answer."""
        wanted = self.spec.spare and self._nice <= 0  # a trial is over when its process ends
        if wanted and self._lost is None and self._spare_timer is None:
            self._spare_timer = self._loop.call_later(SPARE_PAUSE_S, self._begin_spare)

    def _begin_spare(self) -> None:
        self._spare_timer = None
        if (
            self._hopeful
            and self._spare is None
            and self._current is not None
            and self._current.loaded
        ):
            self._spare = self._origin.begin(self, self._nice)

    def _head_for_s(self) -> float | None:
        """How long the oldest window has been at work; None while no process is."""
        current = self._current
        if current is None or not current.loaded:
            return None
        return self._ledger.head_for_s(self._loop.time())

    def _late(self, deadline_s: float) -> None:
        if self._current is not None:
            self._current.kill(LossKind.DEADLINE, f"a window took longer than {deadline_s:g} s")

    def _give_up(self, reason: WorkerLostError) -> None:
        if self._lost is not None:
            return
        self._lost = reason
        self._deadline.cancel()
        if self._spare_timer is not None:
            self._spare_timer.cancel()
        for entry in self._ledger.clear():
            if not entry.window.answer.done():
                entry.window.answer.set_exception(reason)
        if not self.loaded.done():
            self.loaded.set_exception(reason)
        for process in (self._current, self._spare):
            if process is not None:
                self._retire(process)
        if self._successor is not None:
            self._retire(self._successor[0])
            self._fail_successor("closed")
        self._origin.close()
        for entry in self._counts.blamed.values():
            if not entry.window.answer.done():
                entry.window.answer.set_exception(reason)
