"""How the members of a rollout stand, seen a slice at a time, so that heartbeats have their turn.

Thousands of members take a tenth of a second. What changes while we look is seen again by
`renewed`, under the lock, so that a decision rests on nothing older than the lock; of time alone
it may be that tenth behind.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from edge_site_proxy.fleet.sightings import Sighting
from edge_site_proxy.rollout import outlook
from edge_site_proxy.rollout.facts import GONE, Standing
from edge_site_proxy.rollout.records import Grant, Rollout
from edge_site_proxy.rollout.world import Plant, World

AT_ONCE = 250  # members looked at without a break: some 5 ms


@dataclass(frozen=True, slots=True)
class Seen:
    """One member, and what it was seen from: values that are replaced and never changed."""

    standing: Standing
    plant: Plant
    sighting: Sighting | None
    grant: Grant | None


async def look_at(world: World, rollout: Rollout) -> dict[str, Seen]:
    """Every member of *rollout*, by serial; nobody's while it is over."""
    found: dict[str, Seen] = {}
    for serial in _members(rollout):
        if found and len(found) % AT_ONCE == 0:
            await asyncio.sleep(0)
        found[serial] = _seen(world, rollout, serial)
    return found


def renewed(world: World, rollout: Rollout, seen: dict[str, Seen]) -> dict[str, Standing]:
    """How they stand now: those of whom something new is known since are looked at again."""
    return {
        serial: each.standing
        if each.sighting is world.sightings.get(serial)
        and each.grant is world.grants.get(serial)
        and each.plant is world.plant
        else _seen(world, rollout, serial).standing
        for serial, each in seen.items()
    }


def standings_now(world: World, rollout: Rollout) -> dict[str, Standing]:
    """The same in one go, for a single question."""
    return {serial: _seen(world, rollout, serial).standing for serial in _members(rollout)}


def _members(rollout: Rollout) -> Iterator[str]:
    if rollout.open:
        for part in rollout.plan.cohorts:
            yield from part.members


def _seen(world: World, rollout: Rollout, serial: str) -> Seen:
    stands = serial in world.plant.places
    return Seen(
        standing=outlook.standing(world, rollout, serial) if stands else GONE,
        plant=world.plant,
        sighting=world.sightings.get(serial),
        grant=world.grants.get(serial),
    )
