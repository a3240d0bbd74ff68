"""The alarm list: what came first, what is put aside, and the list in numbers."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from edge_core.contracts.api import AlarmState, AlarmView, Priority
from edgetui.present.alarms_page import (
    FLOOD,
    alarm_banner,
    alarm_page,
    alarm_words,
    alarms_page,
    cause_words,
    causes,
    first_outs,
    more_words,
)
from edgetui.present.lines import texts

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
S = AlarmState


def alarm(number: int, state: AlarmState = S.UNACK, **more: object) -> AlarmView:
    """One alarm."""
    made = AlarmView(
        id=number,
        priority=Priority.P3,
        state=state,
        source=f"gateway/gw-{number}/faults",
        what=f"what {number}",
        consequence="c",
        runbook="r",
        raised=NOW - timedelta(minutes=number),
        changed=NOW,
        group=f"gateway/gw-{number}/faults",
    )
    return replace(made, **more)


L1 = "L1 faults"
CAUSES = {
    "alone is no group": ([alarm(1), alarm(2)], {}),
    "two of one cause": ([alarm(4, group=L1), alarm(3, group=L1), alarm(5)], {3: 3, 4: 3}),
    "what is put aside is not among them": (
        [alarm(1, S.SHELVED, group=L1), alarm(2, group=L1)],
        {},
    ),
    "what is over is not among them": ([alarm(1, S.CLEARED, group=L1), alarm(2, group=L1)], {}),
    "a flood is one cause, itself no part of it": (
        [alarm(1, flood=3), alarm(2, flood=3), alarm(3, kind=FLOOD)],
        {1: 1, 2: 1},
    ),
}


@pytest.mark.parametrize("row", CAUSES.values(), ids=CAUSES.keys())
def test_causes(row: tuple[list[AlarmView], dict[int, int]]) -> None:
    """The first-out of each alarm that did not come alone."""
    alarms, firsts = row
    assert causes(alarms) == firsts


def test_first_outs() -> None:
    """Folded, a cause is one row; the words say how many there are and after which."""
    alarms = [alarm(1, group=L1), alarm(2, group=L1), alarm(3)]
    assert [each.id for each in first_outs(alarms)] == [1, 3]
    graver = replace(alarms[1], priority=Priority.P1)
    assert [each.id for each in first_outs([alarms[0], graver])] == [1, 2]
    seen = replace(alarms[0], state=S.ACKED)
    assert [each.id for each in first_outs([seen, alarms[1]])] == [1, 2]
    assert [each.id for each in first_outs([seen, replace(alarms[1], state=S.ACKED)])] == [1]
    firsts = causes(alarms)
    assert [cause_words(each, firsts) for each in alarms] == ["1st of 2", "after 1", ""]
    assert [more_words(each, firsts) for each in alarms] == [" (and 1 after it)", "", ""]
    assert "1st of 2" in "\n".join(texts(alarms_page(alarms, NOW, 160)))


def test_time_left() -> None:
    """What is on the shelf says for how long; what is back any moment says nothing odd."""
    shelved = alarm(1, S.SHELVED, until=NOW + timedelta(minutes=23))
    assert alarm_words(shelved, NOW) == "shelved 23 min left"
    assert alarm_words(shelved, NOW + timedelta(hours=1)) == "shelved <10 s left"
    assert alarm_words(alarm(1, S.OUT_OF_SERVICE), NOW) == "out of svc"


def test_banner() -> None:
    """A flood is said first; what is put aside is counted, and not among what stands."""
    alarms = [alarm(1, kind=FLOOD), alarm(2, S.SUPPRESSED), alarm(3, S.SHELVED)]
    words = "".join(part.text for part in alarm_banner(alarms, 160).parts)
    assert "FLOOD" in words
    assert "▼3 1" in words
    assert "unacknowledged 1  shelved 1  suppressed 1" in words


def test_one_alarm_in_full() -> None:
    """Who saw it and why, what it belongs to, and what can be typed."""
    seen = alarm(
        7,
        S.SUPPRESSED,
        acked=NOW,
        acked_by="ana",
        why="contractor called",
        page=3,
        flood=9,
        raises=4,
        suppressed_by="maintenance of L1",
        actions=["edgetui gateway gw-7"],
        group=L1,
    )
    words = "\n".join(texts(alarm_page(seen, NOW, 120)))
    for expected in (
        "edgetui gateway gw-7",
        "seen         2026-11-23 08:00:00Z  by ana",
        "why          contractor called",
        "cause        L1 faults",
        "page         of alarm 3",
        "flood        alarm 9",
        "suppressed   by maintenance of L1",
        "came 4, shelved 0, asked again 0",
    ):
        assert expected in words
