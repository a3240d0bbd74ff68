"""From a server's items to tags: addresses, texts, arrays, units; values in, columns out.

A tag's address is a node id, with `#[n]` behind it for the element n of an array:
`nsu=urn:example:plant;s=vibration#[2]`. Handle n is the n-th tag of the source; the handles from
`UNIT_HANDLES` on are those of the tags' units.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_core.contracts.errors import ConfigurationError
from edge_core.features.samples import CellQuality
from edge_core.features.words import TEXT_UNIT
from edge_core.features.words import number_of as number_of_word
from edge_runtime.config import TagConfig
from edge_runtime.sources.opcua_items import NO_TIME, Changes
from edge_runtime.sources.opcua_units import linear, says_unit
from edge_runtime.sources.sample import SEVERITY_BITS, SampleBatch

UNIT_HANDLES: Final = 1 << 20
BAD: Final = 0x8000_0000
BAD_OUT_OF_RANGE: Final = 0x803C_0000  # OPC 10000-6, A: a text that means nothing to us
BAD_CONFIGURATION: Final = 0x8089_0000  # a unit that cannot become the tag's
_ELEMENT: Final = re.compile(r"^(?P<node>.+)#\[(?P<index>\d{1,9})\]$")


@dataclass(frozen=True, slots=True)
class Address:
    """A node id as it is written, and which element of its array if it has one."""

    node: str
    index: int | None


def address_of(tag: TagConfig) -> Address:
    """Where a tag's value is."""
    found = _ELEMENT.match(tag.address)
    if found is None:
        return Address(tag.address, None)
    return Address(found["node"], int(found["index"]))


def node_text(tag: TagConfig, namespaces: Sequence[str]) -> str:
    """The node id of a tag on a server with these namespaces; `nsu=URI;...` is looked up.

    Raises:
        ConfigurationError: the server lacks the namespace.
    """
    node = address_of(tag).node
    if not node.startswith("nsu="):
        return node
    uri, mark, rest = node.removeprefix("nsu=").partition(";")
    if not mark or uri not in namespaces:
        raise bad_address(tag, namespaces)
    return f"ns={namespaces.index(uri)};{rest}"


def bad_address(tag: TagConfig, namespaces: Sequence[str]) -> ConfigurationError:
    """What is wrong with an address."""
    return ConfigurationError(
        f"tag {tag.role}: expected a node id such as nsu=URI;s=NAME in a namespace that the "
        f"server has ({', '.join(namespaces)}), found {tag.address!r}"
    )


class TagColumns:
    """The tags of one source, by their handles.

    Args:
        tags: of the source.
        places: the place of each in the configuration.
    """

    def __init__(self, tags: Sequence[TagConfig], places: Sequence[int]) -> None:
        self.tags = tuple(tags)
        self.places = np.array(places, np.int32)
        self._factor = np.ones(len(tags))
        self._offset = np.zeros(len(tags))
        self._foreign = np.zeros(len(tags), np.bool_)
        self._converts = False
        self._indices = [address_of(tag).index for tag in tags]

    def measured_in(self, handle: int, name: str, unit_id: int) -> str | None:
        """What the server measures a tag in; why that will not do, if it will not.

        From then on values are converted, or bad if there is no way. A unit without a name and
        without a number that is known is none: servers show the property as it was made.
        """
        tag = self.tags[handle]
        if not says_unit(name, unit_id):
            return None
        found = linear(name, tag.unit, unit_id)
        self._foreign[handle] = found is None
        self._factor[handle], self._offset[handle] = found or (1.0, 0.0)
        self._converts = bool(
            self._foreign.any() or np.any(self._factor != 1) or np.any(self._offset != 0)
        )
        if found is not None:
            return None
        return (
            f"tag {tag.role}: expected a unit that can be converted to {tag.unit!r}, the server "
            f"has {ascii(name)[:60]}"
        )

    def conversion(self, handle: int) -> tuple[float, float] | None:
        """Factor and offset from the server's unit to the tag's; None if there is no way."""
        if self._foreign[handle]:
            return None
        return float(self._factor[handle]), float(self._offset[handle])

    def batch(self, changes: Changes, now_ns: int, arrived_s: float | None) -> SampleBatch:
        """The changes of these tags, in their units; *now_ns* is for what has no time at all."""
        ours = changes.handles < len(self.tags)
        if not ours.all():
            changes = _chosen(changes, ours)
        handles = changes.handles
        values, status = changes.values, _sound(changes.status)
        if changes.others:
            values, status = self._others(changes, values.copy(), status.copy())
        if self._converts:
            values = values * self._factor[handles] + self._offset[handles]
            status = np.where(self._foreign[handles], np.uint32(BAD_CONFIGURATION), status)
        unsound = ~np.isfinite(values) & (status < BAD)
        if unsound.any():
            status = np.where(unsound, np.uint32(BAD), status)
        return SampleBatch(
            self.places[handles], values, _times(changes, now_ns), status, arrived_s
        )

    def _others(
        self, changes: Changes, values: NDArray[np.float64], status: NDArray[np.uint32]
    ) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
        for row, other in changes.others.items():
            handle = int(changes.handles[row])
            tag = self.tags[handle]
            words = tag.unit == TEXT_UNIT
            value = number_of(other, self._indices[handle], tag.texts, words=words)
            if value is not None:
                values[row] = value
            elif status[row] < BAD:
                status[row] = BAD_OUT_OF_RANGE
        return values, status


def number_of(
    other: Any, index: int | None, texts: dict[str, float], *, words: bool = False
) -> float | None:
    """What a text or an array stands for as a number; None if for nothing.

    Args:
        other: of any type, as a server sent it.
        index: which element of an array.
        texts: what texts mean.
        words: whether other texts are words that mean themselves, as the names of recipes do.
    """
    if isinstance(other, list | tuple):
        # Asked for one element, a server sends an array of it; without that, the whole array.
        at = 0 if len(other) == 1 else index
        if index is None or at is None or at >= len(other):
            return None
        other = other[at]
    if isinstance(other, bool | int | float):
        return float(other)
    text = getattr(other, "Text", other)  # a LocalizedText has its words there
    if not isinstance(text, str):
        return None
    meant = number_of_word(text) if words and text not in texts else texts.get(text)
    return None if meant is None or math.isnan(meant) else meant


def _sound(status: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The reserved severity is ours alone; from a server it is bad."""
    strange = (status >> np.uint32(SEVERITY_BITS)) > CellQuality.BAD
    return np.where(strange, np.uint32(BAD), status) if strange.any() else status


def _times(changes: Changes, now_ns: int) -> NDArray[np.int64]:
    """Source time; where there is none the server's, and else now."""
    times = changes.source_ns
    if not (times == NO_TIME).any():
        return times
    times = np.where(times == NO_TIME, changes.server_ns, times)
    return np.where(times == NO_TIME, now_ns, times)


def _chosen(changes: Changes, mask: NDArray[np.bool_]) -> Changes:
    rows = np.flatnonzero(mask).tolist()
    at = {row: place for place, row in enumerate(rows)}
    return Changes(
        changes.handles[mask],
        changes.values[mask],
        changes.source_ns[mask],
        changes.server_ns[mask],
        changes.status[mask],
        {at[row]: other for row, other in changes.others.items() if row in at},
    )
