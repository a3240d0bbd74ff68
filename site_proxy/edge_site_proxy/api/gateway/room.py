"""How much may be in work at once: beyond it a gateway is told to come again, and memory is safe.

Counted are the bytes that a request declares, since a body lies in memory until its work is done.
Telemetry and review, which wait in the gateway's own journals, leave half of it to heartbeats,
permits and renewals.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from edge_core.contracts.errors import TryAgainError
from edge_core.contracts.gateway import OTLP_BYTES_MAX

BYTES_MAX = 64 * 1024 * 1024  # two thousand heartbeats with full backlogs, ten thousand without
REQUEST_BYTES = 4 * 1024  # what a request weighs beside its body
BULK_SHARE = 0.5


class NoRoomError(TryAgainError):
    """Too much is in work; the same request will find room in a while."""


class Room:
    """Counts what is in work."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bulk_max = int(BULK_SHARE * bytes_max)
        self._taken = 0

    @contextmanager
    def place(self, body_bytes: int, *, bulk: bool) -> Iterator[None]:
        """Hold room for one request while the context lasts.

        Args:
            body_bytes: as declared; what is too long for any call is refused for that, not here.
            bulk: whether it can wait where it comes from without harm.

        Raises:
            NoRoomError: there is none now.
        """
        weight = min(body_bytes, OTLP_BYTES_MAX) + REQUEST_BYTES
        if self._taken + weight > (self._bulk_max if bulk else self._bytes_max):
            raise NoRoomError(
                f"request of {body_bytes} bytes: expected room for it, found "
                f"{self._taken} bytes in work; send it again later"
            )
        self._taken += weight
        try:
            yield
        finally:
            self._taken -= weight
