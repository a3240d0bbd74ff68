"""The audit log as it is read: one leaf, and the answer to what ran where."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from edge_core.contracts.artefact import Digest, ReleaseRef
from edge_core.contracts.gateway import (
    Count,
)
from edge_core.contracts.plant import Instant, Serial


class AuditEvent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One leaf of the audit log; its canonical JSON is what the Merkle tree hashes.

    `rows` are the rows of state that it changed: the fields that differ, or null for one that
    went. The rows of all events, in order, are the state.
    """

    sequence: Count
    at: Instant
    clock_synchronised: bool
    who: str
    kind: Annotated[str, Meta(pattern=r"^[a-z_]+\.[a-z_]+$")]
    subject: Annotated[str, Meta(max_length=120)]
    facts: dict[str, Any]  # json values only; the kind decides which
    previous: str
    rows: dict[str, dict[str, Any] | None] = {}  # json values only


class WhatRan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer to an auditor: what decided about this asset then, and on whose word.

    It decided from `since` until just before `until`; `before` and `after` are what did so on the
    other side of those instants. `inferences` were counted by the gateway between its reports
    nearest to them, up to its newest report where there is no end yet.
    """

    asset: str
    serial: Serial
    at: Instant
    digest: Digest | None
    release: ReleaseRef | None
    since: Instant | None
    until: Instant | None
    signers: list[str]
    approvals: list[dict[str, str]]
    clock_synchronised: bool
    event: Count | None
    audit_size: Count
    before: Digest | None = None
    after: Digest | None = None
    rollout: str | None = None
    config: Digest | None = None
    inputs: list[str] = []
    inferences: Count | None = None
    clock_error_max_us: Count | None = None
