"""Log events as JSON lines on stderr, the last of them for a snapshot, warnings for the site."""

import logging
import sys
from collections import deque
from typing import Any, Final

import structlog
from structlog.typing import EventDict, WrappedLogger

from edge_runtime.sitelog import SiteLog

RECENT_MAX: Final = 500
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class RecentLogs:
    """A processor that drops what is below the level, and keeps the last of the others.

    Attributes:
        site: takes warnings and above.
    """

    def __init__(self, level: str = "debug") -> None:
        self.site = SiteLog()
        self._lines: deque[dict[str, Any]] = deque(maxlen=RECENT_MAX)  # Any: JSON values
        self._least = _LEVELS[level]

    def from_level(self, level: str) -> None:
        """Log from *level* on, from now on."""
        self._least = _LEVELS[level]

    def __call__(self, _: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Keep *event* and hand it on.

        Raises:
            DropEvent: it is below the level.
        """
        if _LEVELS.get(method, self._least) < self._least:
            raise structlog.DropEvent
        self._lines.append(dict(event))
        self.site.take(event)
        return event

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The last events, newest last."""
        return list(self._lines)


def configure(level: str) -> RecentLogs:
    """Log as JSON lines from *level* on; libraries from WARNING on."""
    recent = RecentLogs(level)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            recent,
            structlog.processors.JSONRenderer(),
        ],
        # The level itself may change while loggers are in use, so a processor keeps it.
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS["debug"]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    return recent
