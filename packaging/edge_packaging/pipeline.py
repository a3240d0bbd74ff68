"""From a configuration to an unsigned release in a layout: gate, build, validate, assemble.

A target that does not give what its source gives is never assembled. Nothing is visible in the
layout before everything is right: the index is written last.
"""

import asyncio
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

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
from edge_core.contracts.remote import REMOTE
from edge_core.oci import Layout, digest_of_file
from edge_core.trust import Statement, provenance_statement
from edge_packaging.assemble import Release, Shared, assemble
from edge_packaging.builders import Build, builder
from edge_packaging.card import model_card
from edge_packaging.config import BuildConfig
from edge_packaging.errors import BuildConfigError, NotReproducedError
from edge_packaging.inputs import Held, read_held, read_signature
from edge_packaging.outputs import Said, agreement, readings, said
from edge_packaging.provenance import provenance
from edge_packaging.references import (
    coarse,
    drift_reference,
    encoded,
    smoke_places,
    smoke_vectors,
)
from edge_packaging.sbom import ml_bom
from edge_packaging.scoring import outputs
from edge_packaging.sources import Sources, sources_of

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Built:
    """An assembled, unsigned release.

    Attributes:
        index: points to the image index.
        tag: where it stands in its repository.
        statement: what a signer will sign.
        sbom: the ML-BOM as bytes.
        admissions: what each target showed at admission; None where only a server can run it.
    """

    index: Descriptor
    tag: str
    statement: Statement
    sbom: bytes
    admissions: dict[str, Admission | None]


@dataclass(frozen=True, slots=True)
class _Judged:
    """What every target of a release is held against."""

    signature: ModelSignature
    rows: NDArray[Any]  # Any: of the input's type
    expected: NDArray[np.float32]
    smoke: SmokeVectors
    said: Said


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
    forms = sources_of(config)
    builds = {target: builder(forms, signature, target) for target in _chosen(config, only)}
    held = await asyncio.to_thread(read_held, config.windows, signature)
    judged = await _judged(config, forms, signature, held, say)
    reference = await _reference(config, signature, held, say)
    with tempfile.TemporaryDirectory(prefix="edge-pack-") as scratch:
        built, admissions = await _targets(config, judged, builds, Path(scratch), say)
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
            runtimes={target.runtime for target in built},
            materials=_materials(config),
            invocation=index.digest,
            started=started,
            finished=now(),
        ),
        name=f"{config.model}:{config.version}",
        digest=index.digest,
    )
    sbom = await _sbom(config, signature, layout, index)
    return Built(index, release.tag, statement, sbom, admissions)


def _chosen(config: BuildConfig, only: Sequence[Target]) -> list[Target]:
    listed = config.parsed_targets()
    for target in only:
        if target not in listed:
            raise BuildConfigError(
                f"--only {target}: expected one of {', '.join(map(str, listed))}"
            )
    return [target for target in listed if not only or target in only]


async def _judged(
    config: BuildConfig, forms: Sources, signature: ModelSignature, held: Held, say: Say
) -> _Judged:
    """What the model gives for every window that was held back, some of it as smoke cases."""
    rows = held.rows
    values = rows[0].size + math.prod(signature.outputs[0].shape[1:])
    cases = smoke_places(len(rows), config.smoke_cases, values)
    if signature.frame is not None and held.recorded is None:
        rows[cases] = coarse(rows[cases])
    expected = await _expected(config, forms, signature, held, say)
    return _Judged(
        signature=signature,
        rows=rows,
        expected=expected,
        smoke=await asyncio.to_thread(smoke_vectors, rows[cases], expected[cases]),
        said=said(signature, await asyncio.to_thread(readings, signature, expected)),
    )


