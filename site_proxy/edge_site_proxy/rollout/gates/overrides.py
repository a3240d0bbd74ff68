"""Whether operators turn against a new release in its first hour; pure.

People see what no metric shows. So many overrides so soon page somebody, proved or not: it decides
nothing, the gate's own goal on overrides does.
"""

from datetime import datetime, timedelta

from edge_core.contracts.gates import GateLimits
from edge_site_proxy.rollout.gates.evidence import History, Tally

FIRST = timedelta(hours=1)


def turned_down(running: Tally, history: History | None, limits: GateLimits) -> str:
    """What to say of one gateway, empty where there is nothing to say.

    Args:
        running: what the release did in charge; its first hour is counted from its first window.
        history: what operators did before; none of it counts as never.
        limits: as frozen in the plan.
    """
    if running.first is None:
        return ""
    until = running.first + FIRST
    early = sum(
        count
        for begun, count in running.overridden.items()
        if datetime.fromisoformat(begun) < until
    )
    hours = 0.0 if history is None else history.exposure_s / FIRST.total_seconds()
    usual = history.overrides / hours if history is not None and hours else 0.0
    if early < limits.overrides_page_min or early <= limits.ratio_worst * usual:
        return ""
    return f"{early} verdicts overridden in the first hour, usually {usual:.2g} an hour"
