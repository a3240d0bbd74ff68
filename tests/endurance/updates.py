"""A prepared gateway, runs of its update that are cut at a step, and what holds after a cut."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import msgspec

from edge_core.contracts.artefact import Digest, ReleaseRef
from edge_core.contracts.gateway import Assignment, Desired, RollbackOrder
from edge_runtime.lineup import Loads
from edge_runtime.update.record import Record
from edge_runtime.update.recorder import read
from edge_runtime.update.references import Cause, Slots
from edge_runtime.update.store import RecordStore
from tests.endurance.update_run import QUICK, Gateway, Request, encoded, live, shelf_at
from tests.simulators.releases import Workshop

STEPS: Final = (
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
)
STEPS_MAX: Final = 400  # of one kind; far above those of one update
UNFINISHED: Final = (
    ".adding-*",
    "*.part",
    "reservation",
    ".*.new",
)  # what a step leaves half-done


@dataclass(frozen=True, slots=True)
class Story:
    """What is wanted of the prepared gateway, and how it must end.

    Attributes:
        name: for people.
        wanted: by the site.
        ends: the committed version when everything is over.
        may_run: what may ever be committed on the way.
        errs: the release that fails on every window.
        new: whether the gateway has never run anything.
    """

    name: str
    wanted: Desired
    ends: Digest
    may_run: frozenset[Digest | None]
    errs: str = ""
    new: bool = False


@dataclass(slots=True)
class Stage:
    """Four releases in a layout, a gateway that has run the first three, and a new one."""

    folder: Path
    releases: dict[str, ReleaseRef] = field(default_factory=dict)

    @property
    def prepared(self) -> Path:
        """The gateway's folder as it is before the update."""
        return self.folder / "prepared"

    def request(self, data: Path, wanted: Desired | None, **more: object) -> Request:
        """A run of the gateway at *data*."""
        usual = {
            "layout": str(self.folder / "workshop" / "layout"),
            "policy": str(self.folder / "trust-policy.toml"),
            "go": str(self.folder / "go"),
        }
        return msgspec.convert(
            {"data": str(data), "wanted": msgspec.to_builtins(wanted), **usual, **more}, Request
        )

    async def prepare(self) -> Self:
        """Make the releases, and let the gateway commit the first three, one after the other."""
        workshop = Workshop.below(self.folder / "workshop")
        (self.folder / "trust-policy.toml").write_text(workshop.policy())
        (self.prepared / "record").mkdir(parents=True)
        for number, version in enumerate(("1", "2", "3", "4"), 1):
            self.releases[version] = workshop.release(version, leak=number / 10)
        for generation, version in enumerate(("1", "2", "3"), 1):
            wanted = self.assigned(version, generation)
            await live(self.request(self.prepared, wanted), lambda each: each.ended(wanted))  # noqa: B023 - ends in this turn
        slots = self.record(self.prepared).slots
        assert slots == Slots(
            golden=self.digest("1"), previous_good=self.digest("2"), committed=self.digest("3")
        )
        return self

    def copied(self, data: Path, story: Story) -> Path:
        """The gateway as it is before *story*, at *data*, all of it on the medium."""
        if story.new:
            (data / "record").mkdir(parents=True)
        else:
            shutil.copytree(self.prepared, data)
        subprocess.run(["sync", "--file-system", data], check=True)
        return data

    def digest(self, version: str) -> Digest:
        """Of the release by that name."""
        return self.releases[version].digest

    def assigned(self, version: str, generation: int = 9) -> Desired:
        """Run that release."""
        assignment = Assignment(
            release=self.releases[version], attempt=1, rollout="r", activate=True, trial=QUICK
        )
        return _desired(generation, assignment=assignment)

    def stories(self) -> dict[str, Story]:
        """A good release, a bad one, an order to leave what runs, and a gateway's first."""
        two, three, four = (self.digest(version) for version in "234")
        order = RollbackOrder(from_digest=three, epoch=1, reason="a person said so")
        return {
            "good": Story("good", self.assigned("4"), four, frozenset({three, four})),
            "bad": Story("bad", self.assigned("4"), three, frozenset({three}), errs=four),
            "first": Story("first", self.assigned("4"), four, frozenset({None, four}), new=True),
            "ordered": Story("ordered", _desired(9, rollback=order), two, frozenset({three, two})),
        }

    def record(self, data: Path) -> Record:
        """As it lies on the disk."""
        return RecordStore(data / "record").record

    def judge_disk(self, data: Path, story: Story) -> Record:
        """What must hold on the disk at any instant, before anything is started."""
        now = self.record(data)
        slots = now.slots
        shelf = shelf_at(data, self.folder / "trust-policy.toml")
        assert slots.committed in story.may_run
        for digest in slots.referenced:  # S1 and S3: every byte of all of them is right
            shelf.verify(now.entries[digest])
        lines = [line["event"] for line in read(data / "record" / "flight.log")]
        assert lines or story.new, "the flight recorder is empty"
        return now

    async def recover(self, data: Path, story: Story, loads: Loads, cause: Cause) -> None:
        """Start the gateway after the cut, first without a site and then with one; judge both.

        In the end nothing lies in its folder that has no final name.
        """
        self.judge_disk(data, story)
        alone = self.request(data, None, cause=cause.value, errs=story.errs)
        first = await live(alone, lambda each: each.rests, loads)
        self._judge_running(first, story)
        again = self.request(data, story.wanted, cause=Cause.ORDERLY.value, errs=story.errs)
        last = await live(
            again, lambda each: each.ended(story.wanted) and not unfinished(data), loads
        )
        self._judge_running(last, story)
        assert last.record.slots.committed == story.ends
        assert (story.errs in last.record.slots.bad) == bool(story.errs)
        self.judge_disk(data, story)

    def _judge_running(self, gateway: Gateway, story: Story) -> None:
        slots = gateway.record.slots
        assert slots.candidate is None
        assert not gateway.record.fail_safe
        assert slots.committed in story.may_run  # one of the two right ones
        assert gateway.line.decided <= {self.digest(version) for version in "234"}


