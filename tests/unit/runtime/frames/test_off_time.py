"""Which pictures are of now, by whose clock."""

from dataclasses import dataclass

import pytest

from edge_runtime.clock import SECOND_NS
from edge_runtime.frames.off_time import off_time

NOW_S = 1_700_000_000


@dataclass(frozen=True)
class Case:
    """How far a picture and the plant's clock are from our wall clock, and what is said of it."""

    picture_s: float
    said: str
    plant_s: float | None = None
    trusted: bool = True


OF_NOW = "source time is not of now: "
CASES = {
    "just taken": Case(-0.1, ""),
    "a minute on its way": Case(-60, ""),
    "a minute and a bit": Case(-61, OF_NOW + "61 s behind"),
    "of yesterday": Case(-86_400, OF_NOW + "86400 s behind"),
    "of the time to come": Case(600, OF_NOW + "600 s ahead"),
    "our clock is off, the plant's says it is of now": Case(600, "", plant_s=610),
    "our clock is off, and the picture bears it": Case(0, "", plant_s=600),
    "neither of our time nor of the plant's": Case(
        -86_400, OF_NOW + "85800 s behind", plant_s=-600
    ),
    "our clock is wrong and there is no other: nobody can say": Case(-86_400, "", trusted=False),
    "our clock is wrong, the plant's says that it is old": Case(
        -86_400, OF_NOW + "86399 s behind", plant_s=-1, trusted=False
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_off_time(name: str) -> None:
    """Each row is a picture, and what is wrong with its time."""
    case = CASES[name]
    wall_ns = NOW_S * SECOND_NS
    plant_ns = None if case.plant_s is None else wall_ns + int(case.plant_s * SECOND_NS)
    source_ns = wall_ns + int(case.picture_s * SECOND_NS)
    assert off_time(source_ns, wall_ns, plant_ns, trusted=case.trusted) == case.said
