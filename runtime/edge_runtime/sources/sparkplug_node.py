"""What one Sparkplug B edge node has announced, and what its messages therefore mean; no I/O.

Births name metrics and give aliases; data may use the alias alone. Messages count 0 to 255 and
round again: a number that is missing means that something was lost, so nothing is believed until
the node has announced itself anew.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from edge_core.features.samples import CellQuality
from edge_runtime.sources.sample import TagSample
from edge_runtime.sources.sparkplug_payload import GOOD, MetricValue, Payload

SEQUENCES: Final = 256
ALIASES_MAX: Final = 20_000  # of one node; a node that announces more is broken or hostile
_STALE: Final = 500  # the specification's third quality code


@dataclass(frozen=True, slots=True)
class Heard:
    """What a message gave: samples, and whether the node must announce itself anew."""

    samples: tuple[TagSample, ...] = ()
    rebirth: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    name: str
    datatype: int | None


@dataclass(slots=True)
class EdgeNode:
    """One edge node as we know it.

    Attributes:
        roles: the role of each (device, metric); device "" is the node itself.
        gaps: sequence numbers that were missing.
    """

    roles: Mapping[tuple[str, str], str]
    gaps: int = 0
    _next: int | None = None
    _aliases: dict[tuple[str, int], _Known] = field(default_factory=dict)
    _types: dict[tuple[str, str], int | None] = field(default_factory=dict)
    _newest_ms: int = 0

    def take(self, kind: str, device: str, payload: Payload) -> Heard:
        """One message of *kind* (NBIRTH, DBIRTH, NDATA, DDATA, NDEATH, DDEATH)."""
        self._newest_ms = max(self._newest_ms, payload.timestamp_ms)
        if kind == "NDEATH":
            self._next = None
            return Heard(self._gap())
        if kind == "NBIRTH":
            self._begin(payload)
            return self._values(device, payload, birth=True)
        if not self._in_order(payload):
            return Heard(self._gap(), rebirth=True)
        if kind == "DDEATH":
            return Heard(self._gap(device))
        return self._values(device, payload, birth=kind == "DBIRTH")

    def lost(self) -> tuple[TagSample, ...]:
        """The broker went: nothing is known until the node has announced itself anew."""
        self._next = None
        return self._gap()

    def _begin(self, payload: Payload) -> None:
        self._aliases.clear()
        self._types.clear()
        self._next = ((payload.seq or 0) + 1) % SEQUENCES

    def _in_order(self, payload: Payload) -> bool:
        if self._next is None:
            return False
        if payload.seq != self._next:
            self.gaps += 1
            self._next = None
            return False
        self._next = (self._next + 1) % SEQUENCES
        return True

    def _values(self, device: str, payload: Payload, *, birth: bool) -> Heard:
        samples: list[TagSample] = []
        unknown = False
        for metric in payload.metrics:
            if birth:
                self._learn(device, metric)
            known = self._known(device, metric)
            if known is None:
                unknown = True
                continue
            role = self.roles.get((device, known.name))
            if role is not None:
                samples.append(_sample(role, metric, known, payload))
        return Heard(tuple(samples), rebirth=unknown)

    def _learn(self, device: str, metric: MetricValue) -> None:
        if metric.name is None or len(self._aliases) + len(self._types) >= ALIASES_MAX:
            return
        self._types[device, metric.name] = metric.datatype
        if metric.alias is not None:
            self._aliases[device, metric.alias] = _Known(metric.name, metric.datatype)

    def _known(self, device: str, metric: MetricValue) -> _Known | None:
        if metric.name is not None:
            datatype = metric.datatype or self._types.get((device, metric.name))
            return _Known(metric.name, datatype)
        return None if metric.alias is None else self._aliases.get((device, metric.alias))

    def _gap(self, device: str | None = None) -> tuple[TagSample, ...]:
        if self._newest_ms == 0:
            return ()
        from_ns = self._newest_ms * 1_000_000 + 1
        return tuple(
            TagSample(role, math.nan, CellQuality.GAP, from_ns)
            for (of, _), role in self.roles.items()
            if device is None or of == device
        )


def _sample(role: str, metric: MetricValue, known: _Known, payload: Payload) -> TagSample:
    at_ms = metric.timestamp_ms or payload.timestamp_ms
    value = metric.as_type(metric.datatype or known.datatype)
    if not math.isfinite(value):
        return TagSample(role, math.nan, CellQuality.BAD, at_ms * 1_000_000)
    quality = {GOOD: CellQuality.GOOD, _STALE: CellQuality.GAP}.get(
        metric.quality, CellQuality.BAD
    )
    return TagSample(role, value, quality, at_ms * 1_000_000)
