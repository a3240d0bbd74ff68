"""The link to the site: enrols when it must, renews when it is due, and is down in between.

Whoever asks while there is no link hears that the site is unreachable, as if the WAN were cut, and
goes on alone.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from edge_core.contracts.errors import ConfigurationError, EdgeError, TryAgainError
from edge_core.contracts.gateway import (
    Desired,
    PermitReply,
    PermitRequest,
    PullReply,
    PullRequest,
    StatusReply,
    StatusReport,
)
from edge_core.contracts.telemetry import BatchId, Signal
from edge_core.oci.source import Meter, Source
from edge_runtime.config import ProxyConfig
from edge_runtime.enrolment import enrol_once, renew_once
from edge_runtime.errors import SiteUnreachableError
from edge_runtime.faults import Faults
from edge_runtime.identity import IdentityFolder
from edge_runtime.site import SiteClient, connect
from edge_runtime.witness import Witness

log = structlog.get_logger(__name__)

LOOK_S: Final = 30.0  # between two looks at the certificate's age
RETRY_S: Final = 2.0
RETRY_S_MAX: Final = 300.0
FAULT: Final = "certificate"


class SiteLink:
    """The site proxy, when it can be spoken to."""

    def __init__(
        self,
        config: ProxyConfig,
        identity: IdentityFolder,
        now: Callable[[], datetime],
        witness: Witness,
        faults: Faults,
    ) -> None:
        self._config = config
        self._identity = identity
        self._now = now
        self._witness = witness
        self._faults = faults
        self._client: SiteClient | None = None

    async def run(self) -> None:
        """Hold the link for ever."""
        await self._enrolled()
        async with connect(self._config, self._identity) as client:
            self._client = client
            try:
                await self._renew_when_due(client)
            finally:
                self._client = None

    async def status(self, report: StatusReport) -> StatusReply:
        """The heartbeat; its checkpoint is witnessed."""
        floor = self._witness.floor
        reply = await self._site.status(report)
        await self._witness.take(reply.checkpoint, floor, at_once=False)
        return reply

    async def desired(self) -> Desired:
        """What the site wants of us."""
        return await self._site.desired()

    async def permit(self, request: PermitRequest) -> PermitReply:
        """May I activate? Whatever the answer, its checkpoint is on disk before it is used."""
        floor = self._witness.floor
        reply = await self._site.permit(request)
        await self._witness.take(reply.checkpoint, floor, at_once=True)
        return reply

    async def telemetry(self, signal: Signal, batch: BatchId, crc32c: int, body: bytes) -> None:
        """Hand over one OTLP batch."""
        await self._site.telemetry(signal, batch, crc32c, body)

    async def review(self, window: bytes) -> None:
        """Hand over one encoded suspect window."""
        await self._site.review(window)

    async def pull(self, request: PullRequest) -> PullReply:
        """May I download, and how much?"""
        return await self._site.pull(request)

    def source(self, repository: str, meter: Meter | None = None) -> Source:
        """Where releases come from; *meter*, if there is one, gives out the bytes of blobs."""
        return self._site.source(repository, meter)

    @property
    def _site(self) -> SiteClient:
        if self._client is None:
            raise SiteUnreachableError("site proxy: not enrolled yet")
        return self._client

    async def _enrolled(self) -> None:
        wait_s = RETRY_S
        while not self._identity.enrolled():
            try:
                await enrol_once(self._config, self._identity)
            except EdgeError as error:
                self._tell(error)
                log.warning("enrolment.failed", reason=str(error), again_s=wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_S_MAX)

    async def _renew_when_due(self, client: SiteClient) -> None:
        while True:
            try:
                if self._identity.due(self._now()):
                    await renew_once(client, self._identity)
                self._faults.mend(FAULT)
            except EdgeError as error:
                self._tell(error)
                log.warning("renewal.failed", reason=str(error), ends=self._ends())
            await asyncio.sleep(LOOK_S)

    def _tell(self, error: EdgeError) -> None:
        """Raise an alarm over what only somebody at this gateway can mend."""
        if isinstance(error, TryAgainError | ConfigurationError):
            self._faults.fault(FAULT, f"{error}; the certificate in use ends {self._ends()}")

    def _ends(self) -> str:
        try:
            ends = self._now() + self._identity.life_left(self._now())
        except ConfigurationError:
            return "at an unknown time"
        return f"at {ends:%Y-%m-%d %H:%M} UTC"
