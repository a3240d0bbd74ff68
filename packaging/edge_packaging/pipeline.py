"""From a configuration to an unsigned release in a layout: gate, build, validate, assemble.

A target that does not give what its source gives is never assembled. Nothing is visible in the
layout before everything is right: the index is written last.
"""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_core.admission.admit import admit, inspect
from edge_core.admission.model import Admission, ModelFile
from edge_core.contracts.artefact import (
    Descriptor,
    DriftReference,
    LayerRole,
    ModelSignature,
    SmokeVectors,
    Target,
)
from edge_core.features.statistics import Extractor
from edge_core.oci import Layout, digest_of_file
from edge_core.trust import Statement, provenance_statement
from edge_packaging import builders
from edge_packaging.assemble import Release, Shared, assemble
from edge_packaging.card import model_card
from edge_packaging.config import BuildConfig
from edge_packaging.errors import NotReproducedError
from edge_packaging.inputs import read_signature, read_windows
from edge_packaging.provenance import provenance
from edge_packaging.references import drift_reference, encoded, smoke_vectors
from edge_packaging.sbom import ml_bom
from edge_packaging.scoring import scores

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Built:
    """An assembled, unsigned release.

    Attributes:
        index: points to the image index.
        tag: where it stands in its repository.
        statement: what a signer will sign.
        sbom: the ML-BOM as bytes.
        admissions: what each target showed at admission.
    """

    index: Descriptor
    tag: str
    statement: Statement
    sbom: bytes
    admissions: dict[str, Admission]


@dataclass(frozen=True, slots=True)
class _Judged:
    """What every target of a release is held against."""

    signature: ModelSignature
    features: NDArray[np.float32]
    expected: NDArray[np.float32]
    smoke: SmokeVectors


async def build(
    config: BuildConfig,
    layout: Layout,
    *,
    only: Sequence[Target] = (),
    say: Say,
    now: Callable[[], datetime],
) -> Built:
    """Build, validate and assemble every target, or those in *only*.

    Raises:
        RefusedError: the model, or a target of it, is not admissible or not reproduced.
        ConfigurationError: the configuration or a file it names is wrong.
    """
    started = now()
    release = Release(model=config.model, version=config.version, number=config.release)
    signature = read_signature(config.signature)
    windows = read_windows(config.windows, signature)
    source = ModelFile(name="model.onnx", path=config.source)
    say(f"gate: {config.source.name}")
    await inspect([source], signature)
    features = Extractor(signature).matrix(windows.trained)
    expected = await scores([source], signature, "onnxruntime", features)
    smoke = smoke_vectors(features, expected, config.smoke_cases)
    judged = _Judged(signature, features, expected, smoke)
    say("reference: fitting what normal looks like")
    reference = await asyncio.to_thread(
        drift_reference, windows, features, signature, config.reference
    )
    with tempfile.TemporaryDirectory(prefix="edge-pack-") as scratch:
        built, admissions = await _targets(config, judged, Path(scratch), only, say)
        say("assemble")
        index = await asyncio.to_thread(
            assemble,
            layout,
            release,
            built,
            _shared(config, judged, reference),
        )
    statement = provenance_statement(
        provenance(
            config,
            materials=_materials(config),
            invocation=index.digest,
            started=started,
            finished=now(),
        ),
        name=f"{config.model}:{config.version}",
        digest=index.digest,
    )
    return Built(index, release.tag, statement, await _sbom(config, layout, index), admissions)


async def _targets(
    config: BuildConfig, judged: _Judged, scratch: Path, only: Sequence[Target], say: Say
) -> tuple[dict[Target, list[ModelFile]], dict[str, Admission]]:
    built: dict[Target, list[ModelFile]] = {}
    admissions: dict[str, Admission] = {}
    for target in config.parsed_targets():
        if only and target not in only:
            continue
        say(f"build: {target}")
        folder = scratch / str(target).replace("/", "_")
        folder.mkdir()
        files = await asyncio.to_thread(
            builders.build, config.source, judged.signature, target, folder
        )
        admissions[str(target)] = await _validate(config, judged, target, files)
        built[target] = files
    return built, admissions


async def _validate(
    config: BuildConfig, judged: _Judged, target: Target, files: Sequence[ModelFile]
) -> Admission:
    """Admission as on a gateway, then the same class as the source on the held-back windows."""
    admission = await admit(files, judged.signature, judged.smoke, target.runtime)
    found = await scores(files, judged.signature, target.runtime, judged.features)
    agreed = float((found.argmax(axis=1) == judged.expected.argmax(axis=1)).mean())
    if agreed < config.agreement_min:
        raise NotReproducedError(
            f"{target}: expected the class of its source for {config.agreement_min:.1%} of "
            f"{len(found)} windows, found {agreed:.1%}"
        )
    return admission


def _shared(config: BuildConfig, judged: _Judged, reference: DriftReference) -> list[Shared]:
    card = model_card(config, judged.signature, reference)
    return [
        Shared(LayerRole.SIGNATURE, "signature.json", encoded(judged.signature)),
        Shared(LayerRole.REFERENCE, "reference.json", encoded(reference)),
        Shared(LayerRole.SMOKE, "smoke.json", encoded(judged.smoke)),
        Shared(LayerRole.MODEL_CARD, "model_card.md", card.encode()),
    ]


def _materials(config: BuildConfig) -> dict[str, str]:
    """Digest of every file the build read, by the name of its setting."""
    return {
        "model": digest_of_file(config.source)[0],
        "contract": digest_of_file(config.signature)[0],
        "validation-windows": digest_of_file(config.windows)[0],
    }


async def _sbom(config: BuildConfig, layout: Layout, index: Descriptor) -> bytes:
    release = (await layout.manifest(index.digest)).index()
    layers = [
        layer
        for manifest in release.manifests
        for layer in (await layout.manifest(manifest.digest)).manifest().layers
    ]
    return ml_bom(config, index.digest, layers)


__all__ = ["Built", "build"]
