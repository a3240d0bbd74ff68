"""Gateways and their site of different versions understand each other, in both directions."""

import datetime as dt

import msgspec
import pytest

from edge_core.contracts.artefact import ReleaseRef
from edge_core.contracts.gateway import (
    Assignment,
    Checkpoint,
    Desired,
    DriftNotice,
    HealthWindow,
    PermitReply,
    PermitRequest,
    PullReply,
    PullRequest,
    References,
    RollbackOrder,
    StatusReply,
    StatusReport,
    TrialPolicy,
    UpdateReport,
    UpdateState,
    WindowCounts,
)
from edge_core.contracts.plant import ClockQuality
from edge_core.contracts.review import Channel, Routing, SuspectWindow
from tests.simulators.newer import newer

AT = dt.datetime(2026, 11, 22, 6, 0, tzinfo=dt.UTC)
DIGEST = "sha256:" + "a" * 64
NOTE = Checkpoint(size=7, note="P1\n7\n")
DESIRED = Desired(
    serial="gw-101",
    generation=3,
    epoch=2,
    repository="plant/models",
    assignment=Assignment(
        release=ReleaseRef(model="pump", version="1.0.0", release=1, digest=DIGEST),
        attempt=1,
        rollout="r-1",
        trial=TrialPolicy(tries=2),
        metered=True,
    ),
    rollback=RollbackOrder(from_digest=DIGEST, epoch=2, reason="it hums"),
)
MESSAGES: dict[str, msgspec.Struct] = {
    "a heartbeat with all that it can bear": StatusReport(
        serial="gw-101",
        boot_epoch=1,
        sequence=1,
        software="1",
        clock=ClockQuality(synchronised=True, error_max_us=10),
        references=References(committed=DIGEST),
        effective=DIGEST,
        running=DIGEST,
        update=UpdateReport(digest=DIGEST, attempt=1, state=UpdateState.TRIAL),
        health=[
            HealthWindow(
                epoch=1, number=1, digest=DIGEST, role="trial", started=AT, ended=AT, scored=9
            )
        ],
        drift=[DriftNotice(digest=DIGEST, kind="mean", tags=["flow"], since=AT)],
        windows=WindowCounts(cut=9, scored=9),
    ),
    "its answer": StatusReply(desired_etag="g1", come_back_s=2.0, checkpoint=NOTE),
    "what is wanted of a gateway": DESIRED,
    "a question for a permit": PermitRequest(digest=DIGEST, attempt=1, boot_epoch=1),
    "its answer, a permit": PermitReply(granted=True, epoch=2, valid_s=20.0, checkpoint=NOTE),
    "a question for bytes": PullRequest(digest=DIGEST, attempt=1, bytes_missing=1),
    "its answer, so many": PullReply(granted=True, bytes=1),
    "a window for review": SuspectWindow(
        id="gw-101:1:1",
        serial="gw-101",
        digest=DIGEST,
        started=AT,
        ended=AT,
        period_s=1.0,
        channels=[Channel(role="flow", unit="m3/h", values=[1.0])],
        classes=["normal", "leak"],
        scores=[0.5, 0.5],
        prediction="leak",
        routing=Routing.UNCERTAIN,
        why="close call",
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_newer_peer(name: str) -> None:
    """A field more anywhere in a message is ignored, and the rest means what it meant."""
    message = MESSAGES[name]
    raw = msgspec.json.encode(message)
    assert newer(raw).count(b"from_a_later_version") >= 1
    assert msgspec.json.decode(newer(raw), type=type(message)) == message


def test_a_rule_for_trials_that_is_not_known() -> None:
    """A gateway refuses it by name, rather than commit on less than the site asked for."""
    raw = msgspec.json.encode(DESIRED).replace(b'"tries":2', b'"tries":2,"quiet_hours":1')
    with pytest.raises(msgspec.ValidationError, match="quiet_hours"):
        msgspec.json.decode(raw, type=Desired)
