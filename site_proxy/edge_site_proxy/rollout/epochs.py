"""Epochs: numbers that only grow, so that gateways tell who speaks for the site now."""

from edge_site_proxy.audit.events import Event
from edge_site_proxy.rollout import tables
from edge_site_proxy.rollout.world import World
from edge_site_proxy.store import Store

LOST_MAX = 50_000_000  # epochs since a copy of the state; a gateway that says more is wrong


def next_epoch(world: World) -> int:
    """Higher than any that a gateway has heard: what a person orders now must count."""
    told = [each.report.epoch_seen for each in world.sightings.values()]
    return max([world.epoch, *(each for each in told if each <= world.epoch + LOST_MAX)]) + 1


async def raise_epoch(world: World, store: Store, who: str, epoch: int, why: str) -> None:
    """Begin *epoch*. The caller holds the lock.

    Raises:
        StoreUnavailableError: it could not be kept, so it has not begun.
    """
    event = Event("site.epoch_raised", str(epoch), {"why": why})
    await store.change(who, [event], lambda tx: tables.save_number(tx, "epoch", epoch, event))
    world.epoch = epoch
