"""What a good release looks like, so that each test can spoil one thing of it."""

import hashlib
from typing import Any

import msgspec

from edge_core.trust import (
    BUILD_TYPE,
    DATASET,
    SOURCE,
    BuildDefinition,
    Builder,
    Provenance,
    ResourceDescriptor,
    Rule,
    RunDetails,
    Statement,
    provenance_statement,
)

KEY_IDS = ("release-a", "release-b", "release-c")
SUBJECT = "sha256:" + hashlib.sha256(b"the index of pump-state 1").hexdigest()
OTHER = "sha256:" + hashlib.sha256(b"the index of something else").hexdigest()
REPOSITORY = "git+https://git.plant.example/models/pump"
BUILDER = "https://ci.plant.example/edge-pack"


def provenance(**changes: Any) -> Provenance:  # a field of the definition, whatever its type
    """How the good release came to be, with *changes* to its build definition."""
    definition = BuildDefinition(
        build_type=BUILD_TYPE,
        external_parameters={"source": "s3://models/pump", "targets": ["linux-amd64"]},
        resolved_dependencies=[
            ResourceDescriptor(
                name=SOURCE, uri=f"{REPOSITORY}@refs/tags/v1", digest={"gitCommit": "a1" * 20}
            ),
            ResourceDescriptor(name=DATASET, uri="file:field.csv", digest={"sha256": "0b" * 32}),
        ],
    )
    return Provenance(
        build_definition=msgspec.structs.replace(definition, **changes),
        run_details=RunDetails(builder=Builder(id=BUILDER)),
    )


def statement(made: Provenance | None = None, *, digest: str = SUBJECT) -> Statement:
    """The statement of the good release."""
    return provenance_statement(made or provenance(), name="pump-state", digest=digest)


def rule(**changes: Any) -> Rule:  # a field of the rule, whatever its type
    """A rule that the good release meets with one signature, with *changes*."""
    plain = Rule(
        stage="production",
        keys=list(KEY_IDS),
        threshold=1,
        builder_ids=[BUILDER],
        sources=[REPOSITORY],
    )
    return msgspec.structs.replace(plain, **changes)
