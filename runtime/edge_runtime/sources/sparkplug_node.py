"""What one Sparkplug B edge node has announced, and what its messages therefore mean; no I/O.

Births name metrics and give aliases; data may use the alias alone. Messages count 0 to 255 and
round again: a number that is missing means that something was lost, so nothing is believed until
the node has announced itself anew. A death certificate bears the number of the birth it belongs
to (`bdSeq`); one of an earlier life, delivered late by a broker, ends nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import PayloadError
from edge_runtime.sources.mqtt_heard import LastHeard
from edge_runtime.sources.mqtt_payload import Wanted
from edge_runtime.sources.sample import GapCause, SampleBatch
from edge_runtime.sources.sparkplug_payload import BAD_STATUS, NO_ALIAS, Payload
from edge_runtime.sources.sparkplug_rebirth import Why

SEQUENCES: Final = 256
METRICS_MAX: Final = 20_000  # of one node; a node that announces more is broken or hostile
BIRTH_NUMBER: Final = "bdSeq"
_NS_A_MS: Final = 1_000_000
# datatype -> bits of a signed integer, which travels as its two's complement
_SIGNED: Final = {1: 8, 2: 16, 3: 32, 4: 64}
_UNWANTED: Final = Wanted(-1)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a message gave: samples, and why the node must announce itself anew, if it must."""

    batches: tuple[SampleBatch, ...] = ()
    rebirth: Why | None = None


@dataclass(frozen=True, slots=True)
class _Table:
    """The metrics of one device by alias, ascending; every array has shape (metric,)."""

    aliases: NDArray[np.uint64]
    places: NDArray[np.int32]
    datatypes: NDArray[np.uint32]


_Resolved = tuple[NDArray[np.int32], NDArray[np.uint32], bool]


@dataclass(slots=True)
class _Device:
    """What a device has announced: place and datatype of each metric, by name and by alias."""

    names: dict[str, tuple[Wanted, int]] = field(default_factory=dict)
    aliases: dict[int, str] = field(default_factory=dict)
    _table: _Table | None = None
    _before: tuple[NDArray[np.uint64], _Resolved] | None = None

    def resolved(self, payload: Payload) -> _Resolved:
        """As `_resolved`; a message laid out like the one before has its very array."""
        if payload.names is not None or payload.datatypes is not None:
            return _resolved(self, payload)
        aliases = payload.aliases
        if self._before is None or self._before[0] is not aliases:
            self._before = aliases, _resolved(self, payload)
        return self._before[1]

    def table(self) -> _Table:
        """The same by alias, as arrays; made once a birth."""
        if self._table is None:
            order = sorted(self.aliases)
            known = [self.names[self.aliases[alias]] for alias in order]
            self._table = _Table(
                np.array(order, np.uint64),
                np.array([wanted.place for wanted, _ in known], np.int32),
                np.array([datatype for _, datatype in known], np.uint32),
            )
        return self._table


