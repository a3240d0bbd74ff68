"""Who moves when: cohorts by rank of a hash, under the blast-radius rules; a pure function.

Rank is SHA-256(rollout id, 0x00, serial), so a plan can be recomputed by anybody and nobody can
pick the canary. Safety zones come last and by themselves. Where a rule cannot be kept, planning
refuses with the reason; a cohort is never quietly made smaller.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from edge_core.contracts.plant import GatewayPlace, Inventory, SafetyClass
from edge_core.contracts.rollout import Cohort, CohortRule
from edge_site_proxy.rollout.errors import UnplannableError

SAFETY_COHORT = "safety"


def rank(rollout: str, serial: str) -> bytes:
    """Where *serial* stands in this rollout; smaller is earlier."""
    return hashlib.sha256(rollout.encode() + b"\x00" + serial.encode()).digest()


def safety_zones(inventory: Inventory) -> frozenset[str]:
    """Names of the zones that move last and only under approval."""
    return frozenset(
        zone.name for zone in inventory.zones if zone.safety_class is SafetyClass.SAFETY
    )


def cohorts(
    rollout: str,
    places: Sequence[GatewayPlace],
    rules: Sequence[CohortRule],
    *,
    safety: frozenset[str],
    serving: bool,
    silent: frozenset[str] = frozenset(),
) -> list[Cohort]:
    """Divide *places* into cohorts.

    Args:
        rollout: the id; part of every rank.
        places: the gateways that take part, in any order.
        rules: sizes; the last rule takes whoever is left.
        safety: names of safety zones.
        serving: whether the gateways serve a model now. The first model of a plant disturbs
            nothing, so it goes to all in one cohort, still one cell of a line at a time.
        silent: gateways that are not heard now. They wait for the last cohort: one box that is
            off for a week must not be the canary that everybody waits for.

    Raises:
        UnplannableError: the rules cannot be kept.
    """
    if not places:
        raise UnplannableError(f"rollout {rollout}: expected gateways to move, found none")
    ranked = sorted(places, key=lambda place: (rank(rollout, place.serial), place.serial))
    if not serving:
        return [Cohort(name="install", members=[place.serial for place in ranked])]
    last = [place for place in ranked if place.zone in safety]
    plain = [place for place in ranked if place.zone not in safety]
    heard = [place for place in plain if place.serial not in silent]
    unheard = [place for place in plain if place.serial in silent] if heard else []
    made = _plain(rollout, heard or plain, unheard, rules, total=len(places)) if plain else []
    if last:
        made.extend(_safety(last))
    return made


def _plain(
    rollout: str,
    ranked: Sequence[GatewayPlace],
    unheard: Sequence[GatewayPlace],
    rules: Sequence[CohortRule],
    *,
    total: int,
) -> list[Cohort]:
    left = _stratified(ranked)
    made: list[Cohort] = []
    before: frozenset[str] = frozenset()
    for position, rule in enumerate(rules[:-1]):
        if not left:
            break
        quota = max(rule.least, _ceil(rule.share, total))
        # A plant smaller than the sum of its cohorts ends early; the canary is never short.
        if position and quota > len(left):
            break
        chosen = _fill(left, quota, before, one_a_line=position == 0)
        if quota == 1 and not chosen:
            break  # one at a time, and only partners are left: they are in the waves of the rest
        if len(chosen) < quota:
            raise UnplannableError(_short(rollout, rule, quota, chosen, left))
        made.append(Cohort(name=rule.name, members=[place.serial for place in chosen]))
        before = _groups(chosen)
        taken = {place.serial for place in chosen}
        left = [place for place in left if place.serial not in taken]
    return [*made, *_rest(rules[-1].name, [*left, *unheard], before)]


def _ceil(share: float, total: int) -> int:
    """*share* of *total*, rounded up; 0.07 of 100 is 7, whatever binary fractions make of it."""
    return math.ceil(Fraction(str(share)) * total)


def _fill(
    left: Iterable[GatewayPlace], quota: int, before: frozenset[str], *, one_a_line: bool
) -> list[GatewayPlace]:
    chosen: list[GatewayPlace] = []
    groups, lines = set(before), set[str]()
    for place in left:
        if len(chosen) == quota:
            break
        group, line = place.redundancy_group, place.position.line
        if group in groups or (one_a_line and line in lines):
            continue
        chosen.append(place)
        lines.add(line)
        if group is not None:
            groups.add(group)
    return chosen


def _rest(name: str, left: Sequence[GatewayPlace], before: frozenset[str]) -> list[Cohort]:
    """Everybody left, in as many waves as the redundancy groups need."""
    made: list[Cohort] = []
    blocked = before
    waiting = list(left)
    while waiting:
        chosen = _fill(waiting, len(waiting), blocked, one_a_line=False)
        blocked = _groups(chosen)
        if not chosen:
            continue  # only partners are left; the cohort before is over when theirs begins
        number = len(made) + 1
        made.append(
            Cohort(
                name=name if number == 1 else f"{name}-{number}",
                members=[place.serial for place in chosen],
            )
        )
        taken = {place.serial for place in chosen}
        waiting = [place for place in waiting if place.serial not in taken]
    return made


def _safety(ranked: Sequence[GatewayPlace]) -> list[Cohort]:
    waves = _rest(SAFETY_COHORT, ranked, frozenset())
    return [Cohort(name=wave.name, members=wave.members, safety=True) for wave in waves]


def _stratified(ranked: Sequence[GatewayPlace]) -> list[GatewayPlace]:
    """Rank order, dealt round by round so that every stratum is met early.

    A stratum is (zone, hardware); strata are met in the order of their first member.
    """
    strata: Mapping[tuple[str, str], list[GatewayPlace]] = defaultdict(list)
    for place in ranked:
        strata[place.zone, place.hardware].append(place)
    dealt: list[GatewayPlace] = []
    for position in range(max((len(part) for part in strata.values()), default=0)):
        dealt.extend(part[position] for part in strata.values() if position < len(part))
    return dealt


def _groups(places: Iterable[GatewayPlace]) -> frozenset[str]:
    return frozenset(
        place.redundancy_group for place in places if place.redundancy_group is not None
    )


def _short(
    rollout: str,
    rule: CohortRule,
    quota: int,
    chosen: Sequence[GatewayPlace],
    left: Sequence[GatewayPlace],
) -> str:
    return (
        f"rollout {rollout}: cohort {rule.name} expected {quota} gateways, found {len(chosen)} of "
        f"{len(left)} that share no redundancy group with it or the cohort before, "
        "and in the first cohort no line; lower `least`, or give the plant more lines"
    )
