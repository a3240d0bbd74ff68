"""Shows what a release is, for people: its targets, files, signatures and SBOMs."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Struct

from edge_core.contracts.artefact import (
    BUNDLE_TYPE,
    DOCUMENT_BYTES_MAX,
    FILEPATH,
    MODEL_NAME,
    MODEL_VERSION,
    RELEASE_NUMBER,
    ROLE,
    SBOM_TYPE,
    TARGET,
    Descriptor,
    Digest,
    LayerRole,
    ModelSignature,
)
from edge_core.features.contract import check_signature
from edge_core.oci import Layout
from edge_core.trust.strict_json import decode
from edge_packaging.describe import gives, takes


class ShownFile(Struct, frozen=True, kw_only=True):
    """One layer."""

    role: str
    name: str
    bytes: int
    digest: Digest


class ShownRelease(Struct, frozen=True, kw_only=True):
    """One release; signatures are counted here, not verified: that is what `verify` is for.

    `takes` and `gives` are its contract in words, empty where it has none.
    """

    digest: Digest
    model: str
    version: str
    release: str
    takes: str
    gives: str
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
    contract: ModelSignature | None = None
    for listed in index.manifests:
        manifest = (await layout.manifest(listed.digest)).manifest()
        name = manifest.annotations.get(TARGET, listed.digest)
        targets[name] = [_file(layer) for layer in manifest.layers]
        contract = contract or _contract(layout, manifest.layers)
    kinds = _kinds(await layout.referrers(top.digest))
    return ShownRelease(
        digest=top.digest,
        model=index.annotations.get(MODEL_NAME, "?"),
        version=index.annotations.get(MODEL_VERSION, "?"),
        release=index.annotations.get(RELEASE_NUMBER, "?"),
        takes="" if contract is None else takes(contract),
        gives="" if contract is None else gives(contract),
        targets=targets,
        signatures=kinds.signatures,
        sboms=kinds.sboms,
    )


def _contract(layout: Layout, layers: Sequence[Descriptor]) -> ModelSignature | None:
    """The contract among *layers*; nothing is believed of it, it is only shown.

    Raises:
        RefusedError: it is none.
    """
    for layer in layers:
        if layer.annotations.get(ROLE) == LayerRole.SIGNATURE:
            raw = layout.blobs.read(layer.digest, bytes_max=DOCUMENT_BYTES_MAX)
            signature = decode(raw, ModelSignature, what="signature.json")
            check_signature(signature)
            return signature
    return None


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
        *([f"takes {shown.takes}", f"gives {shown.gives}"] if shown.takes else []),
        f"{shown.signatures} signature(s) attached, {shown.sboms} SBOM(s); not verified here",
    ]
    for target, files in shown.targets.items():
        head += ["", target]
        head += [f"  {f.role:<14} {f.name:<18} {f.bytes:>10} B  {f.digest[7:19]}" for f in files]
    return head
