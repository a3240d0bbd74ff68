"""Clocks of an OPC UA server and of its controllers that disagree or are set: gaps all the same.

The samples go where a gateway's go, so what counts is what a window knows of an outage.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from edge_core.contracts.artefact import Windowing
from edge_core.features.samples import usable
from edge_runtime.clock import LEAP_PATIENCE_S
from edge_runtime.config import TagConfig
from edge_runtime.ledger import Ledger
from edge_runtime.sources.opcua_continuity import Continuity
from edge_runtime.sources.sample import GapCause, SampleBatch
from edge_runtime.windows import CutWindow, WindowStream

SECOND = 1_000_000_000
HOUR_S = 3600
T0 = 1_795_305_600 * SECOND
WINDOWING = Windowing(period_s=0.5, length_rows=4, stride_rows=4, gap_rows_max=4)
ROLES = ("flow", "pressure", "valve", "level", "speed")
# Of one controller, and `speed` of another; `valve` stands still, `level` changes once.
FLOW, PRESSURE, VALVE, LEVEL, SPEED = range(5)
LIVE_S, OUTAGE_S, NOTICED_S = 60, 30, 2
LEVEL_S = 40
SETTLED_S = round(LEAP_PATIENCE_S) + 5


@dataclass
class Plant:
    """A server with its controllers, every clock apart, and a gateway's windows behind it.

    Attributes:
        second: real time.
        server_s: how far the server's clock is ahead.
        first_s: that of the first controller.
        second_s: that of the second.
    """

    ledger: Ledger
    server_s: int = 0
    first_s: int = 0
    second_s: int = 0
    second: int = 0
    status: int = 0
    known: Continuity = field(default_factory=lambda: Continuity(np.arange(5, dtype=np.int32), 5))
    told: dict[int, tuple[float, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tags = [TagConfig(role=each, unit="1", source="plc", address=each) for each in ROLES]
        self.stream = WindowStream(
            tags, self.ledger, lateness_s=0.5, monotonic=lambda: float(self.second)
        )
        self.stream.follow(WINDOWING)

    def _source_ns(self, tag: int) -> int:
        ahead_s = self.second_s if tag == SPEED else self.first_s
        return T0 + (self.second + ahead_s) * SECOND

    def _change(self) -> list[int]:
        """The values of this second, at their controllers; those tags that have a new one."""
        tags = [FLOW, SPEED] if self.second % 2 else [FLOW, PRESSURE]
        tags += [LEVEL] * (self.second == LEVEL_S)
        if not self.told:
            tags = [FLOW, PRESSURE, LEVEL, SPEED]
            self.told[VALVE] = (1.0, self._source_ns(VALVE) - HOUR_S * SECOND)
        for tag in tags:
            self.told[tag] = (float(self.second), self._source_ns(tag))
        return tags

    def _send(self, tags: list[int]) -> None:
        batch = SampleBatch(
            np.array(tags, np.int32),
            np.array([self.told[tag][0] for tag in tags]),
            np.array([self.told[tag][1] for tag in tags], np.int64),
            np.full(len(tags), self.status, np.uint32),
            float(self.second),
        )
        published_ns = T0 + (self.second + self.server_s) * SECOND
        self.stream.take(self.known.take(batch, published_ns, more=False))

    def begin(self) -> list[CutWindow]:
        """The line is new: every tag's present value comes."""
        self.known.begin()
        self._change()
        self._send([*range(5)])
        self.second += 1
        return self.stream.cut()

    def live(self, seconds: int) -> list[CutWindow]:
        """Values come every second."""
        found: list[CutWindow] = []
        for _ in range(seconds):
            self._send(self._change())
            found += self.stream.cut()
            self.second += 1
        return found

    def away(self, seconds: int) -> list[CutWindow]:
        """The plant goes on and nothing comes."""
        found: list[CutWindow] = []
        for _ in range(seconds):
            self._change()
            found += self.stream.cut()
            self.second += 1
        return found

    def notice(self) -> None:
        """The source finds that nothing comes."""
        self.stream.take(self.known.lost(GapCause.SILENCE))

    def set(self, clocks: tuple[int, int, int]) -> None:
        """Set the clocks of the server and of both controllers."""
        self.server_s, self.first_s, self.second_s = clocks


