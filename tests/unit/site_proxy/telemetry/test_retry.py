"""What an answer means, how long to wait, and how much to have under way."""

import datetime as dt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_site_proxy.telemetry.retry import (
    RETRY_AFTER_MAX,
    WINDOW_MAX,
    Pace,
    Verdict,
    backoff,
    judge,
    wait_asked,
)
from tests.unit.site_proxy.telemetry.made import AT

STATUSES = {
    "taken": (200, Verdict.DELIVERED),
    "taken, as some stores say it": (204, Verdict.DELIVERED),
    "too many": (429, Verdict.RETRY),
    "a bad gateway": (502, Verdict.RETRY),
    "unavailable": (503, Verdict.RETRY),
    "a gateway that waited": (504, Verdict.RETRY),
    "not authenticated": (401, Verdict.PAUSE),
    "forbidden": (403, Verdict.PAUSE),
    "a wrong path": (404, Verdict.PAUSE),
    "the proxy wants a password": (407, Verdict.PAUSE),
    "moved": (301, Verdict.PAUSE),
    "an error of theirs": (500, Verdict.FAILED),
    "they waited for us": (408, Verdict.FAILED),
    "too early": (425, Verdict.FAILED),
    "an odd one": (599, Verdict.FAILED),
    "not understood": (400, Verdict.REFUSED),
    "too large": (413, Verdict.REFUSED),
    "not this coding": (415, Verdict.REFUSED),
}


@pytest.mark.parametrize(("status", "verdict"), STATUSES.values(), ids=STATUSES.keys())
def test_statuses(status: int, verdict: Verdict) -> None:
    """Every status has one meaning, and none of them drops a batch."""
    assert judge(status, None, partial=False, now=AT).verdict is verdict


def test_partial() -> None:
    """A partial success is done: repeating it would double what was taken."""
    outcome = judge(200, None, partial=True, now=AT)
    assert (outcome.verdict, outcome.partial) == (Verdict.DELIVERED, True)


WAITS = {
    "none asked": (None, None),
    "seconds": ("120", dt.timedelta(seconds=120)),
    "a date": ("Sun, 22 Nov 2026 06:01:00 GMT", dt.timedelta(seconds=60)),
    "a date that has passed": ("Sun, 22 Nov 2026 05:00:00 GMT", dt.timedelta(0)),
    "far too long": ("999999999999", RETRY_AFTER_MAX),
    "a date far away": ("Sun, 22 Nov 2099 06:01:00 GMT", RETRY_AFTER_MAX),
    "a date without a zone": ("Sun, 22 Nov 2026 06:01:00", None),
    "nonsense": ("soon", None),
    "below zero": ("-5", None),
}


@pytest.mark.parametrize(("header", "wait"), WAITS.values(), ids=WAITS.keys())
def test_waits(header: str | None, wait: dt.timedelta | None) -> None:
    """Retry-After is honoured in both forms, within a bound, and ignored when it says nothing."""
    assert wait_asked(header, AT) == wait


@given(st.text(max_size=40))
def test_any_header(header: str) -> None:
    """Whatever the header says, it is a wait within the bound, or none."""
    wait = wait_asked(header, AT)
    assert wait is None or dt.timedelta(0) <= wait <= RETRY_AFTER_MAX


@given(st.integers(1, 10_000), st.integers(), st.integers(1, 600))
def test_backoff(failures: int, seed: int, longest_s: int) -> None:
    """The wait is random up to a bound that grows and then stays."""
    longest = dt.timedelta(seconds=longest_s)
    wait_s = backoff(failures, Random(seed), longest).total_seconds()
    assert 0 <= wait_s <= min(longest_s, 2.0 ** min(failures - 1, 16))


@given(st.lists(st.booleans(), max_size=60))
def test_pace(story: list[bool]) -> None:
    """Success opens the window by one, a failure leaves one probe, and it stays in bounds."""
    pace = Pace()
    for well in story:
        before = pace
        pace = pace.after_success() if well else pace.after_failure()
        assert 1 <= pace.window <= WINDOW_MAX
        assert pace.window == (min(before.window + 1, WINDOW_MAX) if well else 1)
