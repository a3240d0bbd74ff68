"""What the gateway API asks of the rest of the site proxy, one `Protocol` a neighbour."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_core.contracts.artefact import Descriptor, Digest
from edge_core.contracts.gateway import (
    Desired,
    PermitReply,
    PermitRequest,
    PullReply,
    PullRequest,
    StatusReply,
    StatusReport,
)
from edge_core.contracts.review import SuspectWindow
from edge_core.contracts.telemetry import BatchId, Signal


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the verified client certificate says.

    Attributes:
        serial: the gateway's serial, the certificate's only common name.
        number: the certificate's own serial number, upper-case hex.
        not_after: the certificate's end; an open connection may outlive it.
    """

    serial: str
    number: str
    not_after: dt.datetime


class Identity(Protocol):
    """Says of each request whether its certificate still counts, and signs the next one."""

    def admit(self, peer: Peer, now: dt.datetime) -> None:
        """Let *peer* pass.

        Raises:
            CertificateError: revoked, or past its end.
        """
        ...

    async def renew(self, serial: str, request: bytes, *, now: dt.datetime) -> bytes:
        """PKCS#7 certs-only DER for the next certificate of *serial*."""
        ...


class Enrolment(Protocol):
    """Signs the first certificate of a gateway, on the port that asks for none."""

    async def enrol(self, serial: str, token: str, request: bytes, *, now: dt.datetime) -> bytes:
        """PKCS#7 certs-only DER for the first certificate of *serial*."""
        ...

    def ca_certificates(self) -> bytes:
        """PKCS#7 certs-only DER of the site CA."""
        ...


class Site(Protocol):
    """The site's view of one gateway: heartbeat, desired state, permit, review."""

    async def take_status(self, serial: str, report: StatusReport) -> StatusReply:
        """Note a heartbeat and say when to come back."""
        ...

    async def desired(self, serial: str) -> tuple[str, Desired]:
        """The desired state with its ETag.

        Raises:
            NotFoundError: the inventory has no such gateway.
        """
        ...

    async def permit(self, serial: str, request: PermitRequest) -> PermitReply:
        """May this gateway activate now?"""
        ...

    async def pull(self, serial: str, request: PullRequest) -> PullReply:
        """May this gateway download now, and how much?"""
        ...

    def may_send(self, serial: str, size_bytes: int) -> bool:
        """Whether so many bytes of a blob may go to this gateway; they are then counted."""
        ...

    async def take_window(self, serial: str, window: SuspectWindow) -> bool:
        """Put a suspect window into the review queue; False if it was there already."""
        ...


@dataclass(frozen=True, slots=True)
class Received:
    """One OTLP request as it came in.

    Attributes:
        signal: metrics, logs or traces.
        source: the serial in the certificate.
        batch: what the sender calls it, or None from a stock SDK.
        crc32c: of *body*, as declared, or None from a stock SDK.
        encoding: the content-encoding, lower case, "identity" when there is none.
        body: exactly the bytes on the wire.
    """

    signal: Signal
    source: str
    batch: BatchId | None
    crc32c: int | None
    encoding: str
    body: bytes


class Receiver(Protocol):
    """Keeps OTLP batches."""

    async def take(self, received: Received) -> None:
        """Return when the batch is durable, now or from an earlier copy.

        Raises:
            UsageError: its coding or its checksum is wrong.
            ConflictError: the batch id was used for other bytes.
            TryAgainError: full or not known to be safe: send the same again.
            RefusedError: it can never be stored as it is.
        """
        ...


@dataclass(frozen=True, slots=True)
class ManifestBytes:
    """A manifest or an index, byte for byte."""

    digest: Digest
    media_type: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class BlobFile:
    """A blob on disk, verified before it became visible."""

    digest: Digest
    path: Path
    size: int


class Shelf(Protocol):
    """What has been mirrored and verified; nothing else is visible to a gateway."""

    def tags(self, name: str) -> list[str] | None:
        """Tags of a repository, in any order; None if there is no such repository."""
        ...

    def manifest(self, name: str, reference: str) -> ManifestBytes | None:
        """A manifest by tag or digest."""
        ...

    def blob(self, name: str, digest: Digest) -> BlobFile | None:
        """A blob by digest."""
        ...

    def referrers(self, name: str, digest: Digest) -> list[Descriptor]:
        """What names *digest* as its subject; empty for what nobody knows."""
        ...
