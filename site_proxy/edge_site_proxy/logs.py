"""Log events as JSON lines on stderr; stdout belongs to what a command was asked for."""

import logging
import sys

import structlog


def configure() -> None:
    """Log from INFO on; what libraries log from WARNING on is Python's own last resort."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # Looked up at each event: whoever turns stderr elsewhere gets the log, too.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
