"""Gateways in a hurry come back soon, and never more of them than the site can answer."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge_site_proxy.fleet.pace import Pace


def test_few() -> None:
    """Where few are in a hurry each comes back as soon as it is asked to."""
    pace = Pace(beats_a_second=10.0)
    assert [pace.wait_s(now, 0.5, 30.0) for now in (0.0, 1.0, 2.0)] == [0.5, 0.5, 0.5]


def test_many() -> None:
    """Of many at once each gets the next free appointment."""
    pace = Pace(beats_a_second=10.0)
    assert [round(pace.wait_s(0.0, 2.0, 30.0), 1) for _ in range(4)] == [2.0, 2.1, 2.2, 2.3]


def test_too_many() -> None:
    """Nobody waits longer than in quiet times, and who does takes nobody's appointment."""
    pace = Pace(beats_a_second=1.0)
    waits = [pace.wait_s(0.0, 2.0, 5.0) for _ in range(6)]
    assert waits == [2.0, 3.0, 4.0, 5.0, 5.0, 5.0]
    assert pace.wait_s(1.0, 2.0, 5.0) == 4.0


@given(st.lists(st.floats(0, 0.05), min_size=1, max_size=200), st.floats(1, 500))
def test_rate(gaps: list[float], rate: float) -> None:
    """However they come, appointments are apart, and none is before its time or after quiet."""
    pace, now, given_s = Pace(rate), 0.0, []
    for gap in gaps:
        now += gap
        wait = pace.wait_s(now, 0.5, 30.0)
        assert wait + 1e-9 >= 0.5
        assert wait <= 30.0
        if wait < 30.0:
            given_s.append(now + wait)
    assert all(after - before >= 1 / rate - 1e-9 for before, after in pairwise(given_s))
