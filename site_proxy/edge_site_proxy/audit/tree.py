"""The Merkle tree of RFC 6962: roots, inclusion and consistency proofs over stored nodes.

A node is (level, index): level 0 are the leaves, and a node of level n covers 2^n of them. Only
complete subtrees are stored, so appending writes about two hashes a leaf, and any root or proof
is put together from O(log n) of them.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence

Node = tuple[int, int]
Lookup = Callable[[int, int], bytes]

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """RFC 6962, section 2.1: a leaf is hashed with a leading zero byte."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962, section 2.1: two subtrees are hashed with a leading one."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def appended(size: int, leaf: bytes, lookup: Lookup) -> Iterator[tuple[Node, bytes]]:
    """The nodes that become complete when a leaf with hash *leaf* joins a tree of *size*."""
    level, index, digest = 0, size, leaf
    yield (level, index), digest
    while index % 2:
        digest = node_hash(lookup(level, index - 1), digest)
        level, index = level + 1, index // 2
        yield (level, index), digest


def root(size: int, lookup: Lookup) -> bytes:
    """The root of the first *size* leaves."""
    return EMPTY_ROOT if size == 0 else _subtree(0, size, lookup)


def inclusion(index: int, size: int, lookup: Lookup) -> list[bytes]:
    """The audit path of leaf *index* in the tree of *size* leaves, lowest first (2.1.1)."""
    return _path(index, 0, size, lookup)


def consistency(old: int, new: int, lookup: Lookup) -> list[bytes]:
    """Proof that the tree of *new* leaves begins with that of *old* (2.1.2)."""
    if old in {0, new}:
        return []
    return _subproof(old, 0, new, lookup, whole=True)


def includes(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected: bytes) -> bool:
    """Whether *path* leads from *leaf* at *index* to the root *expected* (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    fn, sn, digest = index, size - 1, leaf
    for sibling in path:
        if sn == 0:
            return False
        if fn % 2 or fn == sn:
            digest = node_hash(sibling, digest)
            while fn % 2 == 0 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            digest = node_hash(digest, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and digest == expected


def extends(old: tuple[int, bytes], new: tuple[int, bytes], proof: Sequence[bytes]) -> bool:
    """Whether *proof* shows that tree *new* (size, root) begins with *old* (RFC 9162, 2.1.4.2)."""
    (old_size, old_root), (new_size, new_root) = old, new
    if old_size in {0, new_size}:
        return not proof and (old_size == 0 or old_root == new_root)
    if not 0 < old_size < new_size:
        return False
    steps = list(proof)
    if old_size & (old_size - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        return False
    fn, sn = old_size - 1, new_size - 1
    while fn % 2:
        fn, sn = fn >> 1, sn >> 1
    return _walk(fn, sn, steps) == (old_root, new_root)


def _walk(fn: int, sn: int, steps: list[bytes]) -> tuple[bytes, bytes] | None:
    first = second = steps[0]
    for step in steps[1:]:
        if sn == 0:
            return None
        if fn % 2 or fn == sn:
            first, second = node_hash(step, first), node_hash(step, second)
            while fn % 2 == 0 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, step)
        fn, sn = fn >> 1, sn >> 1
    return (first, second) if sn == 0 else None


def _split(count: int) -> int:
    """The largest power of two below *count*."""
    return 1 << ((count - 1).bit_length() - 1)


def _subtree(start: int, count: int, lookup: Lookup) -> bytes:
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return lookup(level, start >> level)
    left = _split(count)
    return node_hash(_subtree(start, left, lookup), _subtree(start + left, count - left, lookup))


def _path(index: int, start: int, count: int, lookup: Lookup) -> list[bytes]:
    if count == 1:
        return []
    left = _split(count)
    if index < left:
        below = _path(index, start, left, lookup)
        return [*below, _subtree(start + left, count - left, lookup)]
    below = _path(index - left, start + left, count - left, lookup)
    return [*below, _subtree(start, left, lookup)]


def _subproof(old: int, start: int, count: int, lookup: Lookup, *, whole: bool) -> list[bytes]:
    if old == count:
        return [] if whole else [_subtree(start, count, lookup)]
    left = _split(count)
    if old <= left:
        below = _subproof(old, start, left, lookup, whole=whole)
        return [*below, _subtree(start + left, count - left, lookup)]
    below = _subproof(old - left, start + left, count - left, lookup, whole=False)
    return [*below, _subtree(start, left, lookup)]
