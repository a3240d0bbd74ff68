"""A change window opens when `systemd-analyze calendar` says so."""

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_core.contracts.rollout import ChangeWindow
from edge_site_proxy.rollout.windows import calendar, next_span

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        shutil.which("systemd-analyze") is None and os.environ.get("CI") != "true",
        reason="no systemd-analyze: apt-get install systemd",
    ),
]

ZONES = ("UTC", "Europe/Madrid", "America/Santiago", "Australia/Lord_Howe", "Asia/Kolkata")
JUMPS = [  # an hour before each change of the clocks in one of the zones
    datetime(2026, 3, 29, 0, 0, tzinfo=UTC),
    datetime(2026, 10, 25, 0, 0, tzinfo=UTC),
    datetime(2026, 9, 6, 3, 0, tzinfo=UTC),
    datetime(2026, 4, 5, 2, 0, tzinfo=UTC),
    datetime(2026, 10, 3, 14, 30, tzinfo=UTC),
    datetime(2026, 4, 4, 14, 0, tzinfo=UTC),
]
TIMES = st.builds("{:02d}:{:02d}".format, st.integers(0, 4), st.sampled_from([0, 15, 30, 45]))
MOMENTS = st.builds(
    lambda jump, minutes: jump + timedelta(minutes=minutes),
    st.sampled_from(JUMPS),
    st.integers(-2 * 24 * 60, 2 * 24 * 60),
)
WINDOWS = st.builds(
    lambda days, start, zone: ChangeWindow(days=sorted(days), start=start, end="12:00", zone=zone),
    st.sets(st.integers(1, 7), min_size=1),
    TIMES,
    st.sampled_from(ZONES),
)


def asked(window: ChangeWindow, moment: datetime) -> datetime:
    """What systemd answers."""
    base = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    said = subprocess.run(
        ["systemd-analyze", "calendar", f"--base-time={base}", calendar(window)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C"},
    ).stdout
    found = re.search(r"Next elapse: \w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", said)
    assert found is not None, said
    return datetime.fromisoformat(found[1]).replace(tzinfo=UTC)


@settings(max_examples=60, deadline=None)
@example(
    ChangeWindow(days=[7], start="02:30", end="12:00", zone="Europe/Madrid"),
    datetime(2026, 3, 28, 12, 0, tzinfo=UTC),
)
@given(window=WINDOWS, moment=MOMENTS)
def test_the_same_opening(window: ChangeWindow, moment: datetime) -> None:
    """Around every change of the clocks: hours that never come, and hours that come twice."""
    span = next_span([window], moment)
    assert span is not None
    assert span.start == asked(window, moment)
