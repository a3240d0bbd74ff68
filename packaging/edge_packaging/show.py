"""Shows what a release is, for people: its targets, files, signatures and SBOMs."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Struct

from edge_core.contracts.artefact import (
    BUNDLE_TYPE,
    FILEPATH,
    MODEL_NAME,
    MODEL_VERSION,
    RELEASE_NUMBER,
    ROLE,
    SBOM_TYPE,
    TARGET,
    Descriptor,
    Digest,
)
from edge_core.oci import Layout


class ShownFile(Struct, frozen=True, kw_only=True):
    """One layer."""

    role: str
    name: str
    bytes: int
    digest: Digest


class ShownRelease(Struct, frozen=True, kw_only=True):
    """One release; signatures are counted here, not verified: that is what `verify` is for."""

    digest: Digest
    model: str
    version: str
    release: str
    targets: dict[str, list[ShownFile]]
    signatures: int
    sboms: int


@dataclass(frozen=True, slots=True)
class _Kinds:
    signatures: int
    sboms: int


async def show(layout: Layout, reference: str) -> ShownRelease:
    """What is at *reference*.

    Raises:
        NotFoundError: nothing.
        RefusedError: something that is no release.
    """
    top = await layout.manifest(reference)
    index = top.index()
    targets = {}
    for listed in index.manifests:
        manifest = (await layout.manifest(listed.digest)).manifest()
        name = manifest.annotations.get(TARGET, listed.digest)
        targets[name] = [_file(layer) for layer in manifest.layers]
    kinds = _kinds(await layout.referrers(top.digest))
    return ShownRelease(
        digest=top.digest,
        model=index.annotations.get(MODEL_NAME, "?"),
        version=index.annotations.get(MODEL_VERSION, "?"),
        release=index.annotations.get(RELEASE_NUMBER, "?"),
        targets=targets,
        signatures=kinds.signatures,
        sboms=kinds.sboms,
    )


def _file(layer: Descriptor) -> ShownFile:
    return ShownFile(
        role=layer.annotations.get(ROLE, "?"),
        name=layer.annotations.get(FILEPATH, "?"),
        bytes=layer.size,
        digest=layer.digest,
    )


def _kinds(referrers: Sequence[Descriptor]) -> _Kinds:
    kinds = [referrer.artifact_type for referrer in referrers]
    return _Kinds(signatures=kinds.count(BUNDLE_TYPE), sboms=kinds.count(SBOM_TYPE))


def lines(shown: ShownRelease) -> list[str]:
    """The same for a terminal."""
    head = [
        f"{shown.model} {shown.version}, release {shown.release}",
        f"{shown.digest}",
        f"{shown.signatures} signature(s) attached, {shown.sboms} SBOM(s); not verified here",
    ]
    for target, files in shown.targets.items():
        head += ["", target]
        head += [f"  {f.role:<14} {f.name:<18} {f.bytes:>10} B  {f.digest[7:19]}" for f in files]
    return head
