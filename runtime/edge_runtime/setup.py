"""What a gateway tells of its configuration: a digest, and which tags it reads from where."""

from dataclasses import dataclass
from typing import Final

import msgspec

from edge_core.contracts.artefact import Digest
from edge_core.oci import digest_of
from edge_runtime.config import Config

INPUT_CHARS_MAX: Final = 160
INPUTS_CHARS_MAX: Final = 16 * 1024  # a heartbeat has 64 KiB, and health windows need theirs


@dataclass(frozen=True, slots=True)
class Setup:
    """The configuration that a gateway works with.

    Attributes:
        digest: over its canonical JSON; secrets are files and so never in it.
        inputs: `role source:address` of each tag, in order; the last says how many were left out.
    """

    digest: Digest
    inputs: list[str]


def setup_of(config: Config) -> Setup:
    """What is told of *config*."""
    raw = msgspec.json.encode(config, order="deterministic", enc_hook=str)
    inputs: list[str] = []
    room = INPUTS_CHARS_MAX
    for number, tag in enumerate(config.tags):
        line = f"{tag.role} {tag.source}:{tag.address}"[:INPUT_CHARS_MAX]
        room -= len(line.encode())
        if room < 0:
            inputs.append(f"and {len(config.tags) - number} more")
            break
        inputs.append(line)
    return Setup(digest_of(raw), inputs)
