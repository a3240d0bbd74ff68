"""The capital keys: each opens a dialog about the thing under the cursor."""

from collections.abc import Callable

from edge_core.contracts.api import GatewayView
from edge_core.contracts.rollout import RolloutView
from edgetui import orders, signing
from edgetui.present.lines import Tone
from edgetui.screens.board import Board
from edgetui.widgets.dialog import OrderDialog


class RolloutOrders:
    """Approve, acknowledge, revoke, hold, resume, cancel, switch, roll back; and the PIN."""

    def __init__(self, board: Board, chosen: Callable[[], RolloutView | None]) -> None:
        self._board = board
        self._chosen = chosen

    def do_approve(self) -> None:
        """Approve the plan on the screen."""
        view = self._chosen()
        if view is not None and self._board.desk.feed.stale:
            self._board.tell("STALE: nothing is approved on old data", Tone.P1)
        elif view is not None:
            ask(self._board, signing.approve(view))

    def do_hold(self) -> None:
        """Grant no more permits."""
        self._ask("hold")

    def do_resume(self) -> None:
        """Take the operator's hold away, or waive a gate."""
        view = self._chosen()
        if view is not None:
            ask(self._board, signing.resume(view))

    def do_revoke(self) -> None:
        """Take every signature back."""
        view = self._chosen()
        if view is not None:
            ask(self._board, signing.revoke(view))

    def do_acknowledge(self) -> None:
        """Say that the shift knows of it."""
        self._ask("acknowledge")

    def do_pin(self) -> None:
        """Set one's own PIN."""
        ask(self._board, signing.pin())

    def do_pin_reset(self) -> None:
        """Take somebody's PIN away."""
        ask(self._board, signing.pin_reset())

    def do_cancel(self) -> None:
        """End the rollout."""
        self._ask("cancel")

    def do_rollback(self) -> None:
        """Take the model back everywhere."""
        self._ask("rollback")

    def do_switch(self) -> None:
        """Let green take over."""
        self._ask("switch")

    def _ask(self, verb: str) -> None:
        view = self._chosen()
        if view is not None:
            ask(self._board, orders.on_rollout(view, verb))


class GatewayOrders:
    """Roll back, safe mode, snapshot."""

    def __init__(self, board: Board, chosen: Callable[[], GatewayView | None]) -> None:
        self._board = board
        self._chosen = chosen

    def do_rollback(self) -> None:
        """Take one gateway's model back."""
        self._ask(orders.gateway_rollback)

    def do_safe_mode(self) -> None:
        """Into safe mode, or out of it."""
        self._ask(orders.safe_mode)

    def do_snapshot(self) -> None:
        """Keep what the gateway knows."""
        self._ask(orders.snapshot)

    def _ask(self, question: Callable[[GatewayView], orders.Question]) -> None:
        view = self._chosen()
        if view is not None:
            ask(self._board, question(view))


def ask(board: Board, question: orders.Question) -> None:
    """Open the dialog, and hear no key until it can have been seen."""
    board.desk.go_deaf()
    board.app.push_screen(OrderDialog(board.desk, question))
