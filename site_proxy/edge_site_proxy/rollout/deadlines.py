"""How long a gateway may stay in one state of an attempt before it is SUSPECT; pure.

Every state that is not an end has a deadline, so no rollout waits for ever. A gateway that is over
it is shown with the time since, and the others go on without it; what it locks stays locked until
it reports or a person declares it dead.
"""

from edge_core.contracts.gateway import UpdateState
from edge_core.contracts.rollout import Policy

LOAD_S = 300.0  # after its permit a gateway loads the release and smokes it once more
BACK_S = 600.0  # a way back loads what was verified before; of a pair one goes after the other
SLACK_S = 60.0  # heartbeats come half a minute apart, and disks can be slow


def deadline_s(state: UpdateState, policy: Policy) -> float | None:
    """Seconds that *state* may last under *policy*; None where it is an end.

    In STAGED and AWAITING_PERMIT they count from the last time that a gateway asked for a permit:
    one that keeps asking is told why it waits.
    """
    match state:
        case UpdateState.IDLE | UpdateState.ASSIGNED | UpdateState.DOWNLOADING:
            return policy.stage_deadline_s
        case UpdateState.VERIFIED | UpdateState.STAGED | UpdateState.AWAITING_PERMIT:
            return policy.stage_deadline_s
        case UpdateState.ACTIVATING:
            return policy.permit_valid_s + LOAD_S
        case UpdateState.TRIAL:
            return policy.trial.duration_max_s + SLACK_S
        case UpdateState.ROLLING_BACK:
            return BACK_S
        case _:
            return None


def overdue_s(state: UpdateState, stood_s: float, policy: Policy) -> float:
    """How far beyond its deadline a gateway is that has been in *state* for *stood_s* seconds."""
    limit_s = deadline_s(state, policy)
    return 0.0 if limit_s is None else max(0.0, stood_s - limit_s)
