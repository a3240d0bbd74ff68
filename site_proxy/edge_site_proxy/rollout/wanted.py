"""What the site wants of one gateway: its assignment, a way back, safe mode; reads only.

A rollback order outranks every assignment and is sticky: it stands, over restarts and absences,
until the gateway is seen to have left that release. Of a redundancy group one goes back at a time.
"""

from dataclasses import dataclass

from edge_core.contracts.gateway import Assignment, Desired, RollbackOrder
from edge_core.contracts.rollout import Hold, RolloutState
from edge_site_proxy.rollout.budget import metered
from edge_site_proxy.rollout.facts import STUCK
from edge_site_proxy.rollout.planner import current_rollout
from edge_site_proxy.rollout.records import MOVING, Rollout
from edge_site_proxy.rollout.strategies import blue_green
from edge_site_proxy.rollout.world import World

_SOAKS = frozenset({RolloutState.STAGING, RolloutState.ACTIVATING, RolloutState.SOAKING})
_LEFT = frozenset(
    {RolloutState.ROLLING_BACK, RolloutState.ROLLED_BACK, RolloutState.ROLLBACK_INCOMPLETE}
)


@dataclass(frozen=True, slots=True)
class Assigned:
    """The rollout that decides what a gateway should run, and whether it may ask for a permit.

    With `shadow` the release is seen beside the present one first, and with `beside` what ran
    before goes on beside the release while it soaks.
    """

    rollout: Rollout
    activate: bool
    shadow: bool
    beside: bool = False


def assigned(world: World, serial: str) -> Assigned | None:
    """Which release *serial* should run: of the rollout that has reached it, else the current.

    None while it is in maintenance: it keeps what it has, and catches up afterwards.
    """
    place = world.plant.place(serial)
    if serial in world.plant.maintenance or world.noted(serial).conflict is not None:
        return None
    unwanted = world.wish(serial).rollback
    for rollout in world.rollouts.values():
        if rollout.state in MOVING and rollout.plan.release.model == place.model:
            found = _in_progress(rollout, world.cohort_of(rollout, serial))
            if found is not None and not _refused(unwanted, rollout):
                return found
    current = current_rollout(world, place.model)
    if current is None or _refused(unwanted, current) or serial in current.plan.excluded:
        return None
    if older_than_known(world, serial, current) is not None:
        return None
    return Assigned(current, activate=not current.header.holds, shadow=False)


def older_than_known(world: World, serial: str, rollout: Rollout) -> str | None:
    """The newer or unknown release that *serial* runs, if that of *rollout* is a step down.

    A site that remembers less than its gateways takes nobody down; only an order to leave what
    runs there does.
    """
    sighting = world.sightings.get(serial)
    runs = None if sighting is None else sighting.report.references.committed
    if runs is None or runs == rollout.digest or _leaving(world, serial, runs):
        return None
    known, mine = world.releases.get(runs), rollout.plan.release
    if known is None:
        return f"{runs}, which this site does not know"
    if known.release.model != mine.model or known.release.release < mine.release:
        return None
    return f"{known.release.model} {known.release.version}"


def _leaving(world: World, serial: str, digest: str) -> bool:
    order = _order(world, serial)
    return order is not None and order.from_digest == digest


def _refused(unwanted: RollbackOrder | None, rollout: Rollout) -> bool:
    return unwanted is not None and unwanted.from_digest == rollout.digest


def _in_progress(rollout: Rollout, number: int | None) -> Assigned | None:
    header = rollout.header
    if number is None:
        return None
    ahead = number > header.cohort
    if ahead and not blue_green(rollout.plan):
        return None
    staging = ahead or (rollout.state is RolloutState.STAGING and number == header.cohort)
    shadow = rollout.plan.rollback_to is not None and number not in header.waived
    soaks = number == header.cohort and rollout.state in _SOAKS
    beside = shadow and soaks and rollout.plan.policy.shadow_pairs_min > 0
    # A permit that is out and unused is called back by word that nothing is to be activated.
    activate = not staging and Hold.APPROVAL not in header.holds
    return Assigned(rollout, activate=activate, shadow=shadow, beside=beside)


