"""Health windows in the site's own time, whatever the gateway's clock says; pure.

A gateway's clock may be minutes off, stand in 1970, or be set while a window is open. Its windows
are kept as they came; what is counted towards a gate is how long they lasted and when that was
here.
"""

from datetime import datetime, timedelta

from msgspec.structs import replace

from edge_core.contracts.gateway import HealthWindow

NEAR_S = 60.0  # a clock so near is right: a heartbeat of a busy gateway takes its time
STRETCH = 2.0  # periods, and a minute; a window that lasted longer had its clock set meanwhile


def offset_s(at: datetime | None, heard: datetime) -> float | None:
    """Seconds by which a gateway's clock is ahead; None where it did not say."""
    return None if at is None else (at - heard).total_seconds()


def in_site_time(
    window: HealthWindow, offset: float | None, heard: datetime, period_s: float
) -> HealthWindow:
    """*window* as it would be told by the site's clock.

    Args:
        window: as it came.
        offset: by which the gateway's clock was ahead when it sent it.
        heard: when it came, by the site's clock; no window ends later.
        period_s: how long a window lasts.
    """
    lasted = window.ended - window.started
    if not timedelta(0) <= lasted <= timedelta(seconds=STRETCH * period_s + NEAR_S):
        lasted = timedelta(seconds=period_s)
    ahead = 0.0 if offset is None or abs(offset) < NEAR_S else offset
    ended = min(window.ended - timedelta(seconds=ahead), heard)
    return replace(window, started=ended - lasted, ended=ended)
