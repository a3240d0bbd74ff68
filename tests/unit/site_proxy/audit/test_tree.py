"""The Merkle tree against the definitions of RFC 6962, written out naively."""

from hypothesis import given
from hypothesis import strategies as st

from edge_site_proxy.audit import tree

LEAVES = st.lists(st.binary(max_size=3), max_size=40)


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return tree.EMPTY_ROOT
    if len(leaves) == 1:
        return tree.leaf_hash(leaves[0])
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return tree.node_hash(naive_root(leaves[:split]), naive_root(leaves[split:]))


def grown(leaves: list[bytes]) -> dict[tree.Node, bytes]:
    """The nodes that appending *leaves* one by one stores."""
    nodes: dict[tree.Node, bytes] = {}
    for size, leaf in enumerate(leaves):
        added = tree.appended(size, tree.leaf_hash(leaf), lambda *node: nodes[node])
        nodes.update(dict(added))
    return nodes


@given(LEAVES)
def test_every_root(leaves: list[bytes]) -> None:
    """Any earlier size still has the root it had."""
    nodes = grown(leaves)
    for size in range(len(leaves) + 1):
        assert tree.root(size, lambda *node: nodes[node]) == naive_root(leaves[:size])


@given(LEAVES)
def test_inclusion(leaves: list[bytes]) -> None:
    """Every leaf is proved, and no other leaf, place or size is proved by that path."""
    nodes = grown(leaves)
    size = len(leaves)
    top = naive_root(leaves)
    for index, leaf in enumerate(leaves):
        path = tree.inclusion(index, size, lambda *node: nodes[node])
        digest = tree.leaf_hash(leaf)
        assert tree.includes(digest, index, size, path, top)
        assert not tree.includes(tree.leaf_hash(leaf + b"!"), index, size, path, top)
        assert not tree.includes(digest, size, size, path, top)
        assert not tree.includes(digest, index, size, [*path, digest], top)


@given(LEAVES, st.data())
def test_consistency(leaves: list[bytes], data: st.DataObject) -> None:
    """A later tree is shown to begin with an earlier one, and not with a different one."""
    nodes = grown(leaves)
    new = len(leaves)
    old = data.draw(st.integers(0, new))
    proof = tree.consistency(old, new, lambda *node: nodes[node])
    first, second = (old, naive_root(leaves[:old])), (new, naive_root(leaves))
    assert tree.extends(first, second, proof)
    if 0 < old < new:
        assert not tree.extends((old, b"\x00" * 32), second, proof)
        assert not tree.extends(first, (new, b"\x00" * 32), proof)
        assert not tree.extends(first, second, proof[:-1])
        assert not tree.extends(second, first, proof)


def test_one_size_has_one_root() -> None:
    """Two trees of one size are the same tree or neither begins with the other."""
    one, other = (5, b"\x01" * 32), (5, b"\x02" * 32)
    assert tree.extends(one, one, [])
    assert not tree.extends(one, other, [])
    assert not tree.extends(one, one, [b"\x03" * 32])
    assert tree.extends((0, tree.EMPTY_ROOT), one, [])
    assert not tree.extends((0, tree.EMPTY_ROOT), one, [b"\x03" * 32])


def test_every_small_tree() -> None:
    """Up to 33 leaves every earlier tree is begun with, and every leaf is in it."""
    leaves = [bytes([number]) for number in range(33)]
    nodes = grown(leaves)
    roots = [naive_root(leaves[:size]) for size in range(len(leaves) + 1)]
    for new in range(1, len(roots)):
        for old in range(1, new):
            proof = tree.consistency(old, new, lambda *node: nodes[node])
            assert tree.extends((old, roots[old]), (new, roots[new]), proof)
            assert not tree.extends((old, roots[old]), (new, roots[new]), [*proof, roots[1]])
            path = tree.inclusion(old, new, lambda *node: nodes[node])
            assert tree.includes(tree.leaf_hash(leaves[old]), old, new, path, roots[new])


def test_appending_is_cheap() -> None:
    """A leaf costs two stored hashes on average, and about log n at most."""
    nodes = grown([b"x"] * 1024)
    assert len(nodes) == 2047
