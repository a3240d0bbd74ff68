"""Checks an export of the log against signed checkpoints, offline, with the public key alone.

An export is JSON lines, one leaf a line as it was hashed. Whoever does not trust us can do the
same with `sha256sum`: the SHA-256 of line n (without its newline) is `previous` of line n+1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from edge_core.contracts.api import AuditEvent
from edge_site_proxy.audit import tree
from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.log import NO_PREVIOUS, leaf_digest
from edge_site_proxy.audit.note import Root, open_note


@dataclass(frozen=True, slots=True)
class Verified:
    """What was proved: so many entries, up to this root; `loose` came after the checkpoint."""

    size: int
    root: bytes
    loose: int


def verify(lines: Iterable[bytes], notes: Sequence[str], public: str) -> Verified:
    """See that *lines* are the log that every one of *notes* vouches for.

    Args:
        lines: the export, with or without newlines, from entry 0.
        notes: checkpoints, at least one.
        public: the verifier key.

    Raises:
        LogBrokenError: something does not fit; `first_bad` names the first such entry.
    """
    roots = sorted((open_note(note, public) for note in notes), key=lambda root: root.size)
    if not roots:
        raise LogBrokenError("export: expected at least one checkpoint, found none")
    walk = _Walk(roots)
    walk.compare()
    for line in lines:
        walk.add(line.rstrip(b"\r\n"))
        walk.compare()
    walk.end()
    size = walk.size
    last = roots[-1]
    if last.size > size:
        raise LogBrokenError(
            f"export: expected {last.size} entries, found {size}; entry {size} is missing", size
        )
    return Verified(last.size, last.root, size - last.size)


class _Walk:
    """Goes through an export once, with as much memory as the tree is high."""

    def __init__(self, roots: Sequence[Root]) -> None:
        self._roots = {state.size: state for state in roots}
        self._peaks: list[tuple[int, bytes]] = []
        self._previous = NO_PREVIOUS
        self._proved = 0
        self._doubt: LogBrokenError | None = None
        self.size = 0

    def add(self, leaf: bytes) -> None:
        """One more entry."""
        _check_entry(leaf, self.size, self._previous)
        # The successor did not contradict what a checkpoint did: the rewrite was made to fit.
        self.end()
        self._previous = leaf_digest(leaf)
        _push(self._peaks, tree.leaf_hash(leaf))
        self.size += 1

    def compare(self) -> None:
        """See whether a checkpoint of this size agrees; a doubt waits for the next entry."""
        state = self._roots.get(self.size)
        if state is None:
            return
        found = _root(self._peaks)
        if found == state.root:
            self._proved = self.size
            return
        self._doubt = LogBrokenError(
            f"entries {self._proved} to {self.size - 1}: expected the root {state.root.hex()}, "
            f"found {found.hex()}; the log was rewritten from one of them on",
            self._proved,
        )

    def end(self) -> None:
        """Nothing more says which entry it was."""
        if self._doubt is not None:
            raise self._doubt


def _check_entry(leaf: bytes, position: int, previous: str) -> None:
    try:
        event = _EVENT.decode(leaf)
    except msgspec.DecodeError as error:
        raise LogBrokenError(f"entry {position}: expected an event, {error}", position) from error
    if event.sequence != position:
        raise LogBrokenError(
            f"entry {position}: expected sequence {position}, found {event.sequence}", position
        )
    if event.previous != previous:
        # The successor vouches for what stood there; so it is the entry before that changed.
        bad = max(0, position - 1)
        raise LogBrokenError(
            f"entry {bad}: expected the hash {event.previous}, found {previous}", bad
        )


def _push(peaks: list[tuple[int, bytes]], digest: bytes) -> None:
    level = 0
    while peaks and peaks[-1][0] == level:
        digest = tree.node_hash(peaks.pop()[1], digest)
        level += 1
    peaks.append((level, digest))


def _root(peaks: Sequence[tuple[int, bytes]]) -> bytes:
    if not peaks:
        return tree.EMPTY_ROOT
    digest = peaks[-1][1]
    for _, left in reversed(peaks[:-1]):
        digest = tree.node_hash(left, digest)
    return digest


_EVENT = msgspec.json.Decoder(AuditEvent)
