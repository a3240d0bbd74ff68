"""What a release's plan would be now: who takes part, the way back, the cohorts; reads only."""

import re
from collections import Counter
from dataclasses import dataclass

from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.plant import GatewayPlace
from edge_core.contracts.rollout import Cohort, Plan, Policy, RolloutState
from edge_site_proxy.fleet.places import successors
from edge_site_proxy.rollout.apart import held
from edge_site_proxy.rollout.cohorts import cohorts
from edge_site_proxy.rollout.errors import UnplannableError
from edge_site_proxy.rollout.records import IN_PROGRESS, Arrived, Header, Rollout
from edge_site_proxy.rollout.steering import steer
from edge_site_proxy.rollout.strategies import expand
from edge_site_proxy.rollout.world import World


@dataclass(frozen=True, slots=True)
class Prospect:
    """A plan, or why there is none."""

    plan: Plan | None = None
    refusal: str | None = None


def rollout_id(release: ReleaseRef) -> str:
    """A name that people can type, the same whenever the release arrives."""
    words = f"{release.model}-{release.version}-r{release.release}".lower()
    return re.sub(r"[^a-z0-9._-]", "-", words)[-80:].lstrip("._-")


def prospect(world: World, rollout: Rollout) -> Prospect:
    """What would be planned for the release of *rollout* at this moment."""
    arrived = world.releases[rollout.digest]
    places, excluded = _takers(world, arrived)
    back = _way_back(world, rollout, places)
    serving = back is not None or any(
        _effective(world, place.serial) is not None for place in places
    )
    release = arrived.release
    policy = expand(world.settings.policy, len(places))
    try:
        steered = steer(
            world.signed_plans.get(release.model), policy, release, back, world.clocks.now()
        )
        parts = _parts(world, rollout, places, steered.policy, serving=serving)
    except UnplannableError as error:
        return Prospect(refusal=str(error))
    return Prospect(
        Plan(
            rollout=rollout.id,
            release=release,
            rollback_to=back,
            author=arrived.author,
            created=rollout.header.created,
            policy=steered.policy,
            cohorts=parts,
            excluded=excluded,
            maintenance={
                serial: why
                for serial, why in sorted(world.plant.maintenance.items())
                if world.plant.place(serial).model == arrived.release.model
            },
            signers=arrived.signers,
            signed=steered.signed,
        )
    )


def opened(world: World, arrived: Arrived, name: str) -> Rollout:
    """A rollout of *arrived* that nothing is planned of yet."""
    header = Header(id=name, state=RolloutState.VERIFYING, created=arrived.at, changed=arrived.at)
    plan = Plan(
        rollout=name,
        release=arrived.release,
        rollback_to=None,
        author=arrived.author,
        created=arrived.at,
        policy=world.settings.policy,
        cohorts=[],
        signers=arrived.signers,
    )
    return Rollout(header=header, plan=plan)


def _parts(
    world: World, rollout: Rollout, places: list[GatewayPlace], policy: Policy, *, serving: bool
) -> list[Cohort]:
    """The cohorts; last, where the rules allow that, who is silent, held alone, or just put in."""
    # At the first start nobody was heard yet; that is not the same as silent.
    new = successors(world.plant.retired)
    silent = frozenset(
        place.serial
        for place in places
        if (place.serial in new and _effective(world, place.serial) is None)
        or (
            place.serial in world.sightings
            and (not world.reachable(place.serial) or held(world, place.serial))
        )
    )
    rules, safety = policy.cohorts, world.plant.safety
    try:
        return cohorts(rollout.id, places, rules, safety=safety, serving=serving, silent=silent)
    except UnplannableError:
        if not silent:
            raise
    return cohorts(rollout.id, places, rules, safety=safety, serving=serving)


def waits_for(world: World, rollout: Rollout) -> str | None:
    """Another rollout of the same model that has begun, or was approved before; one at a time."""
    model = rollout.plan.release.model
    for other in world.rollouts.values():
        if other.id == rollout.id or other.plan.release.model != model:
            continue
        ahead = other.state is RolloutState.APPROVED and (
            rollout.state is not RolloutState.APPROVED
            or (other.header.changed, other.id) < (rollout.header.changed, rollout.id)
        )
        if other.state in IN_PROGRESS or ahead:
            return other.id
    return None


def current_rollout(world: World, model: str) -> Rollout | None:
    """The rollout that last brought a release of *model* to everybody."""
    done = [
        rollout
        for rollout in world.rollouts.values()
        if rollout.state is RolloutState.COMPLETED and rollout.plan.release.model == model
    ]
    # By number, and not by a wall clock that may have been set back in between.
    return max(done, key=lambda each: (each.plan.release.release, each.id), default=None)


def _takers(world: World, arrived: Arrived) -> tuple[list[GatewayPlace], dict[str, str]]:
    places, excluded = [], {}
    for place in world.plant.inventory.gateways:
        out = place.serial in world.plant.maintenance
        if out or place.model != arrived.release.model:
            continue
        sighting = world.sightings.get(place.serial)
        can = sighting.report.targets if sighting is not None else []
        if can and not set(can) & set(arrived.targets):
            excluded[place.serial] = f"runs {', '.join(can)}: none is in the release"[:300]
        else:
            places.append(place)
    return places, excluded


def _way_back(world: World, rollout: Rollout, places: list[GatewayPlace]) -> ReleaseRef | None:
    """The release to go back to: the current one, else what most of them run."""
    current = current_rollout(world, rollout.plan.release.model)
    if current is not None and current.digest != rollout.digest:
        return current.plan.release
    run = Counter(
        digest
        for digest in (_effective(world, place.serial) for place in places)
        if digest is not None and digest != rollout.digest and digest in world.releases
    )
    return world.releases[run.most_common(1)[0][0]].release if run else None


def _effective(world: World, serial: str) -> str | None:
    sighting = world.sightings.get(serial)
    return None if sighting is None else sighting.report.effective
