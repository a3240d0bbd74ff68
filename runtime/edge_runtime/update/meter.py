"""Asks the site for the bytes of a download before it fetches them, and keeps to its rate.

One meter is for one fetch. What is left of a token when a fetch ends is the site's loss, not ours:
the next fetch asks again.
"""

from collections.abc import Awaitable, Callable

from edge_core.contracts.gateway import Assignment, PullReply, PullRequest
from edge_runtime.errors import DownloadDeferredError


class SiteMeter:
    """A `Meter` that the site fills.

    Args:
        ask: puts the question to the site.
        assignment: what is downloaded.
        monotonic: seconds.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        ask: Callable[[PullRequest], Awaitable[PullReply]],
        assignment: Assignment,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._ask = ask
        self._assignment = assignment
        self._monotonic = monotonic
        self._sleep = sleep
        self._left = 0
        self._rate_bytes_s = 0.0
        self._free_s = 0.0  # when the bytes that came so far were due at that rate

    async def allow(self, missing: int) -> int:
        """See `Meter.allow`.

        Raises:
            DownloadDeferredError: not now; it says for how long.
        """
        if self._left <= 0:
            request = PullRequest(
                digest=self._assignment.release.digest,
                attempt=self._assignment.attempt,
                bytes_missing=missing,
            )
            reply = await self._ask(request)
            if not reply.granted or reply.bytes == 0:
                raise DownloadDeferredError(reply.reason, retry_after_s=reply.retry_after_s)
            self._left, self._rate_bytes_s = reply.bytes, reply.rate_bytes_s
        return min(missing, self._left)

    async def took(self, count: int) -> None:
        """See `Meter.took`."""
        self._left -= count
        if self._rate_bytes_s <= 0:
            return
        now_s = self._monotonic()
        self._free_s = max(now_s, self._free_s) + count / self._rate_bytes_s
        await self._sleep(self._free_s - now_s)
