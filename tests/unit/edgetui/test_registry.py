"""The keys: no clashes, a handler for each, and dead without role or arming."""

import time
from pathlib import Path

import pytest

from edge_core.contracts.api import Action, Role, WhoAmI
from edgetui.app import DETAILS, MODES, Console, desk_for
from edgetui.keys.registry import (
    ANYWHERE,
    REGISTRY,
    Bound,
    at_key,
    clashes,
    footer,
    on_screen,
    why_not,
)
from edgetui.link import Link
from edgetui.present.help_page import help_page
from edgetui.screens.board import Board

SCREENS = sorted({s for b in REGISTRY for s in b.screens} - ANYWHERE)
# Keys that terminals, tmux or Docker take for themselves, or that arrive as another key.
TAKEN = {"f11", "tab", *(f"ctrl+{letter}" for letter in "abhijmqsz\\")} - {"ctrl+q"}


def person(*may: Action) -> WhoAmI:
    """Somebody with these rights."""
    return WhoAmI(user="x", uid=1, roles=[Role.VIEWER], may=list(may), site="s")


def test_no_key_is_bound_twice_on_a_screen() -> None:
    """Wherever one is, a key does one thing."""
    assert clashes(REGISTRY) == []


def test_a_clash_is_found() -> None:
    """Two keys on one screen are told apart by name."""
    twice = [Bound("a", "x", "x", "", ""), Bound("b", "x", "x", "", "", frozenset({"here"}))]
    assert clashes(twice) == ["here: x is a and b"]


def test_a_letter_means_one_thing_on_all_monitoring_screens() -> None:
    """Only the label screen has a map of its own."""
    meanings: dict[str, set[str]] = {}
    for bound in REGISTRY:
        if bound.screens != frozenset({"label"}):
            for key in bound.key.split(","):
                meanings.setdefault(key, set()).add(bound.id)
    assert {key: ids for key, ids in meanings.items() if len(ids) > 1} == {}


def test_ids_are_given_once() -> None:
    """An id names one action."""
    ids = [bound.id for bound in REGISTRY]
    assert len(ids) == len(set(ids))


def test_no_key_is_one_that_others_take() -> None:
    """Nothing is bound that tmux, Docker or a terminal would keep for itself."""
    assert {key for b in REGISTRY for key in b.key.split(",")} & TAKEN == set()


def test_what_moves_a_model_is_a_capital_that_has_to_be_armed() -> None:
    """Approve, hold, resume, cancel, rollback, safe mode: capitals, armed, with a role."""
    orders = {"approve", "hold", "resume", "cancel", "switch"}
    orders |= {"rollback", "safe_mode", "snapshot"}
    orders |= {"acknowledge", "revoke", "pin_reset"}
    found = {b.id: b for b in REGISTRY if b.id in orders}
    assert set(found) == orders
    assert all(b.key.isupper() and b.armed and b.action for b in found.values())


@pytest.mark.parametrize("screen", SCREENS)
def test_every_key_has_a_handler(screen: str) -> None:
    """Each key of a screen ends in a method; none is dead by mistake."""
    desk = desk_for(Path("/nowhere"), Link(time.monotonic), low=False, ascii_only=False)
    Console(desk)
    boards: dict[str, Board] = {name: board(desk) for name, board in MODES.items()}
    boards |= {kind: board(desk, "x") for kind, (_, board) in DETAILS.items()}
    board = boards[screen]
    missing = [b.id for b in on_screen(screen) if board.handler(b.id) is None]
    assert missing == []


def test_footer_shows_only_what_works_now() -> None:
    """Capitals appear once armed and only with the role."""
    looking = {b.id for b in footer("rollout", person(), armed=True)}
    resting = {b.id for b in footer("rollout", person(Action.APPROVE), armed=False)}
    armed = {b.id for b in footer("rollout", person(Action.APPROVE), armed=True)}
    assert "approve" not in looking | resting
    assert "approve" in armed
    assert "hold" not in armed


def test_why_a_key_does_nothing() -> None:
    """The missing role is said before the missing arming; with both there is nothing to say."""
    bound = at_key("A", "rollout")
    assert bound is not None
    assert "roles" in why_not(bound, person(), armed=True)
    assert "press e" in why_not(bound, person(Action.APPROVE), armed=False)
    assert why_not(bound, person(Action.APPROVE), armed=True) == ""


@pytest.mark.parametrize("screen", SCREENS)
def test_help_lists_every_key(screen: str) -> None:
    """The help page is made from the registry, so nothing is missing from it."""
    text = "\n".join(str(line) for line in help_page(screen, person(), 200))
    assert all(bound.help in text for bound in on_screen(screen))
