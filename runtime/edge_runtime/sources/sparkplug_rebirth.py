"""When to ask which edge node to announce itself anew; no I/O.

A node that is asked and stays silent is asked again, less and less often: the request may have
been lost, or the node may be away, and it announces itself when it comes back. However much goes
wrong, a node hears from us at most once an interval.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

PATIENCE_MAX: Final = 64  # intervals between two requests to a node that never answers

Node = TypeVar("Node", bound=Hashable)


@dataclass(slots=True)
class _Asking:
    at_s: float
    patience: int = 1


@dataclass(slots=True)
class Rebirths(Generic[Node]):
    """Requests that are due, or will be.

    Attributes:
        interval_s: at least so long between two requests to one node.
    """

    interval_s: float
    _asking: dict[Node, _Asking] = field(default_factory=dict)
    _asked_s: dict[Node, float] = field(default_factory=dict)

    def want(self, nodes: Iterable[Node], now_s: float) -> None:
        """These nodes must announce themselves anew."""
        for node in nodes:
            if node not in self._asking:
                earliest_s = self._asked_s.get(node, now_s - self.interval_s) + self.interval_s
                self._asking[node] = _Asking(max(now_s, earliest_s))

    def forget(self) -> None:
        """Nobody is to be asked; who was asked just now stays remembered."""
        self._asking.clear()

    def born(self, node: Node) -> None:
        """This node has."""
        self._asking.pop(node, None)

    def due(self, now_s: float) -> list[Node]:
        """Whom to ask now; each is asked again later unless it is born."""
        found = [node for node, asking in self._asking.items() if asking.at_s <= now_s]
        for node in found:
            asking = self._asking[node]
            self._asked_s[node] = now_s
            asking.at_s = now_s + self.interval_s * asking.patience
            asking.patience = min(2 * asking.patience, PATIENCE_MAX)
        return found

    def pause_s(self, now_s: float) -> float | None:
        """How long nobody is due; None if nobody ever is."""
        times = [asking.at_s for asking in self._asking.values()]
        return max(0.0, min(times) - now_s) if times else None
