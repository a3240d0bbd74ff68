"""Tokens for downloads: every one is decided under the lock and kept before it is given.

A token that is out holds one of the places. It is given back when the gateway has its bytes, was
told to do something else, or asked for no more for so long. A rollback needs no bytes, and a
permit does not look here, so neither ever waits for a download.
"""

import structlog

from edge_core.contracts.gateway import PullReply, PullRequest, UpdateState
from edge_site_proxy.audit.events import Event
from edge_site_proxy.rollout import outlook, tables
from edge_site_proxy.rollout.budget import Pull, Token, Wait, decide, given, metered
from edge_site_proxy.rollout.wanted import Assigned, assigned
from edge_site_proxy.rollout.world import World
from edge_site_proxy.store import Store

SITE = "site-proxy"
NOT_ASSIGNED_RETRY_S = 30.0
_FETCHING = frozenset({UpdateState.IDLE, UpdateState.ASSIGNED, UpdateState.DOWNLOADING})

log = structlog.get_logger(__name__)


class Pulls:
    """Answers gateways that ask for bytes, and takes places back."""

    def __init__(self, world: World, store: Store) -> None:
        self._world = world
        self._store = store
        self._deferred = world.deferred

    async def pull(self, serial: str, request: PullRequest) -> PullReply:
        """So many bytes, or why not.

        Raises:
            UnknownGatewayError: the inventory has no such gateway.
            StoreUnavailableError: the token could not be kept, so there is none.
        """
        world = self._world
        async with world.lock:
            world.plant.place(serial)
            found = assigned(world, serial)
            if found is None or found.rollout.digest != request.digest:
                words = "this release is not assigned to the gateway"
                return PullReply(granted=False, reason=words, retry_after_s=NOT_ASSIGNED_RETRY_S)
            asked = outlook.pull_ask(world, serial, request.bytes_missing)
            answer = decide(asked, world.settings.downloads, found.rollout.plan.policy)
            if isinstance(answer, Wait):
                self._note(serial, answer)
                return PullReply(
                    granted=False,
                    reason=answer.reason[:500],
                    retry_after_s=answer.retry_after_s,
                )
            await self._give(serial, found, answer)
        rate = world.settings.downloads.rate_bytes_s
        return PullReply(granted=True, bytes=answer.bytes, rate_bytes_s=rate)

    def serve(self, serial: str, size_bytes: int) -> bool:
        """Whether *serial* may be sent so many bytes of a blob now; they are then taken off."""
        world = self._world
        if not metered(world.settings.downloads, world.settings.policy):
            return True
        left = world.pull_left.get(serial, 0)
        if size_bytes > left:
            return False
        world.pull_left[serial] = left - size_bytes
        return True

    async def settle(self) -> None:
        """Take back the places of those who no longer download. The caller holds the lock."""
        for token in list(self._world.tokens.values()):
            why = self._settled(token)
            if why is not None:
                await self._take_back(token, why)

    async def _give(self, serial: str, found: Assigned, answer: Pull) -> None:
        world = self._world
        ledger = given(world.ledger_now(), world.settings.downloads, answer.bytes)
        token = Token(
            serial=serial,
            rollout=found.rollout.id,
            digest=found.rollout.digest,
            bytes=answer.bytes,
            at=world.clocks.now(),
        )
        facts = {"rollout": token.rollout, "digest": token.digest, "bytes": token.bytes}
        event = Event("download.granted", serial, facts)
        await self._store.change(
            f"gateway:{serial}", [event], lambda tx: tables.save_token(tx, token, ledger, event)
        )
        world.keep_ledger(ledger)
        world.tokens[serial] = token
        world.pulling.setdefault(serial, world.clocks.monotonic())
        world.pull_asked[serial] = world.clocks.monotonic()
        # What an earlier token left over was counted when it was given, and is not sent any more.
        world.pull_left[serial] = answer.bytes
        self._deferred.pop(serial, None)

    def _settled(self, token: Token) -> str | None:
        world, serial = self._world, token.serial
        found = assigned(world, serial) if serial in world.plant.places else None
        if found is None or found.rollout.digest != token.digest:
            return "another release is assigned"
        sighting = world.sightings.get(serial)
        update = None if sighting is None else sighting.update(token.digest)
        if update is not None and update.state not in _FETCHING:
            return f"it is {update.state.value}"
        asked_s = world.clocks.monotonic() - world.pull_asked[serial]
        return "it asked for no more" if asked_s > world.settings.downloads.lease_s else None

    async def _take_back(self, token: Token, why: str) -> None:
        event = Event("download.settled", token.serial, {"rollout": token.rollout, "why": why})
        await self._store.change(
            SITE, [event], lambda tx: tables.drop_token(tx, token.serial, event)
        )
        for known in (
            self._world.tokens,
            self._world.pulling,
            self._world.pull_asked,
            self._world.pull_left,
        ):
            known.pop(token.serial, None)

    def _note(self, serial: str, answer: Wait) -> None:
        if self._deferred.get(serial) != answer.reason:
            self._deferred[serial] = answer.reason
            log.info("download.deferred", serial=serial, reason=answer.reason)
