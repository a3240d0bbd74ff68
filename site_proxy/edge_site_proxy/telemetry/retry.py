"""What an answer from upstream means, when to try again, and how much to have under way.

OTLP 1.10 calls 500, 408 and 413 final; a proxy that promised to lose nothing may not. So those
are tried again for a while, or set aside as dead letters, and never dropped.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from random import Random

RETRY_AFTER_MAX = timedelta(minutes=15)  # an upstream that asks for more is forgotten about
BACKOFF_FIRST_S = 1.0
TRIES_MAX = 8  # with full jitter some four minutes: enough for a deploy, not for ever
WINDOW_MAX = 32


class Verdict(StrEnum):
    """What became of one batch.

    RETRY and PAUSE say something about the upstream; FAILED and REFUSED about the batch.
    """

    DELIVERED = "delivered"
    RETRY = "retry"
    PAUSE = "pause"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one batch, and why.

    Attributes:
        verdict: what follows.
        reason: for people; empty when delivered.
        after: the upstream's own wish when to try again.
        partial: it took the batch and rejected some of it; that is never repeated.
    """

    verdict: Verdict
    reason: str = ""
    after: timedelta | None = None
    partial: bool = False


DELIVERED = Outcome(Verdict.DELIVERED)
_RETRY = frozenset({429, 502, 503, 504})
_PAUSE = frozenset({401, 403, 404, 407})
_REFUSED = frozenset({400, 411, 413, 414, 415, 422})


def judge(status: int, retry_after: str | None, *, partial: bool, now: datetime) -> Outcome:
    """What an HTTP *status* of an OTLP endpoint means for one batch."""
    if 200 <= status < 300:
        return replace(DELIVERED, partial=partial)
    reason = f"upstream answered {status}"
    after = wait_asked(retry_after, now)
    if status in _RETRY:
        return Outcome(Verdict.RETRY, reason, after)
    if status in _PAUSE or 300 <= status < 400:
        return Outcome(Verdict.PAUSE, f"{reason}: a setting or a certificate is wrong", after)
    if status in _REFUSED:
        return Outcome(Verdict.REFUSED, reason)
    return Outcome(Verdict.FAILED, reason, after)


def wait_asked(header: str | None, now: datetime) -> timedelta | None:
    """`Retry-After`, in seconds or as a date, at most RETRY_AFTER_MAX; None if it says nothing."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=min(int(text), 10**6)), RETRY_AFTER_MAX)
    try:
        asked = parsedate_to_datetime(text)
        wait = asked - now
    except (ValueError, TypeError):
        return None
    return max(timedelta(0), min(wait, RETRY_AFTER_MAX))


def backoff(failures: int, random: Random, longest: timedelta) -> timedelta:
    """Full jitter: anything up to a bound that doubles with every failure, to *longest*."""
    bound_s = min(longest.total_seconds(), BACKOFF_FIRST_S * 2 ** min(failures - 1, 16))
    return timedelta(seconds=random.uniform(0, bound_s))


@dataclass(frozen=True, slots=True)
class Pace:
    """How many requests may be under way; one alone is a probe.

    Attributes:
        window: at most this many.
        failures: rounds in a row that failed; 0 while all is well.
    """

    window: int = 4
    failures: int = 0

    def after_success(self) -> "Pace":
        """One more may be under way."""
        return Pace(window=min(self.window + 1, WINDOW_MAX), failures=0)

    def after_failure(self) -> "Pace":
        """Probe with one."""
        return Pace(window=1, failures=self.failures + 1)
