"""The review queue: strange windows in, one label a window out, with what it takes to trust it.

A gateway may be newer than its site: what it says of a window beyond what is known is ignored.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from edge_core.contracts.artefact import Digest, Label
from edge_core.contracts.gateway import Count
from edge_core.contracts.plant import Instant, Serial

WindowId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,63}:[0-9]{1,19}:[0-9]{1,19}$")]
UNSURE = "unsure"  # a label of its own; never trained on


class Routing(StrEnum):
    """Which rule sent a window to review; routing never pages."""

    RANDOM = "random"
    UNCERTAIN = "uncertain"
    SHADOW = "shadow_disagreement"
    OUT_OF_DOMAIN = "out_of_domain"
    DRIFT = "drift"
    ANOMALY = "anomaly"
    OVERRIDE = "override"


class Channel(Struct, frozen=True, kw_only=True):
    """One tag of a window; a value that was bad or missing is null."""

    role: Label
    unit: Annotated[str, Meta(max_length=32)]
    values: Annotated[list[float | None], Meta(max_length=4096)]


class SuspectWindow(Struct, frozen=True, kw_only=True):
    """A window as the gateway sends it. `id` is serial:epoch:number, so a repeat is recognised.

    `inclusion_probability` is how likely this window was to be picked: without it accuracy
    estimated from the labels would be wrong.
    """

    id: WindowId
    serial: Serial
    digest: Digest
    shadow_digest: Digest | None = None
    started: Instant
    ended: Instant
    period_s: Annotated[float, Meta(gt=0)]
    channels: Annotated[list[Channel], Meta(min_length=1, max_length=64)]
    classes: Annotated[list[Label], Meta(min_length=2, max_length=64)]
    scores: Annotated[list[float], Meta(max_length=64)]
    prediction: Label
    shadow_prediction: Label | None = None
    routing: Routing
    why: Annotated[str, Meta(max_length=300)]
    inclusion_probability: Annotated[float, Meta(gt=0, le=1)] | None = None
    regime: Annotated[str, Meta(max_length=40)] = ""


class ItemState(StrEnum):
    """Where an item of the queue stands."""

    OPEN = "open"
    LEASED = "leased"
    LABELLED = "labelled"
    EXPIRED = "expired"


class LabelRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who said what of a window; undone labels stay as history."""

    label: Label
    who: str
    at: Instant
    seconds: Annotated[float, Meta(ge=0)]
    proposal_shown: bool
    undone: bool = False


class ReviewItem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One item of the queue as a labeller sees it."""

    item: Annotated[int, Meta(ge=1)]
    state: ItemState
    line: str
    asset: str
    window: SuspectWindow
    received: Instant
    leased_by: str | None = None
    labels: list[LabelRecord] = []


class QueueSummary(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much work the queue holds."""

    open: Count
    leased: Count
    labelled: Count
    expired: Count
