"""Why a gateway is not updating, in one line; reads only.

Its own last answer comes first, since it says what is in the way and until when. A gateway that
has nothing to wait for is told nothing.
"""

from edge_core.contracts.rollout import Hold, RolloutState
from edge_site_proxy.rollout import outlook
from edge_site_proxy.rollout.facts import staged
from edge_site_proxy.rollout.records import MOVING, PENDING, Rollout
from edge_site_proxy.rollout.strategies import blue_green
from edge_site_proxy.rollout.wanted import assigned
from edge_site_proxy.rollout.world import World


def why_not(world: World, serial: str) -> str:
    """What *serial* waits for, or nothing."""
    if serial not in world.plant.places:
        return "not in the inventory any more"
    if serial in world.plant.maintenance:
        return f"in maintenance: {world.plant.maintenance[serial]}"[:500]
    found = assigned(world, serial)
    if found is not None and not _settled(world, found.rollout, serial):
        words = world.deferred.get(serial) or _reached(world, found.rollout, serial)
        if words:
            return words[:500]
    return _ahead(world, serial)[:500]


def holds_of(world: World, rollout: Rollout) -> dict[Hold, str]:
    """Those that are kept, and the one that cannot be: its cause is that nothing can be kept."""
    trouble = world.trouble() if rollout.open else None
    if trouble is None:
        return rollout.header.holds
    return {**rollout.header.holds, Hold.AUDIT: f"the audit log cannot be written: {trouble}"}


def _settled(world: World, rollout: Rollout, serial: str) -> bool:
    """Whether its attempt at this release is over, or in the air."""
    now = outlook.standing(world, rollout, serial)
    return now.done or now.in_flight


def _reached(world: World, rollout: Rollout, serial: str) -> str:
    """Its cohort's turn has come: what keeps the cohort."""
    holds = holds_of(world, rollout)
    if holds:
        return _held(rollout.id, holds)
    now = outlook.standing(world, rollout, serial)
    if rollout.state is RolloutState.STAGING and staged(rollout, now):
        cohort = rollout.plan.cohorts[rollout.header.cohort].name
        waits = "the switch" if blue_green(rollout.plan) else "the rest of it"
        return f"staged with cohort {cohort} of {rollout.id}; waits for {waits}"
    return ""


def _ahead(world: World, serial: str) -> str:
    """A rollout that will come to it, or passes it by."""
    model = world.plant.place(serial).model
    for rollout in world.rollouts.values():
        if rollout.plan.release.model != model or rollout.state not in MOVING | PENDING:
            continue
        if serial in rollout.plan.excluded:
            return f"no part in {rollout.id}: {rollout.plan.excluded[serial]}"
        number = world.cohort_of(rollout, serial)
        if number is None:
            continue
        if rollout.state in PENDING:
            return f"{rollout.id} is {_words(rollout.state)}"
        if number > rollout.header.cohort:
            mine = rollout.plan.cohorts[number].name
            now = rollout.plan.cohorts[rollout.header.cohort].name
            holds = holds_of(world, rollout)
            held = f"; {_held('it', holds)}" if holds else ""
            return (
                f"moves with cohort {mine} of {rollout.id}; "
                f"cohort {now} is {_words(rollout.state)}{held}"
            )
    return ""


def _held(what: str, holds: dict[Hold, str]) -> str:
    return f"{what} is held ({'; '.join(f'{hold.value}: {why}' for hold, why in holds.items())})"


def _words(state: RolloutState) -> str:
    return state.value.replace("_", " ")
