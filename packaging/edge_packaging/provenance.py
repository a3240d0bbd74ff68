"""Says how a release came to be, as SLSA provenance v1, before anyone signs it."""

import platform
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from importlib.metadata import version

from edge_core.contracts.artefact import Digest
from edge_core.trust import (
    DATASET,
    SOURCE,
    TRAINER_IMAGE,
    BuildDefinition,
    Builder,
    BuildMetadata,
    Provenance,
    ResourceDescriptor,
    RunDetails,
)
from edge_packaging.config import BuildConfig

TOOLS = ("edge-mlops", "numpy", "onnx", "onnxruntime", "openvino")
EXTRA_TOOLS = {"litert": "ai-edge-litert"}  # which only those install who pack for that runtime


def provenance(
    config: BuildConfig,
    *,
    runtimes: AbstractSet[str],
    materials: Mapping[str, Digest],
    invocation: str,
    started: datetime,
    finished: datetime,
) -> Provenance:
    """The predicate.

    Args:
        config: what was asked for.
        runtimes: of the targets that were built.
        materials: digest of every file that the build read, by its name in the configuration.
        invocation: names the run; the configuration's own digest will do.
        started: when the run began, UTC.
        finished: when it ended, UTC.
    """
    asked = config.provenance
    dependencies = [
        ResourceDescriptor(
            name=SOURCE, uri=asked.source.uri, digest={"gitCommit": asked.source.commit}
        ),
        ResourceDescriptor(
            name=DATASET, uri=asked.data_set.uri, digest=_hex(asked.data_set.digest)
        ),
    ]
    if asked.container is not None:
        dependencies.append(
            ResourceDescriptor(
                name=TRAINER_IMAGE, uri=asked.container.uri, digest=_hex(asked.container.digest)
            )
        )
    dependencies += [
        ResourceDescriptor(name=name, digest=_hex(digest)) for name, digest in materials.items()
    ]
    return Provenance(
        build_definition=BuildDefinition(
            build_type=asked.build_type,
            external_parameters={
                "source": asked.source.uri,
                "config": f"{config.model} {config.version} release {config.release}",
                "targets": list(config.targets),
            },
            internal_parameters={"referenceSeed": config.reference.seed},
            resolved_dependencies=dependencies,
        ),
        run_details=RunDetails(
            builder=Builder(id=asked.builder, version=_tools(runtimes)),
            metadata=BuildMetadata(
                invocation_id=invocation,
                started_on=started.isoformat(),
                finished_on=finished.isoformat(),
            ),
        ),
    )


def _hex(digest: Digest) -> dict[str, str]:
    return {"sha256": digest.removeprefix("sha256:")}


def _tools(runtimes: AbstractSet[str]) -> dict[str, str]:
    names = [*TOOLS, *(tool for runtime, tool in EXTRA_TOOLS.items() if runtime in runtimes)]
    return {"python": platform.python_version()} | {name: version(name) for name in names}
