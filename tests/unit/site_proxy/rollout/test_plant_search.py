"""Four gateways, three versions, every order: no promise is broken, and everything comes to rest.

Each walk lets some kinds of things go wrong, once and at any instant. Where that makes too many
states only the redundancy group is difficult: its gateways may be behind with what they say and
hear, while the others report every step and hear every wish at once. That the promises are such
that a plant could break them is what `test_worse_plants` shows.
"""

import pytest

from tests.unit.site_proxy.rollout.search import Bounds, Search

PAIR_ALONE = frozenset({"c", "d"})
WALKS: dict[str, Bounds] = {
    "two versions, permits lapse, and a gateway restarts": Bounds(
        mishaps=1, allowed=frozenset({"restart", "lease"})
    ),
    "three versions, and one gateway keeps up": Bounds(versions=2, attentive=frozenset({"d"})),
    "a person holds, or takes an approval back, and lets it go on": Bounds(
        people=1, allowed=frozenset({"hold", "revoke", "resume", "lease"})
    ),
    "a person rolls back": Bounds(
        people=1, allowed=frozenset({"roll back", "lease"}), attentive=PAIR_ALONE
    ),
    "a trial fails, or a gate fails or cannot tell": Bounds(
        mishaps=1, allowed=frozenset({"trial", "gate", "lease"}), attentive=PAIR_ALONE
    ),
    "a smoke test fails, or a deadline passes": Bounds(
        mishaps=1, allowed=frozenset({"smoke", "deadline"}), attentive=PAIR_ALONE
    ),
}


@pytest.mark.parametrize("name", WALKS)
def test_every_order(name: str) -> None:
    """S1 to S12, S18 and S20 hold in every state in reach, and L1, L3, L4 and L5 from each."""
    search = Search(WALKS[name]).run()
    print(f"{name}: {search.states} states, {search.steps} steps")  # noqa: T201 - what was proved
    assert search.broken == []
    assert search.restless() == []
    assert search.states > 5_000
