"""The artefact: a release as an OCI image index, and the JSON files that travel inside it.

A release is one image index. It lists one image manifest per target, each with one raw file a
layer. `signature.json` is the contract between a model and the feature pipeline of a gateway.
Layout and annotation keys follow OCI image-spec 1.1 and the CNCF ModelPack model-spec.
"""

import re
from enum import StrEnum
from typing import Annotated, Self

from msgspec import Meta, Struct

from edge_core.contracts.errors import RefusedError
from edge_core.contracts.frame import FrameInput
from edge_core.contracts.label import LABEL_PATTERN
from edge_core.contracts.outcome import Classification, Outcome

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
MODEL_MANIFEST_TYPE = "application/vnd.cncf.model.manifest.v1+json"
MODEL_CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
WEIGHT_TYPE = "application/vnd.cncf.model.weight.v1.raw"
WEIGHT_CONFIG_TYPE = "application/vnd.cncf.model.weight.config.v1.raw"
DOC_TYPE = "application/vnd.cncf.model.doc.v1.raw"
DATASET_TYPE = "application/vnd.cncf.model.dataset.v1.raw"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SBOM_TYPE = "application/vnd.cyclonedx+json"
CHANNEL_TYPE = "application/vnd.edge-mlops.channel.v1+json"
PLAN_TYPE = "application/vnd.edge-mlops.plan.v1+json"

FILEPATH = "org.cncf.model.filepath"
ROLE = "dev.edge-mlops.role"
TARGET = "dev.edge-mlops.target"
MODEL_NAME = "org.opencontainers.image.title"
MODEL_VERSION = "org.opencontainers.image.version"
RELEASE_NUMBER = "dev.edge-mlops.release"

MANIFEST_BYTES_MAX = 4 * 1024 * 1024  # what OCI asks every registry to accept, and we no more
DOCUMENT_BYTES_MAX = 16 * 1024 * 1024  # one picture of 640 x 640 and its mask, as smoke vectors
TOLERANCE_MAX = 0.1  # of the largest smoke output, or of one

