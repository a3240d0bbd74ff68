"""How the log's key is handed on: both verifiers take the same chains and refuse the same."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_site_proxy.audit import verify_audit
from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.keys import chain, handover, newest, signer_of
from edge_site_proxy.audit.note import Root, Signer
from tests.unit.site_proxy.audit.logs import ORIGIN, SIGNERS

A, B, C = SIGNERS
KEYS = [each.public for each in SIGNERS]
ELSEWHERE = Signer("edge-site/P2", Ed25519PrivateKey.from_private_bytes(b"\x05" * 32))
FIRST, SECOND = handover(A, B), handover(B, C)


def note(lines: list[str], *signers: Signer) -> str:
    """A note of *lines* that *signers* signed."""
    text = "".join(f"{line}\n" for line in lines)
    return f"{text}\n" + "".join(signer.signature(text) for signer in signers)


ROTATION = f"{ORIGIN}/key-rotation"
CHAINS = {
    "never handed on": ([], A.public, [A.public]),
    "handed on once": ([FIRST], B.public, KEYS[:2]),
    "handed on twice, the first key trusted": ([FIRST, SECOND], A.public, KEYS),
    "handed on twice, the last key trusted": ([FIRST, SECOND], C.public, KEYS),
    "the trusted key as a file has it": ([], f"{A.public}\n", [A.public]),
}


@pytest.mark.parametrize(("notes", "trusted", "keys"), CHAINS.values(), ids=CHAINS.keys())
def test_chain(notes: list[str], trusted: str, keys: list[str]) -> None:
    """Every key, oldest first."""
    assert chain(notes, trusted) == keys
    assert verify_audit.key_chain(notes, trusted.strip()) == keys
    assert newest(notes) == (keys[-1] if notes else None)


BROKEN = {
    "a link is missing": ([FIRST, handover(C, A)], "begin"),
    "the order is another": ([SECOND, FIRST], "begin"),
    "the old key did not sign": ([note([ROTATION, *KEYS[:2]], B)], "signature"),
    "the new key did not sign": ([note([ROTATION, *KEYS[:2]], A)], "signature"),
    "nobody signed": ([f"{ROTATION}\n{KEYS[0]}\n{KEYS[1]}\n"], ""),
    "somebody else signed": ([note([ROTATION, *KEYS[:2]], A, C)], "signature"),
    "a line too many": ([note([ROTATION, *KEYS[:2], "x"], A, B)], "name, old"),
    "a line too few": ([note([ROTATION, KEYS[0]], A, B)], "name, old"),
    "words instead of lines": ([note([f"{ROTATION} {KEYS[0]} {KEYS[1]}"], A, B)], "name, old"),
    "it is a checkpoint": ([A.sign(Root(2, b"\x00" * 32))], "name, old"),
    "keys of another log": ([handover(ELSEWHERE, ELSEWHERE)], "among"),
    "the new key has another name": (
        [note([ROTATION, A.public, ELSEWHERE.public], A, ELSEWHERE)],
        "two keys of",
    ),
    "a key that is none": ([note([ROTATION, A.public, f"{ORIGIN}+00+AA"], A)], "verifier key"),
    "the trusted key is none of them": ([SECOND], "among"),
}


@pytest.mark.parametrize(("notes", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_chain(notes: list[str], words: str) -> None:
    """A chain with one bad link is none, and says which."""
    with pytest.raises(LogBrokenError) as ours:
        chain(notes, A.public)
    assert (words if words != "begin" else "expected one by") in str(ours.value)
    with pytest.raises(verify_audit.BadError):
        verify_audit.key_chain(notes, A.public)


def test_which_link_is_named() -> None:
    """The number of the handover is that of the file."""
    with pytest.raises(LogBrokenError, match="key handover 1: expected the signatures of both"):
        chain([FIRST, note([ROTATION, *KEYS[1:]], B)], A.public)
    with pytest.raises(LogBrokenError, match="key handover 1: expected name"):
        newest([FIRST, "x"])


def test_signer() -> None:
    """Which key of the chain signed a checkpoint."""
    for number, signer in enumerate(SIGNERS):
        assert signer_of(signer.sign(Root(1, b"\x00" * 32)), KEYS) == number
    with pytest.raises(LogBrokenError, match="found none"):
        signer_of(ELSEWHERE.sign(Root(1, b"\x00" * 32)), KEYS)
