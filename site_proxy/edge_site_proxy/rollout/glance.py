"""Which gateways may have to be told something new, without asking what of each; reads only.

What a gateway is told follows from its own state, from its redundancy group's and from all
rollouts. States are replaced and never changed in place, so one that is still the same object is
still the same. Time alone changes little: everybody is looked at now and then for that.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from edge_site_proxy.rollout.records import Rollout
from edge_site_proxy.rollout.world import World

SMALL = 500  # gateways that are all looked at in every pass, which takes some 10 ms
EVERYBODY_S = 5.0  # the longest that a change by time alone goes unseen at a larger plant

State = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Look:
    """What was there at the last look, and when everybody was looked at, monotonic seconds."""

    rollouts: list[Rollout]
    states: dict[str, State]
    everybody_s: float


class Glance:
    """Remembers what was seen of each gateway at the last look."""

    def __init__(self) -> None:
        self._last: _Look | None = None

    def forget(self) -> None:
        """Look at everybody the next time: what was seen was not acted on."""
        self._last = None

    def stirred(self, world: World) -> list[str]:
        """Serials to look at now, in the order of the inventory."""
        places, now = world.plant.places, world.clocks.monotonic()
        rollouts = list(world.rollouts.values())
        states = {serial: _state(world, serial) for serial in places}
        last = self._last
        if (
            last is None
            or len(places) <= SMALL
            or now - last.everybody_s >= EVERYBODY_S
            or not _same(last.rollouts, rollouts)
        ):
            self._last = _Look(rollouts, states, now)
            return list(places)
        self._last = _Look(rollouts, states, last.everybody_s)
        # One that has taken another's place was not there at the last look.
        seen = last.states
        found = {each for each in places if not _same(seen.get(each, ()), states[each])}
        wanted = _with_groups(world, found)
        return [serial for serial in places if serial in wanted]


def _state(world: World, serial: str) -> State:
    return (
        world.sightings.get(serial),
        world.desired.get(serial),
        world.grants.get(serial),
        world.wishes.get(serial),
        world.marks.get(serial),
    )


def _same(before: Iterable[object], after: Iterable[object]) -> bool:
    """Whether these are the very same objects."""
    return [id(each) for each in before] == [id(each) for each in after]


def _with_groups(world: World, serials: set[str]) -> set[str]:
    """*serials* and whoever shares a redundancy group with one of them."""
    groups = {world.plant.places[serial].redundancy_group for serial in serials}
    return serials.union(*(world.plant.groups[group] for group in groups if group is not None))
