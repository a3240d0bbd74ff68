"""Checks an export of the log against signed checkpoints, offline, with the public key alone.

An export is JSON lines, one leaf a line as it was hashed. Whoever does not trust us can do the
same with `sha256sum` (the SHA-256 of line n, without its newline, is `previous` of line n+1), or
with `verify_audit.py`, which shares no line with this module and must say the same.

The entries are walked once, with as much memory as the tree is high. What a list of leaf hashes
adds is the exact entry: the list counts when it has the signed roots itself, and the first entry
that is not in its place there is the one that was changed.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise

import msgspec

from edge_site_proxy.audit import tree
from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.keys import BEGUN, ROTATED, chain, signer_of
from edge_site_proxy.audit.log import NO_PREVIOUS
from edge_site_proxy.audit.note import state_of


@dataclass(frozen=True, slots=True)
class Start:
    """Where an extract begins: so many entries before it, under these complete subtrees."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()  # hashes, the largest subtree first


@dataclass(frozen=True, slots=True)
class Besides:
    """What an export may bring besides entries and checkpoints.

    Attributes:
        start: where the entries begin.
        handovers: of the log's key, oldest first.
        listing: whether there is a list of leaf hashes.
        listed: opens the list of leaf hashes of the entries from the start on.
    """

    start: Start = field(default_factory=Start)
    handovers: tuple[str, ...] = ()
    listed: Callable[[], AbstractContextManager[Iterable[bytes]]] = field(
        default=lambda: nullcontext(())
    )
    listing: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """What was proved: so many entries, up to this root; `loose` came after the checkpoint."""

    size: int
    root: bytes
    loose: int


@dataclass(frozen=True, slots=True)
class _Vow:
    """A checkpoint whose signature is good, and which of the log's keys made it."""

    size: int
    root: bytes
    key: int


class _Link(msgspec.Struct, frozen=True):
    """The part of an event that holds the log together."""

    sequence: int
    previous: str
    kind: str


class _Handover(msgspec.Struct, frozen=True):
    note: str


class _Begun(msgspec.Struct, frozen=True):
    key: str


class _Rotated(msgspec.Struct, frozen=True):
    facts: _Handover


class _First(msgspec.Struct, frozen=True):
    facts: _Begun


def verify(
    lines: Iterable[bytes], notes: Sequence[str], public: str, besides: Besides | None = None
) -> Verified:
    """See that *lines* are the log that every one of *notes* vouches for.

    Args:
        lines: the export, with or without newlines, in order.
        notes: checkpoints, at least one; those that a gateway witnessed count like our own.
        public: the verifier key that is trusted.
        besides: what else the export brought.

    Raises:
        LogBrokenError: something does not fit; `first_bad` names the first such entry.
    """
    besides = besides or Besides()
    keys = chain(besides.handovers, public)
    vows = sorted((_vow(note, keys) for note in notes), key=lambda vow: vow.size)
    if not vows:
        raise LogBrokenError("export: expected at least one checkpoint, found none")
    for one, other in pairwise(vows):
        if one.size == other.size and one.root != other.root:
            raise LogBrokenError(
                f"checkpoints of {one.size}: expected one root, found {one.root.hex()} and "
                f"{other.root.hex()}; the log showed itself otherwise to different people"
            )
    walk = _Walk(vows, besides)
    try:
        with besides.listed() as hashes:
            walk.go(lines, iter(hashes))
    except LogBrokenError:
        if walk.strange is not None and _roots_hold(besides, vows):
            raise LogBrokenError(
                f"entry {walk.strange}: it is not what was hashed", walk.strange
            ) from None
        raise
    if walk.strange is not None:
        raise LogBrokenError(
            f"list of hashes, entry {walk.strange}: it is not the hash of that entry", walk.strange
        )
    _check_keys(walk, keys, besides.handovers, vows)
    return Verified(vows[-1].size, vows[-1].root, walk.size - vows[-1].size)


def _vow(note: str, keys: Sequence[str]) -> _Vow:
    state = state_of(note)
    origin = keys[0].partition("+")[0]
    if note.partition("\n")[0] != origin:
        raise LogBrokenError(f"checkpoint of {state.size}: expected one of {origin}")
    return _Vow(state.size, state.root, signer_of(note, keys))


