"""`/gateway/v1/`: heartbeat, desired state, permit, pull, review; each speaks for itself alone."""

from edge_core.contracts.errors import NotPermittedError
from edge_core.contracts.gateway import (
    REVIEW_BYTES_MAX,
    STATUS_BYTES_MAX,
    PermitRequest,
    PullRequest,
    StatusReport,
)
from edge_core.contracts.review import SuspectWindow
from edge_site_proxy.api.gateway.ports import Peer, Site
from edge_site_proxy.api.gateway.wire import (
    Answer,
    Request,
    WrongRequestError,
    decoded,
    json_answer,
    not_allowed,
)

SERIAL_HEADER = "x-gateway-serial"
_PERMIT_BYTES_MAX = 4 * 1024
_WINDOWS_MAX = 16


class OtherSerialError(NotPermittedError):
    """The request claims another serial than the certificate."""


def same_serial(claimed: str, peer: Peer, *, where: str) -> None:
    """Check a claimed serial against the certificate.

    Raises:
        OtherSerialError: they differ; the message names both.
    """
    if claimed != peer.serial:
        raise OtherSerialError(
            f"{where}: expected the certificate's serial {peer.serial!r}, found {claimed[:80]!r}"
        )


class GatewayCalls:
    """Answers what a gateway asks of the site."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def status(self, request: Request, peer: Peer) -> Answer:
        """The heartbeat."""
        if request.method != "POST":
            return not_allowed(request, "POST")
        raw = await request.body(STATUS_BYTES_MAX)
        report = decoded(raw, StatusReport, "status")
        same_serial(report.serial, peer, where="status.serial")
        return json_answer(await self._site.take_status(peer.serial, report))

    async def desired(self, request: Request, peer: Peer) -> Answer:
        """The desired state, or 304 when the gateway has it."""
        if request.method not in {"GET", "HEAD"}:
            return not_allowed(request, "GET")
        etag, desired = await self._site.desired(peer.serial)
        quoted = f'"{etag}"'
        tags = ((b"etag", quoted.encode()),)
        if quoted in _tags(request.header("if-none-match")):
            return Answer(304, headers=tags)
        return json_answer(desired, tags)

    async def permit(self, request: Request, peer: Peer) -> Answer:
        """May it activate?"""
        if request.method != "POST":
            return not_allowed(request, "POST")
        asked = decoded(await request.body(_PERMIT_BYTES_MAX), PermitRequest, "permit")
        return json_answer(await self._site.permit(peer.serial, asked))

    async def pull(self, request: Request, peer: Peer) -> Answer:
        """May it download?"""
        if request.method != "POST":
            return not_allowed(request, "POST")
        asked = decoded(await request.body(_PERMIT_BYTES_MAX), PullRequest, "pull")
        return json_answer(await self._site.pull(peer.serial, asked))

    async def review(self, request: Request, peer: Peer) -> Answer:
        """One suspect window, or a short list of them."""
        if request.method != "POST":
            return not_allowed(request, "POST")
        windows = _windows(await request.body(REVIEW_BYTES_MAX))
        for window in windows:
            same_serial(window.serial, peer, where="window.serial")
            same_serial(window.id.partition(":")[0], peer, where="window.id")
        taken = [await self._site.take_window(peer.serial, window) for window in windows]
        return json_answer({"taken": sum(taken), "known": len(taken) - sum(taken)})


def _windows(raw: bytes) -> list[SuspectWindow]:
    if raw.lstrip()[:1] != b"[":
        return [decoded(raw, SuspectWindow, "review")]
    windows = decoded(raw, list[SuspectWindow], "review")
    if len(windows) > _WINDOWS_MAX:
        raise WrongRequestError(
            f"review: expected at most {_WINDOWS_MAX} windows in one request, found {len(windows)}"
        )
    return windows


def _tags(header: str | None) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in (header or "").split(",")]
