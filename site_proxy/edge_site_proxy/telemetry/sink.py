"""Where batches go: an upstream behind one port, so that the shipper knows no transport."""

from typing import Protocol

from edge_site_proxy.telemetry.batch import Outbound
from edge_site_proxy.telemetry.retry import Outcome


class Sink(Protocol):
    """An upstream."""

    @property
    def name(self) -> str:
        """For people and alarms: a URL without credentials, or a folder."""
        ...

    async def send(self, batch: Outbound) -> Outcome:
        """Hand *batch* over; the caller sets the deadline. What went wrong is in the outcome."""
        ...
