"""Records and messages that the tests of the update machine start from."""

import hashlib
from typing import Any

from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.gateway import (
    Assignment,
    Desired,
    RollbackOrder,
    TrialPolicy,
    UpdateState,
)
from edge_runtime.update.record import Attempt, Entry, Record
from edge_runtime.update.references import Slots


def digest(name: str) -> str:
    """The digest of the release that tests call *name*."""
    return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


A, B, C = digest("a"), digest("b"), digest("c")
ON_A = Slots(golden=A, committed=A)
ON_B = Slots(golden=A, previous_good=A, committed=B)
TRYING_C = Slots(golden=A, previous_good=A, committed=B, candidate=C, tries_left=1)


def release(name: str, number: int = 1) -> ReleaseRef:
    """A release by that name."""
    return ReleaseRef(model="pump", version=name, release=number, digest=digest(name))


def assignment(name: str, attempt: int = 1, number: int = 1, **more: Any) -> Assignment:
    """Run *name*; *more* are other fields."""
    usual: dict[str, Any] = {"activate": True, "trial": TrialPolicy(tries=2)}
    return Assignment(
        release=release(name, number), attempt=attempt, rollout="r-1", **{**usual, **more}
    )


def desired(
    planned: Assignment | None = None, generation: int = 1, epoch: int = 1, **more: Any
) -> Desired:
    """What the site wants; *more* are other fields."""
    return Desired(
        serial="gw-1",
        generation=generation,
        epoch=epoch,
        repository="plant",
        assignment=planned,
        **more,
    )


def order(name: str, epoch: int = 1) -> RollbackOrder:
    """Leave *name*."""
    return RollbackOrder(from_digest=digest(name), epoch=epoch, reason="a person said so")


def entry(name: str, attempt: int = 1) -> Entry:
    """*name*, verified on disk."""
    return Entry(
        release=release(name),
        target="linux-amd64/onnxruntime/fp32/b1",
        manifest=digest(f"manifest of {name}"),
        blobs=[digest(name), digest(f"model of {name}")],
        size_bytes=10,
        signers=["key"],
        attempt=attempt,
    )


def record(slots: Slots = Slots(), attempt: Attempt | None = None, **more: Any) -> Record:  # noqa: B008 - frozen
    """A gateway with these references, all of them verified."""
    names = {digest(name): name for name in "abcg"}
    entries = {each: entry(names[each]) for each in slots.referenced}
    if attempt is not None:
        name = names[attempt.digest]
        entries.setdefault(attempt.digest, entry(name))
    usual: dict[str, Any] = {"generation_seen": 1, "epoch_seen": 1, "entries": entries}
    return Record(slots=slots, attempt=attempt, **{**usual, **more})


def at(state: UpdateState, slots: Slots = ON_B, name: str = "c", **more: Any) -> Record:
    """A record whose attempt at *name* is in *state*; *more* are other fields."""
    return record(slots, Attempt(assignment=assignment(name), state=state), **more)