def unfinished(data: Path) -> list[Path]:
    """What lies in a gateway's folder and was never given its name."""
    return [each for form in UNFINISHED for each in data.rglob(form)]


def _desired(generation: int, **more: object) -> Desired:
    usual: dict[str, object] = {
        "serial": "gw-1",
        "generation": generation,
        "epoch": 1,
        "repository": "plant",
    }
    return msgspec.convert({**usual, **msgspec.to_builtins(more)}, Desired)


class Runner:
    """Runs updates in processes of their own and cuts them with strace."""

    def __init__(self, log: Path) -> None:
        """Start the process that forks them."""
        self._log = log
        with log.open("wb") as stderr:
            self._served = subprocess.Popen(
                [sys.executable, "-m", "tests.endurance.update_run"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )

    def __enter__(self) -> Self:
        """Ready."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._served.communicate()

    def run(self, request: Request, step: str = "", number: int = 0) -> bool:
        """Run the update; true if it came to its end, false if it was killed at that step."""
        go = Path(request.go)
        go.unlink(missing_ok=True)
        pid = self._asked(request)
        tracer = None
        if step:
            tracer = subprocess.Popen(
                [
                    "strace",
                    f"--attach={pid}",
                    f"--output={os.devnull}",
                    f"--trace={step}",
                    f"--inject={step}:signal=SIGKILL:when={number}",
                ],
                stderr=subprocess.PIPE,
            )
            assert tracer.stderr is not None
            said = tracer.stderr.readline()
            assert b"attached" in said, said
        go.touch()
        status = self._answer()
        if tracer is not None:
            tracer.communicate()
        assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, self._log.read_text()[-2000:]
        return status == 0

    def cuts(
        self, stage: Stage, story: Story, folder: Path, steps: Sequence[str] = STEPS
    ) -> Iterator[tuple[str, Path, bool]]:
        """Run the update again and again, killed at one step further each time.

        Gives the kind of step, the gateway's folder, and whether the run came to its end; then the
        next kind begins.
        """
        for step in steps:
            for number in range(1, STEPS_MAX):
                # A folder for each: a thread of the run before may still be tidying its own.
                data = stage.copied(folder / f"{step}-{number}", story)
                request = stage.request(data, story.wanted, errs=story.errs)
                ended = self.run(request, step, number)
                yield step, data, ended
                shutil.rmtree(data, ignore_errors=True)
                if ended:
                    break

    def _asked(self, request: Request) -> int:
        assert self._served.stdin is not None
        self._served.stdin.write(encoded(request))
        self._served.stdin.flush()
        return self._answer()

    def _answer(self) -> int:
        assert self._served.stdout is not None
        return int(self._served.stdout.readline())
