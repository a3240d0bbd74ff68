"""Which gateways may have to be told something new, without asking what of each; reads only.

What a gateway is told follows from its own state, from its redundancy group's and from all
rollouts. States are replaced and never changed in place, so one that is still the same object is
still the same. Time alone changes little: everybody is looked at now and then for that.
"""

from collections.abc import Iterable

from edge_site_proxy.rollout.records import Rollout
from edge_site_proxy.rollout.world import World

SMALL = 500  # gateways that are all looked at in every pass, which takes some 10 ms
EVERYBODY_S = 5.0  # the longest that a change by time alone goes unseen at a larger plant

State = tuple[object, ...]


class Glance:
    """Remembers what was seen of each gateway at the last look."""

    def __init__(self) -> None:
        self._rollouts: list[Rollout] = []
        self._states: dict[str, State] = {}
        self._everybody_at: float | None = None

    def forget(self) -> None:
        """Look at everybody the next time: what was seen was not acted on."""
        self._everybody_at = None

    def stirred(self, world: World) -> list[str]:
        """Serials to look at now, in the order of the inventory."""
        places = world.plant.places
        states = {serial: _state(world, serial) for serial in places}
        before, self._states = self._states, states
        if self._whole(world):
            return list(places)
        found = {serial for serial in places if not _same(before.get(serial, ()), states[serial])}
        wanted = _with_groups(world, found)
        return [serial for serial in places if serial in wanted]

    def _whole(self, world: World) -> bool:
        rollouts = list(world.rollouts.values())
        before, self._rollouts = self._rollouts, rollouts
        now, last = world.clocks.monotonic(), self._everybody_at
        due = last is None or now - last >= EVERYBODY_S
        if due or len(world.plant.places) <= SMALL or not _same(before, rollouts):
            self._everybody_at = now
            return True
        return False


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
    return serials.union(*(world.plant.groups.get(group or "", []) for group in groups))