@dataclass(frozen=True)
class Clocks:
    """How far the clocks of the server and of both controllers are ahead, in seconds.

    Attributes:
        first: at first.
        before: from `for_s` before the outage on.
        within: from its middle on.
    """

    first: tuple[int, int, int] = (0, 0, 0)
    before: tuple[int, int, int] | None = None
    for_s: int = SETTLED_S
    within: tuple[int, int, int] | None = None


CLOCKS = {
    "all agree": Clocks(),
    "a controller is ahead": Clocks((0, 0, 40)),
    "a controller is so far ahead that its values are not of now": Clocks((0, 0, 70)),
    "a controller is an hour ahead": Clocks((0, 0, HOUR_S)),
    "a controller is an hour behind": Clocks((0, 0, -HOUR_S)),
    "the server alone is behind": Clocks((-HOUR_S, 0, 0)),
    "the server alone is ahead": Clocks((HOUR_S, 0, 0)),
    "all are set back an hour, long before": Clocks(before=(-HOUR_S,) * 3, for_s=200),
    "all are set back an hour, a moment before": Clocks(before=(-HOUR_S,) * 3),
    "all are set ahead an hour": Clocks(before=(HOUR_S,) * 3),
    "the server alone is set back": Clocks(before=(-HOUR_S, 0, 0)),
    "the server alone is set ahead": Clocks(before=(HOUR_S, 0, 0)),
    "the controllers alone are set back": Clocks(before=(0, -HOUR_S, -HOUR_S)),
    "a controller alone is set back": Clocks(before=(0, 0, -HOUR_S)),
    "all are set back in the outage": Clocks(within=(-HOUR_S,) * 3),
    "the server alone is set back in the outage": Clocks(within=(-HOUR_S, 0, 0)),
    "the controllers alone are set back in the outage": Clocks(within=(0, -HOUR_S, -HOUR_S)),
    "all are set ahead in the outage": Clocks(within=(HOUR_S,) * 3),
    "set back before, and again in the outage": Clocks(
        before=(-HOUR_S,) * 3, within=(-2 * HOUR_S,) * 3
    ),
}


def sees(clocks: tuple[int, int, int]) -> list[int]:
    """The tags whose controller has the plant's clock: the others lie elsewhere in time."""
    return [*range(5)] if clocks[2] == clocks[1] else [FLOW, PRESSURE, VALVE, LEVEL]


def known_tags(cut: CutWindow, tags: list[int]) -> list[str]:
    """Those that a window's last row has a usable value of."""
    return [ROLES[tag] for tag in tags if usable(cut.window.quality[-1])[tag]]


@pytest.mark.parametrize("name", CLOCKS)
def test_outage(name: str, tmp_path: Path) -> None:
    """Each row is how clocks stand: in the outage nothing is known, and right after it all is."""
    case = CLOCKS[name]
    with Ledger(tmp_path / "w") as ledger:
        plant = Plant(ledger)
        plant.set(case.first)
        plant.begin()
        plant.live(LIVE_S)
        before = case.before or case.first
        plant.set(before)
        last = plant.live(case.for_s)[-1]
        tags = sees(before)
        roles = [ROLES[tag] for tag in tags]
        assert known_tags(last, tags) == roles
        sent_ns = T0 + (plant.second - 1 + before[1]) * SECOND
        plant.away(NOTICED_S)
        plant.notice()
        starts = {gap.role: gap.start_ns for gap in plant.stream.gaps if gap.role in roles}
        assert starts == dict.fromkeys(roles, sent_ns + 1)
        during = plant.away(OUTAGE_S // 2)
        plant.set(case.within or before)
        during += plant.away(OUTAGE_S // 2)
        assert len(during) >= OUTAGE_S / 2 - 1
        for cut in during:
            assert known_tags(cut, tags) == []
            assert {gap.role for gap in cut.gaps} >= set(roles)
        plant.begin()
        plant.live(SETTLED_S if case.within else NOTICED_S)
        for cut in plant.live(SETTLED_S):
            assert known_tags(cut, tags) == roles
        open_gaps = [gap.role for gap in plant.stream.gaps if gap.end_ns is None]
        assert set(open_gaps) & set(roles) == set()