@dataclass(slots=True)
class EdgeNode:
    """One edge node as we know it.

    Attributes:
        tags: the tag of each (device, metric); device "" is the node itself.
        gaps: sequence numbers that were missing.
        late_deaths: death certificates of an earlier life.
    """

    tags: Mapping[tuple[str, str], Wanted]
    gaps: int = 0
    late_deaths: int = 0
    _next: int | None = None
    _birth_number: int | None = None
    _devices: dict[str, _Device] = field(default_factory=dict)
    _heard: LastHeard = field(default_factory=LastHeard)

    @property
    def born(self) -> bool:
        """Whether it has announced itself, and nothing was lost since."""
        return self._next is not None

    def take(self, kind: str, device: str, payload: Payload) -> Heard:
        """One message of *kind* (NBIRTH, DBIRTH, NDATA, DDATA, NDEATH, DDEATH).

        Raises:
            PayloadError: a birth announces more than any node has.
        """
        if kind == "NDEATH":
            return self._die(payload)
        if kind == "NBIRTH":
            self._devices.clear()
            self._next = ((payload.seq or 0) + 1) % SEQUENCES
            self._birth_number = _birth_number(payload)
        elif not self.born:
            return Heard(rebirth=Why.LOST)
        elif not self._in_order(payload):
            return Heard(self._gap(GapCause.SEQUENCE), rebirth=Why.LOST)
        # A node may have devices without end; those that nobody asks for only count.
        if all(device != of for of, _ in self.tags):
            return Heard()
        if kind == "DDEATH":
            self._devices.pop(device, None)
            return Heard(self._gap(GapCause.DEATH, device))
        if kind in {"NBIRTH", "DBIRTH"}:
            self._learn(device, payload)
        return self._values(device, payload)

    def lost(self) -> tuple[SampleBatch, ...]:
        """The broker went: nothing is known until the node has announced itself anew."""
        self._next = None
        return self._gap(GapCause.CONNECTION)

    def _die(self, payload: Payload) -> Heard:
        number = _birth_number(payload)
        if number is not None and self._birth_number not in {None, number}:
            self.late_deaths += 1
            return Heard()
        self._next = None
        return Heard(self._gap(GapCause.DEATH))

    def _in_order(self, payload: Payload) -> bool:
        if payload.seq != self._next:
            self.gaps += 1
            self._next = None
            return False
        self._next = (payload.seq + 1) % SEQUENCES if payload.seq is not None else None
        return True

    def _learn(self, device: str, payload: Payload) -> None:
        """Replace what is known of a device.

        Raises:
            PayloadError: it is more than any node has.
        """
        known = self._devices[device] = _Device()
        count = sum(len(each.names) for each in self._devices.values()) + len(payload)
        if count > METRICS_MAX:
            raise PayloadError(f"birth: expected at most {METRICS_MAX} metrics, found {count}")
        datatypes = np.zeros(len(payload), np.uint32)
        if payload.datatypes is not None:
            datatypes = payload.datatypes
        for name, alias, datatype in zip(
            payload.names or (), payload.aliases.tolist(), datatypes.tolist(), strict=False
        ):
            if name is not None:
                known.names[name] = self.tags.get((device, name), _UNWANTED), datatype
                if alias != NO_ALIAS:
                    known.aliases[alias] = name

    def _values(self, device: str, payload: Payload) -> Heard:
        known = self._devices.get(device)
        if known is None:
            return Heard(rebirth=Why.UNKNOWN)
        if not len(payload):
            return Heard()
        places, datatypes, unknown = known.resolved(payload)
        values = _signed(payload, datatypes)
        status = np.zeros(len(payload), np.uint32) if payload.status is None else payload.status
        if payload.texts:
            values = self._with_texts(device, known, payload, values)
        finite = np.isfinite(values)
        if not finite.all():
            fit = finite | (status > BAD_STATUS)
            status = np.where(fit, status, np.uint32(BAD_STATUS))
        batch = SampleBatch(places, values, payload.times_ms * _NS_A_MS, status)
        current = places >= 0
        past = payload.historical
        if past is not None:
            current &= ~past
        batches = [batch if current.all() else batch.take(current)]
        if past is not None and (places[past] >= 0).any():
            batches.insert(0, _historical(batch.take(past & (places >= 0))))
        if len(batches[-1]):
            self._heard.observe(int(batches[-1].source_ns.max()))
        some = tuple(each for each in batches if len(each))
        return Heard(some, Why.UNKNOWN if unknown else None)

    def _with_texts(
        self, device: str, known: _Device, payload: Payload, values: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        values = values.copy()
        for place, text in payload.texts:
            name = None if payload.names is None else payload.names[place]
            name = name or known.aliases.get(int(payload.aliases[place]), "")
            values[place] = self.tags.get((device, name), _UNWANTED).number(text)
        return values

    def _gap(self, cause: GapCause, device: str | None = None) -> tuple[SampleBatch, ...]:
        places = [
            tag.place for (of, _), tag in self.tags.items() if device is None or of == device
        ]
        found: list[SampleBatch] = []
        self._heard.mark(places, cause, found.append)
        return tuple(found)


def _resolved(known: _Device, payload: Payload) -> _Resolved:
    """Place and datatype of each metric, -1 where nobody asks for it; and whether one is new."""
    if payload.names is None:
        table = known.table()
        if not len(table.aliases):
            return np.full(len(payload), -1, np.int32), np.zeros(len(payload), np.uint32), True
        at = np.searchsorted(table.aliases, payload.aliases)
        at[at == len(table.aliases)] = 0
        strange = table.aliases[at] != payload.aliases
        places, datatypes = table.places[at], table.datatypes[at]
        if strange.any():
            places = np.where(strange, np.int32(-1), places)
            return places, datatypes, True
    else:
        found = [
            known.names.get(name or known.aliases.get(alias, ""))
            for name, alias in zip(payload.names, payload.aliases.tolist(), strict=True)
        ]
        places = np.array([-1 if each is None else each[0].place for each in found], np.int32)
        datatypes = np.array([0 if each is None else each[1] for each in found], np.uint32)
        if None in found:
            return places, datatypes, True
    if payload.datatypes is not None:
        datatypes = np.where(payload.datatypes == 0, datatypes, payload.datatypes)
    return places, datatypes, False


def _signed(payload: Payload, datatypes: NDArray[np.uint32]) -> NDArray[np.float64]:
    """The values, integers read as their types say."""
    if payload.wholes is None:
        return payload.values
    values = payload.values
    for datatype, bits in _SIGNED.items():
        chosen = (datatypes == datatype) & (payload.wholes != 0)
        if chosen.any():
            shift = np.uint64(64 - bits)
            whole = (payload.wholes[chosen] << shift).view(np.int64) >> np.int64(64 - bits)
            values = values.copy() if values is payload.values else values
            values[chosen] = whole
    return values


def _birth_number(payload: Payload) -> int | None:
    """What says which birth and death belong together."""
    if payload.names is None or BIRTH_NUMBER not in payload.names or payload.wholes is None:
        return None if payload.names is None or BIRTH_NUMBER not in payload.names else 0
    return int(payload.wholes[payload.names.index(BIRTH_NUMBER)])


def _historical(batch: SampleBatch) -> SampleBatch:
    return SampleBatch(
        batch.tags, batch.values, batch.source_ns, batch.status, batch.arrived_s, historical=True
    )
