"""Alarms and calls as tests of the alarm list make them."""

from datetime import UTC, datetime, timedelta

from edge_core.contracts.api import AlarmState, AlarmView, Priority
from edge_site_proxy.rollout.records import AlarmCall

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def alarm(
    state: AlarmState = AlarmState.UNACK,
    number: int = 1,
    *,
    source: str = "x",
    group: str = "",
    age: timedelta = timedelta(0),
    **more: object,
) -> AlarmView:
    """One alarm that was raised *age* before NOW."""
    plain = {
        "id": number,
        "priority": Priority.P2,
        "state": state,
        "source": source,
        "what": "w",
        "consequence": "c",
        "runbook": "r",
        "raised": NOW - age,
        "changed": NOW - age,
        "group": group or source,
    }
    return AlarmView(**(plain | more))  # type: ignore[arg-type]  # a table of fields by name


def call(
    key: str, priority: Priority = Priority.P2, what: str = "w", group: str = ""
) -> AlarmCall:
    """What a decision asks for."""
    return AlarmCall(key, priority, what, "c", "clock", group)
