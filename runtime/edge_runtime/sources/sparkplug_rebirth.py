"""When to ask which edge node to announce itself anew; no I/O.

A node that is asked and stays silent is asked again, less and less often: the request may have
been lost, or the node may be away, and it announces itself when it comes back. One that announces
itself and leaves out what it sends is asked again just as patiently: the next announcement will
hardly be another. However much goes wrong, a node hears from us at most once an interval.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Generic, TypeVar

PATIENCE_MAX: Final = 64  # intervals between two requests to a node that never answers


class Why(StrEnum):
    """Why a node must announce itself anew."""

    LOST = "lost"  # nothing it says counts until it has
    UNKNOWN = "unknown"  # it sends what it never announced; the rest counts


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
    _asking: dict[tuple[Node, Why], _Asking] = field(default_factory=dict)
    _unheeded: dict[Node, _Asking] = field(default_factory=dict)
    _asked_s: dict[Node, float] = field(default_factory=dict)

    def want(self, nodes: Iterable[Node], now_s: float, why: Why = Why.LOST) -> None:
        """These nodes must announce themselves anew."""
        for node in nodes:
            if (node, why) not in self._asking:
                self._asking[node, why] = self._begun(node, now_s, why)

    def forget(self) -> None:
        """Nobody is to be asked; who was asked just now stays remembered."""
        for node in {node for node, _ in self._asking}:
            self.born(node)

    def born(self, node: Node) -> None:
        """This node has; what it left out will be seen."""
        self._asking.pop((node, Why.LOST), None)
        unheeded = self._asking.pop((node, Why.UNKNOWN), None)
        if unheeded is not None:
            self._unheeded[node] = unheeded

    def due(self, now_s: float) -> list[Node]:
        """Whom to ask now; each is asked again later unless it is born."""
        found: list[Node] = []
        for (node, _), asking in self._asking.items():
            if asking.at_s > now_s:
                continue
            if node not in found and now_s < self._free_s(node, now_s):
                asking.at_s = self._free_s(node, now_s)
                continue
            if node not in found:
                found.append(node)
            self._asked_s[node] = now_s
            asking.at_s = now_s + self.interval_s * asking.patience
            asking.patience = min(2 * asking.patience, PATIENCE_MAX)
        return found

    def pause_s(self, now_s: float) -> float | None:
        """How long nobody is due; None if nobody ever is."""
        times = [asking.at_s for asking in self._asking.values()]
        return max(0.0, min(times) - now_s) if times else None

    def _begun(self, node: Node, now_s: float, why: Why) -> _Asking:
        unheeded = self._unheeded.pop(node, None) if why is Why.UNKNOWN else None
        at_s = max(now_s, self._free_s(node, now_s))
        if unheeded is None or now_s - unheeded.at_s > PATIENCE_MAX * self.interval_s:
            return _Asking(at_s)
        return _Asking(max(at_s, unheeded.at_s), unheeded.patience)

    def _free_s(self, node: Node, now_s: float) -> float:
        """From when on it may be asked again."""
        return self._asked_s.get(node, now_s - self.interval_s) + self.interval_s