async def _expected(
    config: BuildConfig, forms: Sources, signature: ModelSignature, held: Held, say: Say
) -> NDArray[np.float32]:
    """What the source gives, or what was recorded of it where there is no source."""
    if forms.source is None:
        if held.recorded is None:
            raise BuildConfigError(
                f"windows {config.windows}: expected an array `outputs`, what the server's model "
                "gave for each window, since there is no source; found none"
            )
        return held.recorded
    say(f"gate: {forms.source.path.name}")
    await inspect([forms.source], signature)
    found = await outputs([forms.source], signature, forms.runtime, held.rows)
    if held.recorded is not None:
        _agree(config, signature, held.recorded, found, f"{forms.source.path}: as recorded")
    return found


async def _reference(
    config: BuildConfig, signature: ModelSignature, held: Held, say: Say
) -> DriftReference | None:
    """What normal looked like; None for pictures, which have no tags to watch."""
    if held.windows is None:
        return None
    say("reference: fitting what normal looks like")
    features = held.rows.reshape(len(held.rows), -1)
    return await asyncio.to_thread(
        drift_reference, held.windows, features, signature, config.reference
    )


async def _targets(
    config: BuildConfig, judged: _Judged, builds: Mapping[Target, Build], scratch: Path, say: Say
) -> tuple[dict[Target, list[ModelFile]], dict[str, Admission | None]]:
    built: dict[Target, list[ModelFile]] = {}
    admissions: dict[str, Admission | None] = {}
    for target, make in builds.items():
        say(f"build: {target}")
        folder = scratch / str(target).replace("/", "_")
        folder.mkdir()
        files = await asyncio.to_thread(make, folder)
        admissions[str(target)] = await _validate(config, judged, target, files)
        built[target] = files
    return built, admissions


async def _validate(
    config: BuildConfig, judged: _Judged, target: Target, files: Sequence[ModelFile]
) -> Admission | None:
    """Admission as on a gateway, then the same as the source on the held-back windows."""
    if target.runtime == REMOTE:
        return None
    admission = await admit(files, judged.signature, judged.smoke, target.runtime)
    found = await outputs(files, judged.signature, target.runtime, judged.rows)
    _agree(config, judged.signature, judged.expected, found, str(target))
    return admission


def _agree(
    config: BuildConfig,
    signature: ModelSignature,
    expected: NDArray[np.float32],
    found: NDArray[np.float32],
    what: str,
) -> None:
    agreed = agreement(signature, expected, found)
    if agreed < config.agreement_min:
        raise NotReproducedError(
            f"{what}: expected what its source says of {config.agreement_min:.1%} of "
            f"{len(found)} windows, found {agreed:.1%}"
        )


def _shared(
    config: BuildConfig, judged: _Judged, reference: DriftReference | None
) -> list[Shared]:
    card = model_card(config, judged.signature, reference, judged.said)
    parts = [
        Shared(LayerRole.SIGNATURE, "signature.json", encoded(judged.signature)),
        Shared(LayerRole.SMOKE, "smoke.json", encoded(judged.smoke)),
        Shared(LayerRole.MODEL_CARD, "model_card.md", card.encode()),
    ]
    if reference is not None:
        parts.insert(1, Shared(LayerRole.REFERENCE, "reference.json", encoded(reference)))
    return parts


def _materials(config: BuildConfig) -> dict[str, str]:
    """Digest of every file the build read, by what it is."""
    read = {
        "model": config.source,
        "model-tflite": config.tflite,
        "contract": config.signature,
        "validation-windows": config.windows,
    }
    return {name: digest_of_file(path)[0] for name, path in read.items() if path is not None}


async def _sbom(
    config: BuildConfig, signature: ModelSignature, layout: Layout, index: Descriptor
) -> bytes:
    release = (await layout.manifest(index.digest)).index()
    layers = [
        layer
        for manifest in release.manifests
        for layer in (await layout.manifest(manifest.digest)).manifest().layers
    ]
    return ml_bom(config, signature, index.digest, layers)


__all__ = ["Built", "build"]
