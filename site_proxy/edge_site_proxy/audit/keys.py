"""The log's keys over the years: each is handed on to the next under the signatures of both.

A handover is a signed note (C2SP signed-note) of three lines: the log's name with
`/key-rotation`, the old verifier key, the new one. It stands in the log as the event
`audit.key_rotated`, and whoever trusts one key of the chain thereby knows the others.
"""

from collections.abc import Sequence

from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.note import Signer, signed_by

BEGUN = "audit.begun"  # binds site, first key and software to the log
ROTATED = "audit.key_rotated"
_ROTATION = "/key-rotation"


def handover(old: Signer, new: Signer) -> str:
    """The note by which *old* makes *new* the key of the same log."""
    text = f"{old.origin}{_ROTATION}\n{old.public}\n{new.public}\n"
    return f"{text}\n{old.signature(text)}{new.signature(text)}"


def chain(handovers: Sequence[str], public: str) -> list[str]:
    """Every key of the log, oldest first; *public* alone where it was never handed on.

    Args:
        handovers: the notes, oldest first.
        public: the key that is trusted, which must be one of them.

    Raises:
        LogBrokenError: a handover is not signed by both of its keys, does not begin with the key
            that the last one ended with, or none has to do with *public*.
    """
    keys: list[str] = []
    for number, note in enumerate(handovers):
        old, new = _parties(note, number)
        if keys and keys[-1] != old:
            raise LogBrokenError(f"key handover {number}: expected one by {keys[-1]}, found {old}")
        keys = keys or [old]
        keys.append(new)
    trusted = public.strip()
    if keys and trusted not in keys:
        raise LogBrokenError(f"keys: expected {trusted} among the log's, found {', '.join(keys)}")
    return keys or [trusted]


def newest(handovers: Sequence[str]) -> str | None:
    """The key that the last handover names; None where there was none."""
    return _parties(handovers[-1], len(handovers) - 1)[1] if handovers else None


def signer_of(note: str, keys: Sequence[str]) -> int:
    """Which of *keys* signed *note*.

    Raises:
        LogBrokenError: none of them.
    """
    for number, key in enumerate(keys):
        if signed_by(note, key):
            return number
    raise LogBrokenError(f"note: expected a signature of {', '.join(keys)}, found none")


def _parties(note: str, number: int) -> tuple[str, str]:
    lines = note.partition("\n\n")[0].split("\n")
    if len(lines) != 3 or not lines[0].endswith(_ROTATION):
        raise LogBrokenError(f"key handover {number}: expected name, old and new key")
    origin, old, new = lines[0].removesuffix(_ROTATION), lines[1], lines[2]
    if {key.partition("+")[0] for key in (old, new)} != {origin}:
        raise LogBrokenError(f"key handover {number}: expected two keys of {origin}")
    if not (signed_by(note, old) and signed_by(note, new)):
        raise LogBrokenError(f"key handover {number}: expected the signatures of both keys")
    return old, new