class _Walk:
    """Goes through an export once.

    Attributes:
        size: entries seen, those before the start included.
        strange: the first entry that differs from the list of hashes.
        handovers: where the key was handed on, and the note that says so.
        first_key: what the log's first entry says its key is.
    """

    def __init__(self, vows: Sequence[_Vow], besides: Besides) -> None:
        self._due = {vow.size: vow.root for vow in vows}
        self._last = vows[-1].size
        self._listing = besides.listing
        start = besides.start
        self._peaks = _peaks(start)
        self._start = start.size
        self._proved = start.size
        self._doubt: LogBrokenError | None = None
        self.size = start.size
        self.strange: int | None = None
        self.handovers: list[tuple[int, str]] = []
        self.first_key: str | None = None

    def go(self, lines: Iterable[bytes], hashes: Iterator[bytes]) -> None:
        """See every entry and every checkpoint."""
        self._compare()
        if self._doubt is not None:
            raise self._doubt
        previous = None if self._start else NO_PREVIOUS
        decode, due, peaks = _LINK.decode, self._due, self._peaks
        for line in lines:
            leaf, size = line.rstrip(b"\r\n"), self.size
            digest = sha256(b"\x00" + leaf).digest()
            if self._listing and next(hashes, None) != digest:
                self._listing, self.strange = False, size
            try:
                leaf.decode()  # what is skipped below is not looked at
                link = decode(leaf)
            except _UNREADABLE:
                link = _slowly(leaf, size)
            if link.sequence != size or (previous is not None and link.previous != previous):
                raise self._misfit(link, previous)
            # The successor did not contradict what a checkpoint did: the rewrite was made to fit.
            if self._doubt is not None:
                raise self._doubt
            if link.kind in _MARKED:
                self._mark(leaf, link.kind)
            previous = f"sha256:{sha256(leaf).hexdigest()}"
            _push(peaks, size, digest)
            self.size = size + 1
            if self.size in due:
                self._compare()
        if self._listing and next(hashes, None) is not None:
            self.strange = self.size
        self._end()

    def _misfit(self, link: _Link, previous: str | None) -> LogBrokenError:
        position = self.size
        if link.sequence != position:
            return LogBrokenError(
                f"entry {position}: expected sequence {position}, found {link.sequence}", position
            )
        # The successor vouches for what stood there, unless a checkpoint did so already.
        bad = position if self._proved == position else max(0, position - 1)
        return LogBrokenError(
            f"entry {bad}: expected the hash {link.previous[:80]}, found {previous}", bad
        )

    def _compare(self) -> None:
        """See whether a checkpoint of this size agrees; a doubt waits for the next entry."""
        root = self._due.get(self.size)
        if root is None:
            return
        found = _root(self._peaks)
        if found == root:
            self._proved = self.size
            return
        self._doubt = LogBrokenError(
            f"entries {self._proved} to {self.size - 1}: expected the root {root.hex()}, "
            f"found {found.hex()}; the log was rewritten from one of them on",
            self._proved,
        )

    def _mark(self, leaf: bytes, kind: str) -> None:
        try:
            if kind == ROTATED:
                self.handovers.append((self.size, _ROTATED.decode(leaf).facts.note))
            elif self.size == 0:
                self.first_key = _FIRST.decode(leaf).facts.key
        except _UNREADABLE as error:
            bad = self.size
            raise LogBrokenError(f"entry {bad}: expected a key, {error}", bad) from error

    def _end(self) -> None:
        """Nothing more says which entry it was."""
        if self._doubt is not None:
            raise self._doubt
        if self._last > self.size:
            raise LogBrokenError(
                f"export: expected {self._last} entries, found {self.size}; "
                f"entry {self.size} is missing",
                self.size,
            )


def _slowly(leaf: bytes, entry: int) -> _Link:
    """What a name that stands there twice means to most readers of JSON: the last counts."""
    try:
        event = json.loads(leaf.decode(), parse_constant=_refuse)
        json.dumps(event, ensure_ascii=False).encode()  # half a character is none
        return msgspec.convert({name: event[name] for name in _Link.__struct_fields__}, _Link)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise LogBrokenError(f"entry {entry}: expected an event, found: {error}", entry) from error


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _check_keys(
    walk: _Walk, keys: Sequence[str], handovers: Sequence[str], vows: Sequence[_Vow]
) -> None:
    """The handovers are those of the log, and each key signed only in its own time."""
    before = len(handovers) - len(walk.handovers)
    if before < 0 or [note for _, note in walk.handovers] != list(handovers[before:]):
        where = walk.handovers[0][0] if walk.handovers else None
        raise LogBrokenError("key handovers: expected those of the log, found others", where)
    if walk.first_key not in {None, keys[0]}:
        raise LogBrokenError(f"entry 0: expected the first key {keys[0]}, found another", 0)
    for vow in vows:
        due = before + sum(position < vow.size for position, _ in walk.handovers)
        if vow.key != due:
            raise LogBrokenError(
                f"checkpoint of {vow.size}: expected the signature of {keys[due]}, "
                f"found that of {keys[vow.key]}"
            )


def _roots_hold(besides: Besides, vows: Sequence[_Vow]) -> bool:
    """Whether the list of hashes itself has every signed root."""
    peaks, size = _peaks(besides.start), besides.start.size
    with besides.listed() as listed:
        hashes = iter(listed)
        for vow in vows:
            while size < vow.size and (digest := next(hashes, None)) is not None:
                _push(peaks, size, digest)
                size += 1
            if size != vow.size or _root(peaks) != vow.root:
                return False
    return True


def _peaks(start: Start) -> list[bytes]:
    if len(start.peaks) != start.size.bit_count():
        raise LogBrokenError(
            f"start: expected {start.size.bit_count()} hashes for {start.size} entries, "
            f"found {len(start.peaks)}"
        )
    return list(start.peaks)


def _push(peaks: list[bytes], size: int, digest: bytes) -> None:
    """One more leaf: it completes as many subtrees as *size* ends in binary ones."""
    while size & 1:
        digest = sha256(b"\x01" + peaks.pop() + digest).digest()
        size >>= 1
    peaks.append(digest)


def _root(peaks: Sequence[bytes]) -> bytes:
    if not peaks:
        return tree.EMPTY_ROOT
    digest = peaks[-1]
    for left in reversed(peaks[:-1]):
        digest = tree.node_hash(left, digest)
    return digest


_LINK = msgspec.json.Decoder(_Link)
_ROTATED = msgspec.json.Decoder(_Rotated)
_FIRST = msgspec.json.Decoder(_First)
_MARKED = frozenset({BEGUN, ROTATED})
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
