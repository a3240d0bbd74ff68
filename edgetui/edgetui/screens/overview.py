"""The first screen: the whole site, and what needs somebody now."""

from edge_core.contracts.api import Overview
from edgetui.present.fleet_page import overview_page
from edgetui.present.lines import Target, Tone, say
from edgetui.present.ops_page import needs_you
from edgetui.present.sources import Page, Source
from edgetui.screens.board import Board


class OverviewBoard(Board):
    """Lines, what needs somebody, rollouts."""

    place = "overview"

    def build(self, cells: int, rows: int) -> Source:
        """The page, or why there is none yet."""
        del rows
        view = self.desk.feed.seen.overview
        if view is None:
            return Page([say("waiting for the site proxy", cells)])
        return Page(overview_page(view, cells, self.desk.feed.age_s() or 0.0))

    def do_down(self) -> None:
        """Open the thing under the cursor."""
        if self.body.target is not None:
            self.desk.go(self.body.target)

    def do_needed(self) -> None:
        """Open what needs somebody, by its number."""
        view = self.desk.feed.seen.overview
        wanted = [] if view is None else needs_you(view, self.size.width)
        number = int(self.pressed)
        if number > len(wanted):
            self.tell(f"there is no number {number}", Tone.P3)
            return
        target = wanted[number - 1].target
        if target is not None:
            self.desk.go(target)

    def do_members(self) -> None:
        """The gateways of the line or rollout under the cursor."""
        target, view = self.body.target, self.desk.feed.seen.overview
        if target is not None and view is not None:
            self.desk.go(Target("members", _named(target, view)))


def _named(target: Target, view: Overview) -> str:
    if target.kind != "rollout":
        return target.name
    rollout = next((r for r in view.rollouts if r.id == target.name), None)
    return rollout.lines[0] if rollout and rollout.lines else ""
