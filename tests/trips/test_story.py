"""The six trips through the whole plant: real processes, real sockets, one story played once.

The story runs in a process of its own and ends in one JSON object; each test here is a sentence
about it. What it counts, it counts at the far ends: on the broker, at the pager, upstream.
"""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edge_fixtures.demo.report import StoryTold

STORY_S = 600.0  # far beyond what it takes: a test says what is true, not how fast


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> StoryTold:
    """The story, played once."""
    root = tmp_path_factory.mktemp("plant")
    done = subprocess.run(
        [sys.executable, "-m", "edge_fixtures", "check", "--root", str(root)],
        capture_output=True,
        text=True,
        check=False,
        timeout=STORY_S,
    )
    lines = done.stdout.strip().splitlines()
    assert lines, f"the story told nothing; it said:\n{done.stderr[-4000:]}{_logs(root)}"
    story = msgspec.json.decode(lines[-1], type=StoryTold)
    assert done.returncode == (0 if story.ok else 1)
    return story


def _logs(root: Path) -> str:
    """The end of every daemon's log: where a story that broke off is explained."""
    ends = [f"\n{p.name}: {p.read_text()[-1500:]}" for p in sorted((root / "logs").glob("*.log"))]
    return "".join(ends)


def test_the_story_holds(told: StoryTold) -> None:
    """Everything that the story claims was seen."""
    assert told.faults == []


def test_artefact_trip(told: StoryTold) -> None:
    """Packed, signed, published, mirrored, verified, loaded; a tampered copy never."""
    assert told.tampered_refused
    assert told.rollouts.v1 == "completed"


def test_update_trip(told: StoryTold) -> None:
    """A better model goes everywhere, and a gateway killed in its trial commits by itself."""
    assert told.rollouts.v2 == "completed"
    assert told.killed_trial.state == "committed"
    assert told.killed_trial.recovered_s > 0


def test_sample_trip(told: StoryTold) -> None:
    """Windows are scored through swaps, kills and rollbacks; none is dropped, none doubled."""
    assert told.windows.scored > 0
    assert (told.windows.dropped, told.windows.doubled) == (0, 0)


def test_telemetry_trip(told: StoryTold) -> None:
    """What the site acknowledged while the WAN was gone arrives, once."""
    assert told.wan.cut_s > 0
    assert told.wan.acknowledged == told.wan.delivered
    assert (told.wan.lost, told.wan.doubled) == (0, 0)


def test_label_trip(told: StoryTold) -> None:
    """A strange window reaches a person, and what they said comes out of the export."""
    assert told.labels.stored >= 1


def test_command_trip(told: StoryTold) -> None:
    """A bad model is held with one page and rolled back, and the log proves who did what."""
    assert told.rollouts.v3 == "rolled_back"
    assert told.v3_gate.verdict == "fail"
    assert told.pages == 1
    assert told.audit.verified
    assert told.audit.what_ran.startswith("sha256:")
