"""Every way that two partners can be permitted, over the real guards: an exhaustive search.

One partner is difficult: its reports and answers are lost or late, it restarts, it falls silent.
The other is attentive: it uses a permit at once and the site hears of it at once. Since the guards
are the same for both, no more is needed to find a state with both in the air. Time is counted in
half leases; a message later than the margin is one that is lost.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from msgspec.structs import replace as replace_struct

from edge_core.contracts.gateway import UpdateReport, UpdateState
from edge_site_proxy.rollout.permits import (
    MARGIN_S,
    Ask,
    Granted,
    Neighbour,
    decide,
    lease_s,
    settled,
)
from edge_site_proxy.rollout.records import Grant
from tests.unit.site_proxy.plant.plant import INVENTORY
from tests.unit.site_proxy.rollout.test_permits import ASK, GRANT, REQUEST

TICK_S = 10.0
VALID_TICKS = 2  # 20 s, as the policy says
HELD_MAX = 3  # ticks after which a lease is surely over: 20 * 1.01 + 5 < 30
DIFFICULT, ATTENTIVE = INVENTORY.gateways[1], INVENTORY.gateways[2]
SAID = {"OLD": UpdateState.STAGED, "TRIAL": UpdateState.TRIAL, "NEW": UpdateState.COMMITTED}

Message = tuple[int, int, str]  # boot, number, state


@dataclass(frozen=True)
class World:
    """The difficult gateway, what the site knows of it, and the attentive one.

    `asked` and `held` are ages in ticks, of its request and of our grant; `heard` is the age of
    the newest report `key`, which said `said`. `permit` is with the gateway, `answer` on its way.
    """

    state: str = "OLD"
    asked: int | None = None
    permit: bool = False
    boot: int = 1
    spoken: int = 0
    messages: frozenset[Message] = frozenset()
    answer: bool = False
    held: int | None = None
    grant_boot: int = 1
    seen: tuple[int, int] = (1, 0)
    key: tuple[int, int] = (1, 0)
    said: str = "OLD"
    heard: int = 0
    other: str = "OLD"


@cache
def granted(
    who: str,
    held: int | None,
    boots: tuple[int, int],
    partner_flies: bool,  # noqa: FBT001 - a key of the cache
) -> bool:
    """Whether the real guards grant."""
    place, partner = DIFFICULT, ATTENTIVE
    if who == "other":
        place, partner = ATTENTIVE, DIFFICULT
    found = Neighbour(partner, partner_flies, not partner_flies, serving=True, why="x")
    ask: Ask = replace(ASK, place=place, neighbours={partner.serial: found})
    if held is not None:
        left_s = (VALID_TICKS - held) * TICK_S
        grant = replace_struct(GRANT, boot_epoch=boots[0])
        request = replace_struct(REQUEST, boot_epoch=boots[1])
        ask = replace(ask, grant=grant, left_s=left_s, request=request)
    return isinstance(decide(ask), Granted)


@cache
def free(
    grant: tuple[int, tuple[int, int], int], key: tuple[int, int], said: str, heard: int
) -> bool:
    """Whether the real rule frees the lock of the grant (boot, seen, age)."""
    boot, seen, held = grant
    kept = Grant(
        serial=GRANT.serial,
        rollout=GRANT.rollout,
        digest=GRANT.digest,
        attempt=1,
        boot_epoch=boot,
        epoch=1,
        seen=seen,
        valid_s=VALID_TICKS * TICK_S,
        at=GRANT.at,
    )
    report = UpdateReport(digest=GRANT.digest, attempt=1, state=SAID[said])
    why = settled(kept, report, key, held_s=held * TICK_S, heard_s=heard * TICK_S)
    return why is not None


def gateway_moves(world: World) -> Iterator[tuple[str, World]]:
    """What the difficult gateway may do next."""
    if world.state == "OLD" and world.asked is None:
        yield "asks", replace(world, asked=0)
    if world.asked is not None:
        yield "gives up", replace(world, asked=None, permit=False, answer=False)
    if world.permit and world.asked is not None and world.asked < VALID_TICKS:
        yield "activates", replace(world, state="TRIAL", asked=None, permit=False)
    if world.state == "TRIAL":
        yield "commits", replace(world, state="NEW")
    if world.boot < 2:
        # Its connections die with it, and so does an answer that was on its way.
        anew = replace(world, boot=2, spoken=0, asked=None, permit=False, answer=False)
        yield "restarts", anew
    if world.spoken < 2 and len(world.messages) < 2:
        number = world.spoken + 1
        said = world.messages | {(world.boot, number, world.state)}
        yield "reports", replace(world, spoken=number, messages=said)


def network_moves(world: World) -> Iterator[tuple[str, World]]:
    """What may become of messages under way: they arrive in any order, or never."""
    for message in world.messages:
        rest = replace(world, messages=world.messages - {message})
        yield "a report is lost", rest
        boot, number, state = message
        if (boot, number) > world.key:
            heard = replace(rest, key=(boot, number), said=state, heard=0)
            yield f"report {message} arrives", heard
    if world.answer:
        yield "the answer is lost", replace(world, answer=False)
        if world.asked is not None:
            yield "the answer arrives", replace(world, answer=False, permit=True)


def site_moves(world: World) -> Iterator[tuple[str, World]]:
    """What the site may do next, crash included; and what the attentive partner makes of it."""
    flies = world.held is not None or world.said == "TRIAL"
    if world.asked is not None and granted(
        "self", world.held, (world.grant_boot, world.boot), world.other == "TRIAL"
    ):
        first = world.held is None
        yield (
            "grant",
            replace(
                world,
                answer=True,
                held=0 if first else world.held,
                grant_boot=world.boot if first else world.grant_boot,
                seen=world.key if first else world.seen,
            ),
        )
    if world.held is not None:
        grant = (world.grant_boot, world.seen, world.held)
        if free(grant, world.key, world.said, world.heard):
            yield "settle", replace(world, held=None)
        yield "site restarts", replace(world, held=0, heard=0)
    if world.other == "OLD" and granted("other", None, (0, 0), flies):
        yield "partner begins its trial", replace(world, other="TRIAL")
    if world.other == "TRIAL":
        yield "partner ends its trial", replace(world, other="OLD")


def tick(world: World) -> World:
    """Ten seconds pass; what was under way is older than the margin and lost."""
    asked = None if world.asked is None else min(world.asked + 1, VALID_TICKS)
    held = None if world.held is None else min(world.held + 1, HELD_MAX)
    heard = min(world.heard + 1, HELD_MAX)
    return replace(world, asked=asked, held=held, heard=heard, messages=frozenset(), answer=False)


def test_partners_never_change_together() -> None:
    """Over every reachable state, one partner at most is on trial."""
    assert TICK_S > MARGIN_S
    assert lease_s(GRANT) < HELD_MAX * TICK_S
    start = World()
    came: dict[World, tuple[World, str] | None] = {start: None}
    queue = deque([start])
    while queue:
        world = queue.popleft()
        assert not (world.state == world.other == "TRIAL"), story(came, world)
        moves = [*gateway_moves(world), *network_moves(world), *site_moves(world)]
        for name, after in [*moves, ("time passes", tick(world))]:
            if after not in came:
                came[after] = (world, name)
                queue.append(after)
    assert len(came) > 2000


def story(came: dict[World, tuple[World, str] | None], world: World) -> list[str]:
    """How *world* was reached."""
    steps: list[str] = []
    before = came[world]
    while before is not None:
        steps.append(before[1])
        before = came[before[0]]
    return steps[::-1]
