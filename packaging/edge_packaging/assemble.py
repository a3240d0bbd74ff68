"""Puts the parts of a release together: one image manifest a target, one index over them.

Layout: CNCF ModelPack (model-spec) on OCI image-spec 1.1. Every layer is one raw file; nothing is
ever packed into an archive, so nothing is ever unpacked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from edge_core.admission.model import ModelFile
from edge_core.contracts.artefact import (
    DATASET_TYPE,
    DOC_TYPE,
    FILEPATH,
    MODEL_CONFIG_TYPE,
    MODEL_MANIFEST_TYPE,
    MODEL_NAME,
    MODEL_VERSION,
    RELEASE_NUMBER,
    ROLE,
    TARGET,
    WEIGHT_CONFIG_TYPE,
    WEIGHT_TYPE,
    Descriptor,
    Index,
    LayerRole,
    Manifest,
    Target,
)
from edge_core.contracts.remote import REMOTE
from edge_core.oci import Layout, encode_document

MEDIA_TYPES: Final = {
    LayerRole.SIGNATURE: WEIGHT_CONFIG_TYPE,
    LayerRole.REFERENCE: DATASET_TYPE,
    LayerRole.SMOKE: DATASET_TYPE,
    LayerRole.MODEL_CARD: DOC_TYPE,
}


@dataclass(frozen=True, slots=True)
class Release:
    """What names a release."""

    model: str
    version: str
    number: int

    @property
    def tag(self) -> str:
        """Where the release stands in its repository, for example `pump-condition-1.0.0`."""
        return f"{self.model}-{self.version}".replace("/", "-").replace("+", "_")

    @property
    def annotations(self) -> dict[str, str]:
        """As the index and every manifest carry them."""
        return {
            MODEL_NAME: self.model,
            MODEL_VERSION: self.version,
            RELEASE_NUMBER: str(self.number),
        }


@dataclass(frozen=True, slots=True)
class Shared:
    """A small file that every target of a release carries."""

    role: LayerRole
    name: str
    content: bytes


def assemble(
    layout: Layout,
    release: Release,
    built: Mapping[Target, Sequence[ModelFile]],
    shared: Sequence[Shared],
) -> Descriptor:
    """Write every blob, one manifest a target and the index, tagged with name and version.

    Returns:
        The descriptor of the index, whose digest is the only thing that is ever signed.
    """
    common = [_put(layout, part.role, part.name, part.content) for part in shared]
    manifests = []
    for target, files in built.items():
        model = [
            layout.put_blob(
                file.path,
                # A name at a server has no weights.
                media_type=WEIGHT_CONFIG_TYPE if target.runtime == REMOTE else WEIGHT_TYPE,
                annotations={FILEPATH: file.name, ROLE: LayerRole.MODEL.value},
            )
            for file in files
        ]
        manifests.append(_manifest(layout, release, target, [*model, *common]))
    index = Index(manifests=manifests, annotations=release.annotations)
    return layout.put_manifest(encode_document(index), tag=release.tag)


def _put(layout: Layout, role: LayerRole, name: str, content: bytes) -> Descriptor:
    return layout.put_blob(
        content,
        media_type=MEDIA_TYPES[role],
        annotations={FILEPATH: name, ROLE: role.value},
    )


def _manifest(
    layout: Layout, release: Release, target: Target, layers: list[Descriptor]
) -> Descriptor:
    config = _model_config(release, target, layers)
    manifest = Manifest(
        artifact_type=MODEL_MANIFEST_TYPE,
        config=layout.put_blob(config, media_type=MODEL_CONFIG_TYPE),
        layers=layers,
        annotations=release.annotations | {TARGET: str(target)},
    )
    listed = layout.put_manifest(encode_document(manifest))
    return msgspec.structs.replace(listed, annotations={TARGET: str(target)})


def _model_config(release: Release, target: Target, layers: Sequence[Descriptor]) -> bytes:
    """The ModelPack configuration; its `diffIds` are the layers, since nothing is compressed."""
    return msgspec.json.encode(
        {
            "descriptor": {"name": release.model, "version": release.version},
            "config": {"format": target.runtime, "precision": target.precision},
            "modelfs": {"type": "layers", "diffIds": [layer.digest for layer in layers]},
        },
        order="sorted",
    )
