"""A small signed-looking release in a layout; the bundle is not a real one."""

from dataclasses import dataclass
from datetime import UTC, datetime

from edge_core.contracts.artefact import (
    BUNDLE_TYPE,
    FILEPATH,
    MODEL_CONFIG_TYPE,
    MODEL_MANIFEST_TYPE,
    SBOM_TYPE,
    TARGET,
    WEIGHT_TYPE,
    Descriptor,
    Index,
    Manifest,
)
from edge_core.oci import (
    EMPTY_BYTES,
    Layout,
    bundle_manifest,
    encode_document,
    sbom_manifest,
)

CREATED = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TARGETS = ("linux-amd64/onnxruntime/fp32/b1", "linux-amd64/openvino/int8/b1")
BUNDLE = b'{"not":"a real bundle"}'


@dataclass(frozen=True)
class Made:
    """What was put into the layout."""

    index: Descriptor
    manifests: tuple[Descriptor, ...]
    bundle: Descriptor


def put_release(layout: Layout, *, tag: str = "1.0", filepath: str = "model.onnx") -> Made:
    """A release of two targets with one bundle and one SBOM, in *layout* at *tag*."""
    manifests = tuple(_put_target(layout, target, filepath) for target in TARGETS)
    index = layout.put_manifest(encode_document(Index(manifests=list(manifests))), tag=tag)
    layout.put_blob(EMPTY_BYTES, media_type="application/vnd.oci.empty.v1+json")
    bundle = layout.put_blob(BUNDLE, media_type=BUNDLE_TYPE)
    sbom = layout.put_blob(b'{"bomFormat":"CycloneDX"}', media_type=SBOM_TYPE)
    attached = layout.put_manifest(
        bundle_manifest(index, bundle, predicate_type="https://p", created=CREATED)
    )
    layout.put_manifest(sbom_manifest(index, sbom, created=CREATED))
    return Made(index=index, manifests=manifests, bundle=attached)


def _put_target(layout: Layout, target: str, filepath: str) -> Descriptor:
    weights = layout.put_blob(
        target.encode() * 5000, media_type=WEIGHT_TYPE, annotations={FILEPATH: filepath}
    )
    config = layout.put_blob(b'{"model":1}', media_type=MODEL_CONFIG_TYPE)
    raw = encode_document(
        Manifest(artifact_type=MODEL_MANIFEST_TYPE, config=config, layers=[weights])
    )
    digest = layout.blobs.add_bytes(raw)
    return Descriptor(
        media_type="application/vnd.oci.image.manifest.v1+json",
        digest=digest,
        size=len(raw),
        annotations={TARGET: target},
    )
