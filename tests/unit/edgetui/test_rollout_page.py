"""What a person reads about a rollout: how long it takes, and who is left out."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from edge_core.contracts.rollout import Eta, OnFail, RolloutView, SignedPlanRef
from edgetui.present.rollout_page import rollout_page, way_back
from edgetui.signing import approval_facts
from tests.simulators.site import Site

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
WHY = "cohort rest: 12 cells of line L3, one at a time, 30 min each, 8 h windows: 3 windows"


@pytest.fixture
def view() -> RolloutView:
    """A rollout that waits for its approval."""
    return next(iter(Site(gateway_count=3, window_count=1).rollouts.values()))


def words(lines: list[object]) -> str:
    """A page as one text without its folds."""
    return " ".join(" ".join(str(line).split()) for line in lines)


def test_how_long_it_takes(view: RolloutView) -> None:
    """The page says when it ends, and what sets that."""
    eta = Eta(at=NOW, ends=NOW + timedelta(days=2), why=WHY, legs=[])
    shown = msgspec.structs.replace(view, eta=eta)
    said = f"takes until 2026-11-24 08:00:00Z at best; longest: {WHY}"
    assert said in words([*rollout_page(shown, 80)])


def test_it_would_never_end(view: RolloutView) -> None:
    """Where no change window will do it says so, before anybody approves it."""
    eta = Eta(at=NOW, ends=None, why="never: cohort safety: no change window", legs=[])
    said = words([*rollout_page(msgspec.structs.replace(view, eta=eta), 80)])
    assert "takes it would not end; longest: never: cohort safety" in said


def test_who_is_left_out(view: RolloutView) -> None:
    """Each with its reason; without any there is no such heading."""
    out = {"gw-7": "maintenance: new disk", "gw-8": "runs another target"}
    said = words([*rollout_page(msgspec.structs.replace(view, excluded=out), 80)])
    assert "left out gw-7 maintenance: new disk gw-8 runs another target" in said
    assert "left out" not in words([*rollout_page(view, 80)])


def test_what_a_failed_gate_leads_to(view: RolloutView) -> None:
    """Beside the way back stands whether a person has to take it; never where there is none."""
    itself = msgspec.structs.replace(view, on_fail=OnFail.AUTO_ROLLBACK)
    assert "by itself" not in way_back(view)
    assert way_back(itself).endswith(", by itself if a gate fails")
    assert "by itself" not in way_back(msgspec.structs.replace(itself, rollback_to=None))


def test_under_which_signed_plan(view: RolloutView) -> None:
    """The page says who signed it, the dialog which plan it is; neither where there is none."""
    keys = ["key-a", "key-b"]
    signed = SignedPlanRef(digest="sha256:" + "9a" * 32, sequence=8, expires=NOW, signers=keys)
    under = msgspec.structs.replace(view, signed=signed)
    said = words([*rollout_page(under, 80)])
    assert "ordered plan 8 9a9a9a9a9a9a, signed by key-a, key-b" in said
    assert "under plan 8 9a9a9a9a9a9a" in words([*approval_facts(under, 80)])
    assert len(approval_facts(under, 80)) == len(approval_facts(view, 80))
    assert "ordered" not in words([*rollout_page(view, 80)])
    assert "under plan" not in words([*approval_facts(view, 80)])
