"""All gateways, and one with its four references."""

from collections.abc import Callable
from dataclasses import dataclass

from edge_core.contracts.api import GatewayView
from edgetui.desk import Desk
from edgetui.feed import GATEWAYS
from edgetui.present.fleet_page import doing, gateway_columns, gateway_page, latest, target_of
from edgetui.present.lines import Tone, say
from edgetui.present.sources import Listing, Page, Source
from edgetui.screens.board import Board
from edgetui.screens.listing import ListingBoard
from edgetui.screens.orders import GatewayOrders


@dataclass(frozen=True, slots=True)
class Order:
    """One way to sort gateways."""

    words: str
    key: Callable[[GatewayView], tuple[float, str]]


def _silence(view: GatewayView) -> tuple[float, str]:
    return (-(view.age_s if view.age_s is not None else float("inf")), view.place.serial)


def _latency(view: GatewayView) -> tuple[float, str]:
    window = latest(view)
    return (-float(window.latency_p99_us if window else 0), view.place.serial)


ORDERS = (
    Order("name", lambda view: (0.0, view.place.serial)),
    Order("silence", _silence),
    Order("latency", _latency),
    Order("state", lambda view: (0.0, doing(view))),
)


class GatewaysBoard(ListingBoard[GatewayView]):
    """One line a gateway, thousands of them."""

    place = "gateways"
    wants = (GATEWAYS,)

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.orders = (GatewayOrders(self, self.chosen),)
        self._order = 0

    def where(self) -> str:
        """The screen, and how it is sorted."""
        return f"{super().where()}  by {ORDERS[self._order].words}"

    def listing(self) -> Listing[GatewayView]:
        """In the order that was asked for."""
        feed = self.desk.feed
        rows = sorted(feed.seen.gateways.values(), key=ORDERS[self._order].key)
        return Listing(gateway_columns(feed.late_s), rows, target_of)

    def draw(self) -> None:
        """Draw, and have the feed read those in sight by themselves: the list has no health."""
        super().draw()
        if self.is_mounted:
            at, rows = max(0, self.body.position[0] - 1), max(1, self.body.size.height)
            near = self.shown[max(0, at - rows) : at + rows]
            self.desk.feed.see(*(view.place.serial for view in near))

    def do_sort(self) -> None:
        """Sort by the next thing."""
        self._order = (self._order + 1) % len(ORDERS)
        self.tell(f"sorted by {ORDERS[self._order].words}")

    def do_down(self) -> None:
        """Open the gateway under the cursor."""
        if self.body.target is not None:
            self.desk.go(self.body.target)


class GatewayBoard(Board):
    """One gateway."""

    place = "gateway"
    wants = (GATEWAYS,)

    def __init__(self, desk: Desk, serial: str) -> None:
        super().__init__(desk)
        self.thing = serial
        self.orders = (GatewayOrders(self, self.view),)

    def where(self) -> str:
        """The way here."""
        return f"Gateways > {self.thing}"

    def view(self) -> GatewayView | None:
        """The gateway as last heard of."""
        view = self.desk.feed.seen.gateways.get(self.thing)
        if view is None:
            self.tell(f"{self.thing} is not known yet", Tone.P3)
        return view

    def copied(self) -> str:
        """The gateway and what it runs, with the whole digest."""
        view = self.view()
        return self.thing if view is None else f"{self.thing} runs {view.running or 'nothing'}"

    def build(self, cells: int, rows: int) -> Source:
        """The page."""
        del rows
        feed = self.desk.feed
        feed.see(self.thing)
        view = feed.seen.gateways.get(self.thing)
        if view is None:
            return Page([say(f"{self.thing}: not heard of yet", cells)])
        return Page(gateway_page(view, cells, feed.late_s(view)))
