"""What a signer says: in-toto Statement v1, and SLSA provenance v1 as its usual predicate.

Formats: in-toto attestation framework v1 (statement, resource descriptor) and SLSA v1.0
(provenance). Unknown fields of a predicate are ignored, as SLSA asks of a consumer; what policy
decides about is always a known field.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from edge_core.contracts.artefact import Digest

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
STATEMENT_PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
PROVENANCE_PREDICATE: Final = "https://slsa.dev/provenance/v1"
SBOM_PREDICATE: Final = "https://cyclonedx.org/bom"
CHANNEL_PREDICATE: Final = "https://edge-mlops.dev/channel/v1"
PLAN_PREDICATE: Final = "https://edge-mlops.dev/plan/v1"

BUILD_TYPE: Final = "https://edge-mlops.dev/build/v1"
"""What `edge-pack` does; its external parameters are `EXTERNAL_PARAMETERS`, no others."""

EXTERNAL_PARAMETERS: Final = ("source", "config", "targets")

SOURCE: Final = "source"
"""Name of the resolved dependency that is the training code; its digest is a `gitCommit`."""

DATASET: Final = "dataset"
"""Name of the resolved dependency that is the training data; its digest is a `sha256`."""

TRAINER_IMAGE: Final = "trainer-image"
"""Name of the resolved dependency that is the build container; its digest is a `sha256`."""

DigestText = Annotated[str, Meta(pattern=r"^[0-9a-f]{7,128}$")]


class Subject(Struct, frozen=True, kw_only=True):
    """One thing a statement is about; only the digest counts, the name is for people."""

    name: str
    digest: dict[str, str]


class Statement(Struct, frozen=True, kw_only=True, rename="camel"):
    """in-toto Statement v1; the predicate is left as it came."""

    type_: str = msgspec.field(default=STATEMENT_TYPE, name="_type")
    subject: Annotated[list[Subject], Meta(min_length=1, max_length=4096)]
    predicate_type: str
    predicate: dict[str, object]

    def encode(self) -> bytes:
        """The bytes that are signed: compact JSON with sorted keys, so equal is equal."""
        return msgspec.json.encode(self, order="sorted")

    def covers(self, digest: Digest) -> bool:
        """Whether one of the subjects is *digest*."""
        algorithm, _, encoded = digest.partition(":")
        return any(subject.digest.get(algorithm) == encoded for subject in self.subject)


class ResourceDescriptor(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """An input or by-product of a build; digests by algorithm (`sha256`, `gitCommit`), in hex."""

    name: str | None = None
    uri: str | None = None
    digest: dict[str, DigestText] = {}
    media_type: str | None = None
    annotations: dict[str, object] = {}


class BuildDefinition(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What was asked for. `external_parameters` is everything that a user could set."""

    build_type: str
    external_parameters: dict[str, object]
    internal_parameters: dict[str, object] = {}
    resolved_dependencies: list[ResourceDescriptor] = []


class Builder(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Who built: the `id` is what policy pins; `version` says with which tools."""

    id: str
    version: dict[str, str] = {}


class BuildMetadata(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """When and in which run; RFC 3339 instants, for people only."""

    invocation_id: str | None = None
    started_on: str | None = None
    finished_on: str | None = None


class RunDetails(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What happened in the run."""

    builder: Builder
    metadata: BuildMetadata = BuildMetadata()
    byproducts: list[ResourceDescriptor] = []


class Provenance(Struct, frozen=True, kw_only=True, rename="camel"):
    """The SLSA provenance v1 predicate."""

    build_definition: BuildDefinition
    run_details: RunDetails

    def dependency_digest(self, name: str, algorithm: str) -> str | None:
        """The digest in hex of the resolved dependency *name*, or None where there is none."""
        for dependency in self.build_definition.resolved_dependencies:
            if dependency.name == name and algorithm in dependency.digest:
                return dependency.digest[algorithm]
        return None

    @property
    def source_uri(self) -> str | None:
        """Where the training code came from, for example `git+https://host/repo@refs/tags/v1`."""
        for dependency in self.build_definition.resolved_dependencies:
            if dependency.name == SOURCE:
                return dependency.uri
        return None


def provenance_statement(provenance: Provenance, *, name: str, digest: Digest) -> Statement:
    """The statement that *provenance* is how the release *name* with index *digest* came to be."""
    return statement_of(
        PROVENANCE_PREDICATE, msgspec.to_builtins(provenance), subjects={name: digest}
    )


def statement_of(
    predicate_type: str, predicate: dict[str, object], *, subjects: dict[str, Digest]
) -> Statement:
    """A statement about *subjects*, which maps names to digests."""
    listed = [
        Subject(name=name, digest=dict((digest.split(":", maxsplit=1),)))
        for name, digest in subjects.items()
    ]
    return Statement(subject=listed, predicate_type=predicate_type, predicate=predicate)