def rollback_order(world: World, serial: str) -> RollbackOrder | None:
    """The order to leave a release that *serial* still runs or tries, if any."""
    order = _order(world, serial)
    if order is None:
        return None
    group = world.plant.place(serial).redundancy_group
    if group is None:
        return order
    both = [each for each in world.plant.groups[group] if _order(world, each) is not None]
    return order if min(both, key=lambda each: _turn(world, each)) == serial else None


def rollback_owed(world: World, serial: str) -> bool:
    """Whether *serial* must still hear an order to go back before it may do anything else.

    One that has heard it and yet runs what it is to leave has nowhere to go back to. It stays
    ordered back, and a release that it is assigned meanwhile is its way out.
    """
    order = rollback_order(world, serial)
    desired, sighting = world.desired.get(serial), world.sightings.get(serial)
    if order is None or desired is None or sighting is None:
        return order is not None
    return desired.rollback != order or sighting.report.generation_seen < desired.generation


def _turn(world: World, serial: str) -> tuple[bool, bool, bool, bool, str]:
    """Who of a redundancy group goes back first: who can be reached, was told, is in the air."""
    sighting = world.sightings.get(serial)
    if sighting is None:
        return False, True, True, True, serial
    stuck = any(each.update.state in STUCK for each in sighting.attempts.values())
    # A permit that is out may be used at any moment, and is taken back before anybody else moves.
    flying = serial in world.grants or any(sighting.flying(digest) for digest in sighting.attempts)
    desired = world.desired.get(serial)
    # Whoever was told may be on its way already, and keeps its turn until it is seen to have gone.
    told = desired is not None and desired.rollback is not None
    return stuck, not world.reachable(serial), not told, not flying, serial


def _order(world: World, serial: str) -> RollbackOrder | None:
    wish = world.wish(serial).rollback
    if wish is not None and _on(world, serial, wish.from_digest):
        return wish
    for rollout in world.rollouts.values():
        epoch = rollout.header.rollback_epoch
        if rollout.state in _LEFT and epoch is not None and _on(world, serial, rollout.digest):
            return RollbackOrder(
                from_digest=rollout.digest, epoch=epoch, reason=rollout.header.rollback_reason
            )
    return None


def _on(world: World, serial: str, digest: str) -> bool:
    """Whether *serial* runs *digest*, tries it, or holds a permit for it, as far as is known."""
    grant = world.grants.get(serial)
    if grant is not None and grant.digest == digest:
        return True
    sighting = world.sightings.get(serial)
    if sighting is None:
        return False
    report = sighting.report
    return sighting.flying(digest) or digest in {report.effective, report.references.committed}


def wanted(world: World, serial: str) -> Desired:
    """What *serial* should be told; generation and epoch are filled in when it differs."""
    found = assigned(world, serial)
    wish = world.wish(serial)
    assignment = None
    if found is not None:
        header, plan = found.rollout.header, found.rollout.plan
        assignment = Assignment(
            release=plan.release,
            attempt=header.attempts.get(serial, 1),
            rollout=header.id,
            activate=found.activate,
            shadow_pairs_min=plan.policy.shadow_pairs_min if found.shadow else 0,
            trial=plan.policy.trial,
            former_beside=found.beside,
            metered=metered(world.settings.downloads, plan.policy),
        )
    return Desired(
        serial=serial,
        generation=0,
        epoch=0,
        repository=world.plant.place(serial).model,
        assignment=assignment,
        rollback=rollback_order(world, serial),
        safe_mode=wish.safe_mode,
        snapshot=wish.snapshot,
        health_window_s=world.settings.health_window_s,
        review_budget=world.settings.review_budget,
    )
