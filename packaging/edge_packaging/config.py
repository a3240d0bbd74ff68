"""`build.toml`: what one release is made from; paths are relative to the file itself."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from edge_core.command import read_config
from edge_core.contracts.artefact import Digest, Name, Target, Version
from edge_core.contracts.remote import RemoteModel
from edge_core.trust import BUILD_TYPE
from edge_packaging.errors import BuildConfigError

Commit = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$")]
Uri = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9+.-]*:", max_length=500)]
Text = Annotated[str, Meta(min_length=1, max_length=4000)]


class Material(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something the build used, named so that another can fetch the very same."""

    uri: Uri
    digest: Digest


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The commit that the training code came from."""

    uri: Uri
    commit: Commit


class ProvenanceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it was built, and from what; goes into the signed SLSA statement."""

    builder: Uri
    source: Source
    data_set: Material
    container: Material | None = None
    build_type: Uri = BUILD_TYPE


class ReferenceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the drift reference is fitted; see `edge_core.drift.fit.FitPlan` for what each means."""

    replicates: Annotated[int, Meta(ge=10, le=2000)] = 160
    block_windows: Annotated[int, Meta(ge=1)] = 8
    horizon_windows: Annotated[int, Meta(ge=10)] = 720
    quantile: Annotated[float, Meta(gt=0.5, lt=1)] = 0.95
    settle_windows: Annotated[int, Meta(ge=0)] = 4
    quiet_windows: Annotated[int, Meta(ge=0)] = 8
    seed: int = 1
    thin: bool = False


class CardConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person must know before trusting the model."""

    purpose: Text
    limits: Text
    owner: Annotated[str, Meta(min_length=1, max_length=200)]
    licence: Annotated[str, Meta(min_length=1, max_length=100)]
    metrics: dict[str, float] = {}


class BuildConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One release.

    `source` is the model, an `.onnx` or a `.tflite`; where only another server has it there is
    none, and the archive has `outputs`. `tflite` is the same model for LiteRT where `source` is
    an `.onnx`; `remote` is its name at a server. `windows` is a NumPy archive, see
    `edge_packaging.inputs.read_held`.
    """

    model: Name
    version: Version
    release: Annotated[int, Meta(ge=1)]
    source: Path | None = None
    tflite: Path | None = None
    remote: RemoteModel | None = None
    signature: Path
    windows: Path
    targets: Annotated[list[str], Meta(min_length=1, max_length=16)]
    card: CardConfig
    provenance: ProvenanceConfig
    reference: ReferenceConfig = ReferenceConfig()
    smoke_cases: Annotated[int, Meta(ge=1, le=256)] = 16
    agreement_min: Annotated[float, Meta(gt=0, le=1)] = 0.999

    def parsed_targets(self) -> list[Target]:
        """The targets in the order given.

        Raises:
            RefusedError: one is not of the written form.
            BuildConfigError: one stands twice.
        """
        parsed = [Target.parse(text) for text in self.targets]
        if len(set(parsed)) < len(parsed):
            raise BuildConfigError("targets: expected each once, found one twice")
        return parsed


def read(path: Path) -> BuildConfig:
    """Decode `build.toml` and make its paths absolute.

    Raises:
        ConfigurationError: unreadable, or a key is wrong; the message names it.
    """
    config = read_config(path, BuildConfig)
    folder = path.resolve().parent
    return replace(
        config,
        source=None if config.source is None else folder / config.source,
        tflite=None if config.tflite is None else folder / config.tflite,
        signature=folder / config.signature,
        windows=folder / config.windows,
    )
