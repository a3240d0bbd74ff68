"""What a gateway is about, in words: why it does not move comes first."""

import msgspec
import pytest

from edge_core.contracts.api import GatewayView
from edge_core.contracts.gateway import UpdateReport, UpdateState
from edgetui.present.fleet_page import doing
from tests.simulators.site import Site

WAITS = "DEFER: line L3 has cell C7 (gw-7) in trial since 02:14 UTC; retry 02:44 UTC"


def told(state: UpdateState | None, defer: str) -> GatewayView:
    """A gateway that is heard, with what it waits for."""
    view = next(iter(Site(gateway_count=1, window_count=1).gateways.values()))
    update = (
        None
        if state is None
        else UpdateReport(digest="sha256:" + "0" * 64, attempt=1, state=state)
    )
    calm = {"enrolled": True, "stale": False, "safe_mode": False, "rollback_wanted": None}
    return msgspec.structs.replace(view, **calm, update=update, defer=defer)


ROWS = {
    "nothing is under way": (None, "", "steady"),
    "it was never told anything and waits": (None, WAITS, WAITS),
    "it waits for its permit": (UpdateState.AWAITING_PERMIT, WAITS, f"awaiting permit: {WAITS}"),
    "it is in the middle of it": (UpdateState.TRIAL, "", "trial"),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_doing(row: tuple[UpdateState | None, str, str]) -> None:
    """Each row is a gateway and what is said of it."""
    state, defer, words = row
    assert doing(told(state, defer)) == words
