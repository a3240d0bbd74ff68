"""Is the list of use, or noise: floods, peaks, what is stale, what chatters."""

from datetime import timedelta

import pytest

from edge_core.contracts.api import AlarmState, Priority
from edge_site_proxy.alarms.catalogue import FLOOD_KEY
from edge_site_proxy.alarms.rates import flooded, recent, summary
from tests.unit.site_proxy.alarms.made import NOW, alarm

S_RETURNED = AlarmState.RETURNED_UNACK
MINUTE = timedelta(minutes=1)
FLOODS = {
    "ten are no flood yet": (10, False, False),
    "eleven are": (11, False, True),
    "one that stands goes on with five": (5, True, True),
    "and is over with four": (4, True, False),
}


@pytest.mark.parametrize("row", FLOODS.values(), ids=FLOODS.keys())
def test_flood(row: tuple[int, bool, bool]) -> None:
    """It begins above ten in ten minutes and ends below five."""
    count, standing, flood = row
    assert flooded(count, standing=standing) is flood


def test_recent() -> None:
    """Of the last ten minutes, oldest first; not what told nobody, nor the flood itself."""
    alarms = [
        alarm(number=5, age=MINUTE),
        alarm(number=4, age=10 * MINUTE - timedelta(seconds=1)),
        alarm(number=3, age=10 * MINUTE),
        alarm(AlarmState.PENDING, 6),
        alarm(AlarmState.CLEARED, 7, raises=0),
        alarm(AlarmState.CLEARED, 8),
        alarm(number=9, source=FLOOD_KEY),
    ]
    assert [each.id for each in recent(alarms, NOW)] == [4, 5, 8]


def test_summary() -> None:
    """The list in numbers, each alarm counted where it belongs."""
    standing = [
        alarm(number=1, source="old", age=timedelta(days=1)),
        alarm(number=2, source="flaps", raises=4, priority=Priority.P3, age=5 * MINUTE),
        alarm(AlarmState.SHELVED, 3, age=30 * MINUTE),
        alarm(AlarmState.SUPPRESSED, 4, age=31 * MINUTE),
        alarm(AlarmState.OUT_OF_SERVICE, 5, age=timedelta(days=9)),
        alarm(AlarmState.PENDING, 6),
        alarm(number=7, source=FLOOD_KEY),
        alarm(number=8, source="calm", raises=3, age=36 * MINUTE),
    ]
    over = [alarm(AlarmState.CLEARED, 10 + n, age=(30 + n) * MINUTE) for n in range(11)]
    found = summary(standing, [*standing, *over], NOW)
    assert found.flood
    assert found.at == NOW
    over_again = alarm(S_RETURNED, 7, source=FLOOD_KEY, active=False)
    assert not summary([standing[0], over_again], [], NOW).flood
    assert (found.recent, found.peak, found.day) == (1, 13, 15)
    assert found.standing == {"p2": 3, "p3": 1}
    assert (found.stale, found.chattering) == (["old"], ["flaps"])
    assert (found.shelved, found.suppressed, found.out_of_service) == (1, 1, 1)


def test_an_empty_list() -> None:
    """Nothing is nothing, and no flood."""
    found = summary([], [], NOW)
    assert (found.recent, found.peak, found.day, found.flood) == (0, 0, 0, False)
    assert found.flood_above == 10
