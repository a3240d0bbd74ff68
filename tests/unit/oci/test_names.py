"""Names: a hostile one never becomes a path or a URL."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_core.contracts.errors import RefusedError
from edge_core.oci import (
    BlobStore,
    check_digest,
    check_filepath,
    check_reference,
    check_repository,
    check_tag,
    fallback_tag,
    is_fallback_tag,
)

DIGEST = "sha256:" + "a" * 64
HOSTILE = (
    "",
    ".",
    "..",
    "../x",
    "a/../b",
    "/etc/passwd",
    "a//b",
    "a/",
    "a\\b",
    "a\x00",
    "a\n",
    "a b",
    "-rf",
    "~root",
    "%2e%2e",
    "a/.hidden",
    "\x1b[2J",
    "\uff41",
    "x" * 300,
    "CON:",
)
CHECKS: tuple[Callable[[str], str], ...] = (
    check_digest,
    check_filepath,
    check_reference,
    check_repository,
    check_tag,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile(check: Callable[[str], str], text: str) -> None:
    """No check lets any of these through, and the refusal can be printed."""
    with pytest.raises(RefusedError) as refusal:
        check(text)
    assert str(refusal.value).isprintable()


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(alphabet=st.sampled_from("aA0._-+/\\ \n\x00:"), max_size=40))
def test_a_file_path_stays_inside(text: str) -> None:
    """Whatever is accepted is relative and has no part that climbs, hides or is empty."""
    try:
        check_filepath(text)
    except RefusedError:
        return
    path = PurePosixPath(text)
    assert not path.is_absolute()
    assert "/".join(path.parts) == text
    assert not any(part.startswith((".", "-")) or ".." in part for part in path.parts)


@pytest.mark.parametrize("text", ["model.onnx", "weights/v1/model.bin", "a+b_c-d.e", "README.md"])
def test_good_file_paths(text: str) -> None:
    """Plain names in plain folders pass."""
    assert check_filepath(text) == text


def test_references() -> None:
    """A reference is a digest or a tag; other algorithms are neither."""
    assert check_reference(DIGEST) == DIGEST
    assert check_reference("1.0-rc_1") == "1.0-rc_1"
    for text in ("sha512:" + "a" * 128, "sha256:" + "A" * 64, "sha256:abc", DIGEST + "\n"):
        with pytest.raises(RefusedError):
            check_reference(text)


def test_repositories() -> None:
    """Names as the distribution specification has them."""
    for text in ("pump", "plant/pump-state", "a.b/c__d/e--f"):
        assert check_repository(text) == text
    for text in ("Plant", "plant/", "a___b", "a..b"):
        with pytest.raises(RefusedError):
            check_repository(text)


def test_the_fallback_tag() -> None:
    """The tag schema of the distribution specification, and only that, is bookkeeping."""
    tag = fallback_tag(DIGEST)
    assert tag == "sha256-" + "a" * 64
    assert check_tag(tag) == tag
    assert is_fallback_tag(tag)
    assert not is_fallback_tag("sha256-abc")


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_store_has_no_other_paths(text: str, tmp_path: Path) -> None:
    """A store asked for a name that is no digest refuses, whatever is asked."""
    store = BlobStore(tmp_path)
    for ask in (store.path, store.has, store.open, store.remove, store.verify):
        with pytest.raises(RefusedError):
            ask(text)
