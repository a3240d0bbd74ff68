"""Log events as JSON lines on stderr, and the last of them in memory for a snapshot."""

import logging
import sys
from collections import deque
from typing import Any, Final

import structlog
from structlog.typing import EventDict, WrappedLogger

RECENT_MAX: Final = 500
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class RecentLogs:
    """A processor that keeps the last events."""

    def __init__(self) -> None:
        self._lines: deque[dict[str, Any]] = deque(maxlen=RECENT_MAX)  # Any: JSON values

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        """Keep *event* and hand it on."""
        self._lines.append(dict(event))
        return event

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The last events, newest last."""
        return list(self._lines)


def configure(level: str) -> RecentLogs:
    """Log as JSON lines from *level* on; libraries from WARNING on."""
    recent = RecentLogs()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            recent,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    return recent
