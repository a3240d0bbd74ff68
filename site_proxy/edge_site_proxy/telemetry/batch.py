"""One batch between the gateway API, the journal and the upstream: how each of them writes it."""

from dataclasses import dataclass

from edge_core.contracts.telemetry import BatchId, Signal
from edge_core.journal import Entry, Record
from edge_site_proxy.telemetry.encoding import Encoding

_KINDS = {Signal.METRICS: 1, Signal.LOGS: 2, Signal.TRACES: 3}
_SIGNALS = {kind: signal for signal, kind in _KINDS.items()}
_CODINGS = {int(encoding) for encoding in Encoding}
_ENCODING_BITS = 0b0011
_CLOCK_UNSYNCHRONISED = 0b0100


@dataclass(frozen=True, slots=True)
class Outbound:
    """A batch as it goes upstream.

    Attributes:
        seq: the journal's number.
        signal: metrics, logs or traces.
        batch: who sent it and which it is; a repeat bears the same.
        crc32c: of *body*.
        encoding: content coding of *body*.
        ingest_unix_nano: when the proxy received it.
        synchronised: whether the proxy's clock was good then.
        body: as the gateway sent it.
    """

    seq: int
    signal: Signal
    batch: BatchId
    crc32c: int
    encoding: Encoding
    ingest_unix_nano: int
    synchronised: bool
    body: bytes


def entry_of(
    signal: Signal,
    source: str,
    batch: BatchId | None,
    encoding: Encoding,
    body: bytes,
    *,
    ingest_unix_nano: int,
    synchronised: bool,
) -> Entry:
    """What the journal keeps; a batch without an id is never recognised as a repeat."""
    return Entry(
        kind=_KINDS[signal],
        source=source,
        epoch=batch.epoch if batch else 0,
        sequence=batch.sequence if batch else 0,
        body=body,
        ingest_unix_ns=ingest_unix_nano,
        flags=encoding | (0 if synchronised else _CLOCK_UNSYNCHRONISED),
    )


def outbound_of(record: Record) -> Outbound | None:
    """What goes upstream; None for a kind that this program does not know."""
    entry = record.entry
    signal = _SIGNALS.get(entry.kind)
    coding = entry.flags & _ENCODING_BITS
    if signal is None or coding not in _CODINGS:
        return None
    batch = BatchId(serial=entry.source, epoch=entry.epoch, sequence=entry.sequence)
    if entry.sequence == 0:
        # A stock SDK gave no id: the journal's own number and the time it came in are as stable.
        batch = BatchId(
            serial=f"{entry.source}.proxy", epoch=entry.ingest_unix_ns, sequence=record.seq
        )
    return Outbound(
        seq=record.seq,
        signal=signal,
        batch=batch,
        crc32c=record.body_crc32c,
        encoding=Encoding(coding),
        ingest_unix_nano=entry.ingest_unix_ns,
        synchronised=not entry.flags & _CLOCK_UNSYNCHRONISED,
        body=entry.body,
    )