Digest = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}$")]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9._/-]{0,126}[a-z0-9])?$")]
Version = Annotated[str, Meta(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}$")]
Label = Annotated[str, Meta(pattern=LABEL_PATTERN)]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


def is_digest(text: str) -> bool:
    """Whether *text* is a sha256 digest as we write them; no other algorithm is accepted."""
    return _DIGEST.match(text) is not None


class Descriptor(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A typed pointer to bytes; keys we do not know stay in the raw document only."""

    media_type: str
    digest: Digest
    size: Annotated[int, Meta(ge=0)]
    artifact_type: str | None = None
    annotations: dict[str, str] = {}


class Manifest(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """An OCI image manifest: a config, layers, and at most one subject."""

    schema_version: int = 2
    media_type: str = MANIFEST_TYPE
    artifact_type: str | None = None
    config: Descriptor
    layers: list[Descriptor]
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class Index(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """An OCI image index: one release, or a list of referrers."""

    schema_version: int = 2
    media_type: str = INDEX_TYPE
    artifact_type: str | None = None
    manifests: list[Descriptor]
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class LayerRole(StrEnum):
    """What a layer is for; the value is its annotation."""

    MODEL = "model"
    SIGNATURE = "signature"
    REFERENCE = "reference"
    SMOKE = "smoke"
    SMOKE_TENSORS = "smoke-tensors"
    LABELS = "labels"
    MODEL_CARD = "model-card"
    CALIBRATION = "calibration"


_TARGET = re.compile(
    r"(?P<platform>[a-z0-9]+-[a-z0-9]+(-[a-z0-9]+)?)/(?P<runtime>[a-z0-9]+)/"
    r"(?P<precision>fp32|fp16|bf16|int8|int4)/b(?P<batch>[1-9][0-9]{0,3})\Z"
)


class Target(Struct, frozen=True, kw_only=True, order=True):
    """What a build is for: `<os>-<arch>[-<accelerator>]/<runtime>/<precision>/b<batch>`."""

    platform: str
    runtime: str
    precision: str
    batch: int

    def __str__(self) -> str:
        return f"{self.platform}/{self.runtime}/{self.precision}/b{self.batch}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the written form.

        Raises:
            RefusedError: *text* is not of that form.
        """
        match = _TARGET.match(text)
        if match is None:
            raise RefusedError(
                f"target {text[:80]!r}: expected <os>-<arch>[-<accelerator>]/<runtime>/"
                "<precision>/b<batch>, for example linux-amd64/onnxruntime/fp32/b1"
            )
        return cls(
            platform=match["platform"],
            runtime=match["runtime"],
            precision=match["precision"],
            batch=int(match["batch"]),
        )


class Dtype(StrEnum):
    """Element types that a model may take or give."""

    BOOL = "bool"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    FLOAT16 = "float16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"


class TensorSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input or output; a shape has no unknown dimensions, the batch is the target's."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    dtype: Dtype
    shape: Annotated[list[Annotated[int, Meta(ge=1, le=65536)]], Meta(max_length=8)]


class Statistic(StrEnum):
    """What is taken of one tag over one window; the meaning of each is in `edge_core.features`."""

    MEAN = "mean"
    SD = "sd"
    MIN = "min"
    MAX = "max"
    MEAN_ABS_DIFF = "mean_abs_diff"
    SLOPE = "slope"
    LAST = "last"


class Feature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column of the model's input: a statistic of the tag that plays *role*, in *unit*."""

    role: Label
    unit: Annotated[str, Meta(min_length=1, max_length=32)]
    statistic: Statistic


class Windowing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How windows are cut. Lengths count grid rows; a row is one period."""

    period_s: Annotated[float, Meta(gt=0, le=3600)]
    length_rows: Annotated[int, Meta(ge=2, le=65536)]
    stride_rows: Annotated[int, Meta(ge=1, le=65536)]
    gap_rows_max: Annotated[int, Meta(ge=0)]
    good_share_min: Annotated[float, Meta(gt=0, le=1)] = 0.8


SILENT_STRIDES = 3  # two windows may be bad one after the other before anybody must know
UNKNOWN = "unknown"  # the only safe output that is no class: nobody knows how the asset is


class ModelSignature(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="schema",
    tag="signature/1",
):
    """`signature.json`: everything a gateway must be able to supply before it may load a model.

    The input is one row of features, in the order given; where the batch is larger, the row
    fills it. The first row of the first output says how the window is, as `outcome` reads it.
    `safe_output` is what holds where there is no verdict: one of the classes, or `UNKNOWN`.
    `silence_s_max` is how long there may be none before it holds; where it is not given, as long
    as three windows take to come. A model of pictures has a `frame` and no features: each picture
    is a window, and `windowing` says how often one is expected.
    """

    inputs: Annotated[list[TensorSpec], Meta(min_length=1, max_length=8)]
    outputs: Annotated[list[TensorSpec], Meta(min_length=1, max_length=8)]
    features: Annotated[list[Feature], Meta(max_length=4096)]
    windowing: Windowing
    classes: Annotated[list[Label], Meta(min_length=2, max_length=64)]
    normal_class: Label
    safe_output: Label
    regime_role: Label | None = None
    outcome: Outcome = Classification()
    silence_s_max: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    frame: FrameInput | None = None

    @property
    def roles(self) -> tuple[str, ...]:
        """The tag roles in the order of their first feature: the columns of a window."""
        return tuple(dict.fromkeys(feature.role for feature in self.features))

    @property
    def silence_s(self) -> float:
        """How long there may be no verdict before the safe output holds."""
        stride_s = self.windowing.period_s * self.windowing.stride_rows
        return self.silence_s_max or SILENT_STRIDES * stride_s


class ModeReference(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What the five window statistics look like in one recipe; arrays have shape (5, role).

    `bar` is its own alarm bar, where that of the whole reference does not suit it.
    """

    mode: str
    windows: Annotated[int, Meta(ge=1)]
    mean: list[list[float]]
    sd: list[list[float]]
    bar: Annotated[float, Meta(gt=0)] | None = None


class Domain(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the model was trained, in the order of the signature's features.

    A feature vector x is inside when every feature lies within `low` and `high` (the range seen,
    with margin), and the Mahalanobis distance sqrt(z' P z / feature) of z = (x - centre) / scale
    is at most `distance_max`. `precision` holds P, symmetric, as its lower triangle row by row.
    """

    low: list[float]
    high: list[float]
    centre: list[float]
    scale: list[float]
    precision: list[list[float]]
    distance_max: Annotated[float, Meta(gt=0)]
    windows: Annotated[int, Meta(ge=2)]


class DriftReference(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="schema",
    tag="reference/1",
):
    """`reference.json`: what normal looked like, for the shown PSI and for the deciding WCUSUM.

    Shown: `edges` has up to 19 inner bin edges a role, `counts` the reference rows in each bin.
    Deciding: rows are standardised by `row_mean` and `row_sd`; `ridge`, shape (role, role), gives
    the residual of every tag from all others. `slow` and `fast`, shape (5, role), scale the two
    CUSUM charts, and `bar` is the one alarm bar over everything. Statistics are in the order
    level, rough, spread, resid, residspread. Lengths in windows count windows of `window_rows`.
    """

    roles: list[Label]
    window_rows: Annotated[int, Meta(ge=4)]
    row_period_s: Annotated[float, Meta(gt=0)]
    edges: list[list[float]]
    counts: list[list[int]]
    row_mean: list[float]
    row_sd: list[float]
    ridge: list[list[float]]
    modes: Annotated[list[ModeReference], Meta(min_length=1)]
    flat_run_max: list[int]
    slow: list[list[float]]
    fast: list[list[float]]
    bar: Annotated[float, Meta(gt=0)]
    good_share_min: Annotated[float, Meta(gt=0, le=1)] = 0.8
    settle_windows: Annotated[int, Meta(ge=0)]
    quiet_windows: Annotated[int, Meta(ge=0)]
    horizon_windows: Annotated[int, Meta(ge=1)]
    block_windows: Annotated[int, Meta(ge=1)]
    replicates: Annotated[int, Meta(ge=1)]
    quantile: Annotated[float, Meta(gt=0, lt=1)]
    seed: int
    tau_int_rows: float
    thin: bool
    domain: Domain


class SmokeCase(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input row and the scores it must give."""

    inputs: list[float]
    outputs: list[float]


class SmokeVectors(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="schema",
    tag="smoke/1",
):
    """`smoke.json`: a model that does not reproduce these is not the model that was released.

    `absolute_tolerance` is in the measure of the outputs: at most a tenth, or a tenth of the
    largest output where that is more than one.
    """

    cases: Annotated[list[SmokeCase], Meta(min_length=1, max_length=256)]
    absolute_tolerance: Annotated[float, Meta(gt=0)] = 1e-4

    def __post_init__(self) -> None:
        """Refuse a tolerance that would let any model pass.

        Raises:
            ValueError: it is too large for the outputs.
        """
        largest = max(abs(each) for case in self.cases for each in (*case.outputs, 1.0))
        if not self.absolute_tolerance <= TOLERANCE_MAX * largest:
            raise ValueError(
                f"absolute_tolerance: expected at most {TOLERANCE_MAX * largest:g} for these "
                f"outputs, found {self.absolute_tolerance:g}"
            )


class ReleaseRef(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A release by name and digest; the digest decides, the rest is for people."""

    model: Name
    version: Version
    release: Annotated[int, Meta(ge=1)]
    digest: Digest


class Channel(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="schema",
    tag="channel/1",
):
    """What is current for a site: signed, monotonic, expiring.

    A lower sequence than one seen before is an attack or a restored upstream; either way an alarm.
    Expiry stops new rollouts only, never a running model and never a rollback.
    """

    site: Label
    sequence: Annotated[int, Meta(ge=1)]
    issued: str
    expires: str
    releases: list[ReleaseRef]
    lowest_release: dict[str, int] = {}
