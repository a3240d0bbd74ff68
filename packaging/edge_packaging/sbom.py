"""Makes the ML-BOM: CycloneDX 1.6, one machine-learning model with card, files and data set.

The library knows the component type but has no class for the model card, so the card is put into
the JSON afterwards and the whole is validated strictly against the schema.
"""

import json
from collections.abc import Sequence

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion

from edge_core.contracts.artefact import Descriptor, Digest, ModelSignature, TensorSpec
from edge_packaging.config import BuildConfig
from edge_packaging.describe import gives, takes, task
from edge_packaging.errors import NotReproducedError


def ml_bom(
    config: BuildConfig, signature: ModelSignature, index: Digest, layers: Sequence[Descriptor]
) -> bytes:
    """The BOM of one release as canonical JSON; the same release gives the same bytes.

    Raises:
        NotReproducedError: the result is not valid CycloneDX, which is our own mistake.
    """
    model = Component(
        name=config.model,
        version=config.version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=index,
        hashes=[_hash(index)],
        properties=[Property(name="edge-mlops:release", value=str(config.release))],
    )
    data = config.provenance.data_set
    data_set = Component(
        name=data.uri,
        type=ComponentType.DATA,
        bom_ref=data.digest,
        hashes=[_hash(data.digest)],
    )
    files = [
        Component(
            name=layer.annotations.get("org.cncf.model.filepath", layer.digest),
            type=ComponentType.FILE,
            bom_ref=layer.digest,
            hashes=[_hash(layer.digest)],
        )
        for layer in {layer.digest: layer for layer in layers}.values()
    ]
    bom = Bom(components=[data_set, *files], version=1)
    bom.metadata.component = model
    bom.register_dependency(model, [data_set, *files])
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    document["metadata"]["component"]["modelCard"] = _card(config, signature)
    # A time or a random serial would give each build of one release another digest.
    document["metadata"].pop("timestamp", None)
    document.pop("serialNumber", None)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    # The validator loads grammars for seconds; only who writes a BOM should wait for them.
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415 - see above

    if (fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        raise NotReproducedError(f"ML-BOM of {config.model} {config.version}: {fault}")
    return text.encode()


def _hash(digest: Digest) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest.removeprefix("sha256:"))


def _card(config: BuildConfig, signature: ModelSignature) -> dict[str, object]:
    metrics = [
        {"type": name, "value": f"{value:.6g}"}
        for name, value in sorted(config.card.metrics.items())
    ]
    return {
        "modelParameters": {
            "task": task(signature),
            "datasets": [{"ref": config.provenance.data_set.digest}],
            "inputs": _tensors(signature.inputs, takes(signature)),
            "outputs": _tensors(signature.outputs, gives(signature)),
        },
        "quantitativeAnalysis": {"performanceMetrics": metrics},
        "considerations": {
            "useCases": [config.card.purpose],
            "technicalLimitations": [config.card.limits],
        },
    }


def _tensors(specs: Sequence[TensorSpec], first: str) -> list[dict[str, str]]:
    """Each by name, type and shape; the first with what it means."""
    written = [f"{spec.name}, {spec.dtype} {spec.shape}" for spec in specs]
    return [{"format": text} for text in (f"{written[0]}: {first}", *written[1:])]
