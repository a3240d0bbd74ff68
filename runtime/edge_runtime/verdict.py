"""What a gateway says of one window, to whoever acts on it."""

from typing import Annotated

from msgspec import Meta, Struct

from edge_core.contracts.artefact import Digest, Label
from edge_core.contracts.gateway import Count, Reason
from edge_core.contracts.plant import Instant, Serial

NO_MODEL = "no model"
SAFE_MODE = "safe mode"


class Verdict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One verdict as published, JSON.

    `label` is what to act on: the model's class, or its safe output where `decided` is false, and
    then `reason` says why. `domain` is `inside`, `outside` or `unknown` of what the model was
    trained on. `value`, in `unit`, is what a regression found.

    Of the window: `quality` is the share of usable rows of the worst tag, `age_max_s` the age of
    the oldest value in it (None where one is missing), `source_started` and `source_ended` the
    source times of its oldest and its newest value. `bad` names the tags that forbid a verdict,
    the worst first, `gaps` those whose source recorded a gap that touches it. Times are the
    plant's; `clock_ahead_s` is how far its clock is ahead of this gateway's own.
    """

    serial: Serial
    epoch: Count
    window: Count
    started: Instant
    ended: Instant
    decided: bool
    label: Label | None
    reason: Reason = ""
    classes: list[Label] = []
    scores: list[float] = []
    confidence: Annotated[float, Meta(ge=0, le=1)] | None = None
    value: float | None = None
    unit: Annotated[str, Meta(max_length=32)] = ""
    domain: Label = "unknown"
    digest: Digest | None = None
    model: str | None = None
    version: str | None = None
    role: Label | None = None
    quality: Annotated[float, Meta(ge=0, le=1)] = 0.0
    uncertain: list[Label] = []
    bad: list[Label] = []
    gaps: list[Label] = []
    age_max_s: float | None = None
    source_started: Instant | None = None
    source_ended: Instant | None = None
    clock_ahead_s: float | None = None
