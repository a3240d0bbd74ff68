"""All rollouts, and one with its gates and gateways."""

from edge_core.contracts.rollout import RolloutView
from edgetui.desk import Desk
from edgetui.present.lines import Target, Tone, say
from edgetui.present.rollout_page import ROLLOUT_COLUMNS, by_need, rollout_page, target_of
from edgetui.present.sources import Listing, Page, Source
from edgetui.screens.board import Board
from edgetui.screens.listing import ListingBoard
from edgetui.screens.orders import RolloutOrders


class RolloutsBoard(ListingBoard[RolloutView]):
    """One line a rollout."""

    place = "rollouts"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.orders = (RolloutOrders(self, self.chosen),)

    def listing(self) -> Listing[RolloutView]:
        """Those that wait for a person first."""
        view = self.desk.feed.seen.overview
        rollouts = sorted(view.rollouts if view else [], key=by_need)
        return Listing(ROLLOUT_COLUMNS, rollouts, target_of)

    def do_down(self) -> None:
        """Open the rollout under the cursor."""
        if self.body.target is not None:
            self.desk.go(self.body.target)

    def do_members(self) -> None:
        """Its gateways."""
        view = self.chosen()
        if view is not None and view.lines:
            self.desk.go(Target("members", view.lines[0]))


class RolloutBoard(Board):
    """One rollout: ladder, gates, gateways, approvals."""

    place = "rollout"

    def __init__(self, desk: Desk, name: str) -> None:
        super().__init__(desk)
        self.thing = name
        self.orders = (RolloutOrders(self, self.view),)

    def where(self) -> str:
        """The way here."""
        return f"Rollouts > {self.thing}"

    def view(self) -> RolloutView | None:
        """The rollout as last heard of."""
        view = self.desk.feed.seen.rollout(self.thing)
        if view is None:
            self.tell(f"{self.thing} is gone", Tone.P3)
        return view

    def build(self, cells: int, rows: int) -> Source:
        """The page."""
        del rows
        view = self.desk.feed.seen.rollout(self.thing)
        if view is None:
            return Page([say(f"{self.thing}: the site does not know it", cells)])
        return Page(rollout_page(view, cells))

    def copied(self) -> str:
        """What was decided about, with whole digests."""
        view = self.view()
        if view is None:
            return self.thing
        return f"{view.id} plan {view.plan_digest} release {view.release.digest}"

    def do_down(self) -> None:
        """Open the gateway under the cursor."""
        if self.body.target is not None:
            self.desk.go(self.body.target)

    def do_members(self) -> None:
        """Its gateways as a table."""
        view = self.view()
        if view is not None and view.lines:
            self.desk.go(Target("members", view.lines[0]))
