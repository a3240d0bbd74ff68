"""S16: the state is its log; every test with a plant asks so at its end, and some at each step."""

from functools import partial

from edge_site_proxy.audit.log import events_about
from edge_site_proxy.rollout import tables
from edge_site_proxy.store import Store


async def assert_state_is_the_log(store: Store) -> None:
    """S16: every state change has its event, and the log alone gives the state."""
    rollouts = await store.read(tables.load_rollouts)
    for rollout in rollouts.values():
        told = await store.read(partial(events_about, noun="rollout", subject=rollout.id))
        if not told:
            assert rollout.state.value == "verifying", rollout.id
            continue
        facts = told[-1].facts
        assert facts["state"] == rollout.state.value, rollout.id
        assert facts["cohort_number"] == rollout.header.cohort, rollout.id
        assert facts["holds"] == sorted(hold.value for hold in rollout.header.holds), rollout.id
