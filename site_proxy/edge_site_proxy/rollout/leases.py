"""Permits given out: asked for by gateways, decided by the guards, kept before they are sent."""

import structlog

from edge_core.contracts.gateway import PermitReply, PermitRequest
from edge_site_proxy.audit.events import Event
from edge_site_proxy.rollout import permit_outlook, tables
from edge_site_proxy.rollout.permits import Ask, Deferred, decide
from edge_site_proxy.rollout.records import Grant, Rollout
from edge_site_proxy.rollout.world import World
from edge_site_proxy.store import Store, StoreUnavailableError

UNWRITABLE_RETRY_S = 30.0  # a full disk does not empty itself

log = structlog.get_logger(__name__)


class Leases:
    """Answers requests for permits, one at a time."""

    def __init__(self, world: World, store: Store) -> None:
        self._world = world
        self._store = store
        self._deferred = world.deferred

    async def permit(self, serial: str, request: PermitRequest) -> PermitReply:
        """Grant or defer; a grant is on disk before it is answered.

        A grant that the audit log cannot take is none, and says so.

        Raises:
            UnknownGatewayError: the inventory has no such gateway.
        """
        world = self._world
        async with world.lock:
            asked = permit_outlook.ask(world, serial, request)
            world.asked[serial] = world.clocks.monotonic()
            answer = decide(asked)
            if isinstance(answer, Deferred):
                return self._deferral(serial, answer)
            if asked.rollout is not None and not answer.renewed:
                try:
                    await self._give(asked, asked.rollout, answer.valid_s)
                except StoreUnavailableError as error:
                    waits = Deferred(f"DEFER: audit: {error}"[:500], UNWRITABLE_RETRY_S)
                    return self._deferral(serial, waits)
            self._deferred.pop(serial, None)
        return PermitReply(granted=True, epoch=world.epoch, valid_s=answer.valid_s)

    async def _give(self, asked: Ask, rollout: Rollout, valid_s: float) -> None:
        world, serial, request = self._world, asked.place.serial, asked.request
        sighting = world.sightings.get(serial)
        grant = Grant(
            serial=serial,
            rollout=rollout.id,
            digest=request.digest,
            attempt=request.attempt,
            boot_epoch=request.boot_epoch,
            epoch=world.epoch,
            seen=(0, 0) if sighting is None else sighting.key,
            valid_s=valid_s,
            at=world.clocks.now(),
        )
        facts = {
            "rollout": grant.rollout,
            "digest": grant.digest,
            "attempt": grant.attempt,
            "epoch": grant.epoch,
            "valid_s": valid_s,
        }
        if asked.safety:
            facts["tzdata"] = world.tzdata  # its change window was computed by these time zones
        # Counted from after the write: a slow disk makes our lease longer, never shorter.
        event = Event("permit.granted", serial, facts)
        await self._store.change(
            f"gateway:{serial}", [event], lambda tx: tables.save_grant(tx, grant, event)
        )
        world.grants[serial] = grant
        world.granted[serial] = world.clocks.monotonic()
        world.wake.set()
        log.info("permit.granted", serial=serial, rollout=grant.rollout, attempt=grant.attempt)

    def _deferral(self, serial: str, answer: Deferred) -> PermitReply:
        self._note(serial, answer)
        return PermitReply(
            granted=False,
            epoch=self._world.epoch,
            reason=answer.reason,
            retry_after_s=answer.retry_after_s,
        )

    def _note(self, serial: str, answer: Deferred) -> None:
        if self._deferred.get(serial) != answer.reason:
            self._deferred[serial] = answer.reason
            log.info("permit.deferred", serial=serial, reason=answer.reason)
