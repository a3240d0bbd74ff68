"""The log keeps its promises on a disk that loses power, fills up, and fails.

The names in brackets are the invariants: I1 what was acknowledged to a sender is recovered, I2
byte for byte, I3 under numbers that only grow, I5 never again once a reader acknowledged it, I6
also if recovery itself is cut off, I7 with its identity remembered, I8 within the quota.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from edge_core.contracts.errors import TryAgainError
from edge_core.journal import Entry, FirstCopy, Sighting
from edge_core.journal.log import Log
from edge_core.journal.segment import Draft
from tests.simulators.files import ForgetfulFiles, PowerCutError, SimulatedFiles
from tests.unit.journal.plain import FOLDER, SMALL, draft, entry, host

FAULTS = {
    "sync": errno.EIO,
    "write": errno.ENOSPC,
    "allocate": errno.ENOSPC,
    "truncate": errno.EIO,
    "create": errno.ENOSPC,
    "unlink": errno.EIO,
    "rename": errno.ENOSPC,
}
sizes = st.lists(st.integers(min_value=0, max_value=3000), min_size=1, max_size=4)
seeds = st.integers(min_value=0, max_value=1 << 32)


def once(call: str, number: int) -> Callable[[str, Path], None]:
    """The next such call fails with this error number, and only that one."""
    left = [number]

    def fail(name: str, _path: Path) -> None:
        if name == call and left:
            raise OSError(left[0], os.strerror(left.pop()))

    return fail


def after(calls: int) -> Callable[[str, Path], None]:
    """The power goes at this many calls from now."""
    left = iter(range(calls))

    def fail(_name: str, _path: Path) -> None:
        if next(left, None) is None:
            raise PowerCutError

    return fail


class LogMachine(RuleBasedStateMachine):
    """Anything in any order, with power cuts in the middle of it."""

    make_files: Callable[[], SimulatedFiles] = SimulatedFiles

    def __init__(self) -> None:
        """Start with an empty disk."""
        super().__init__()
        self.files = self.make_files()
        self.submitted: dict[int, Entry] = {}
        self.safe: dict[int, Entry] = {}
        self.done: set[int] = set()
        self.perhaps_done: set[int] = set()
        self.last_seq = 0

    @initialize()
    def start(self) -> None:
        """Open the empty folder."""
        self.log, self.marks = Log.open(FOLDER, SMALL, host(self.files))

    def drafts(self, lengths: list[int]) -> list[Draft]:
        """New entries of these lengths."""
        made = []
        for length in lengths:
            sequence = len(self.submitted) + 1
            body = Random(sequence).randbytes(length)
            self.submitted[sequence] = entry(sequence, body)
            made.append(draft(self.submitted[sequence]))
        return made

    def commit(self, lengths: list[int]) -> None:
        """Commit, and remember what was promised."""
        drafts = self.drafts(lengths)
        first = self.log.commit(drafts, self.marks.snapshot())
        assert first > self.last_seq, "I3"
        for seq, made in enumerate(drafts, start=first):
            self.safe[seq] = made.entry
            identity = (made.entry.source, made.entry.epoch, made.entry.sequence)
            self.marks.add(*identity, FirstCopy(seq, made.body_crc32c))
        self.last_seq = first + len(drafts) - 1

    @rule(lengths=sizes)
    def append(self, lengths: list[int]) -> None:
        """Store entries, unless the log says that it cannot."""
        try:
            self.commit(lengths)
        except TryAgainError:
            assert self.log.state.value in {"full", "read-only", "healthy", "pressure"}

    @rule(call=st.sampled_from(sorted(FAULTS)), lengths=sizes)
    def fault(self, call: str, lengths: list[int]) -> None:
        """Let one call fail in the middle of a commit."""
        self.files.fail = once(call, FAULTS[call])
        self.append(lengths)
        self.files.fail = once("", 0)

    @rule(share=st.floats(min_value=0, max_value=1))
    def acknowledge(self, share: float) -> None:
        """Finish everything up to a point."""
        upto = int(share * self.log.last_seq)
        self.perhaps_done |= {seq for seq in self.safe if seq <= upto}
        self.log.acknowledge(upto)
        self.done |= {seq for seq in self.safe if seq <= upto}

    @rule(share=st.floats(min_value=0, max_value=1), call=st.sampled_from(["sync", "unlink"]))
    def acknowledge_badly(self, share: float, call: str) -> None:
        """The same, while the disk refuses to save the cursor or to take a segment away."""
        upto = int(share * self.log.last_seq)
        self.perhaps_done |= {seq for seq in self.safe if seq <= upto}
        self.files.fail = once(call, FAULTS[call])
        self.log.acknowledge(upto)
        self.files.fail = once("", 0)

    @rule(share=st.floats(min_value=0, max_value=1), length=st.integers(0, 6))
    def acknowledge_some(self, share: float, length: int) -> None:
        """Finish a stretch further on."""
        first = int(share * self.log.last_seq)
        last = min(first + length, self.log.last_seq)
        if first:
            self.perhaps_done |= {seq for seq in self.safe if first <= seq <= last}
            self.log.acknowledge(last, first)
            self.done |= {seq for seq in self.safe if first <= seq <= last}

    @rule()
    def restart(self) -> None:
        """Close in good order and open again."""
        self.log.close()
        self.start()
        self.check_marks()

    @rule(
        lengths=sizes,
        calls=st.integers(min_value=0, max_value=25),
        again=st.integers(min_value=0, max_value=40),
        seed=seeds,
    )
    def cut_power(self, lengths: list[int], calls: int, again: int, seed: int) -> None:
        """Lose power in the middle of work, and once more while recovering from that."""
        luck = Random(seed)
        self.files.fail = after(calls)
        with suppress(PowerCutError):
            self.work(lengths)
        self.files.cut_power(luck)
        self.files.fail = after(again)
        with suppress(PowerCutError):
            self.start()
        self.files.cut_power(luck)
        self.start()
        self.last_seq = max(self.last_seq, self.log.last_seq)
        self.check_marks()

    def work(self, lengths: list[int]) -> None:
        """A bit of everything, until the lights go out."""
        for _ in range(3):
            self.append(lengths)
            self.acknowledge(0.5)

    def check_marks(self) -> None:
        """Whatever was promised is recognised if it comes again (I7)."""
        for made in self.safe.values():
            seen = self.marks.seen(made.source, made.epoch, made.sequence, draft(made).body_crc32c)
            assert seen is Sighting.DUPLICATE, "I7"

    @invariant()
    def keeps_all(self) -> None:
        """What a reader finds is what was promised, and nothing that nobody wrote."""
        if not hasattr(self, "log"):
            return
        found: dict[int, Entry] = {}
        reached, last = 0, -1
        while reached != last:
            last = reached
            batch = self.log.read(reached, 4000)
            assert all(record.seq > last for record in batch.records), "I3"
            found |= {record.seq: record.entry for record in batch.records}
            reached = batch.reached
        assert found.keys() >= self.safe.keys() - self.perhaps_done, "I1"
        assert not found.keys() & self.done, "I5"
        for seq, kept in found.items():
            assert kept == self.submitted[kept.sequence], "I2"
            assert self.safe.get(seq, kept) == kept, "I2"

    @invariant()
    def keeps_bounds(self) -> None:
        """The segments never take more than they may (I8)."""
        segments = [path for path in self.files.paths() if path.suffix == ".seg"]
        sizes_now = {path.parent: 0 for path in segments}
        for path in segments:
            content = self.files.content(path)
            sizes_now[path.parent] += max(len(content.seen), content.allocated)
        assert sizes_now.get(FOLDER, 0) <= SMALL.bytes_max, "I8"


class ForgetfulMachine(LogMachine):
    """The same on a disk whose syncs do nothing."""

    make_files = ForgetfulFiles


QUICK = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_promises() -> None:
    """I1, I2, I3, I5, I6, I7 and I8 hold in whatever order things happen."""
    run_state_machine_as_test(LogMachine, settings=QUICK)


def test_promises_need_sync() -> None:
    """The same test finds the mutant that never syncs: else it would prove nothing."""
    found = settings(QUICK, phases=[Phase.generate], max_examples=300, database=None)
    with pytest.raises(AssertionError, match=r"I1|I7"):
        run_state_machine_as_test(ForgetfulMachine, settings=found)
