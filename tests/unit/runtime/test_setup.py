"""What a gateway tells of its configuration fits into a heartbeat, and changes with it."""

import msgspec
import pytest

from edge_core.contracts.gateway import STATUS_BYTES_MAX
from edge_runtime.config import TagConfig
from edge_runtime.setup import INPUT_CHARS_MAX, setup_of
from tests.unit.runtime.gateways import Rig

pytestmark = pytest.mark.anyio


async def test_digest_follows_the_settings(rig: Rig) -> None:
    """The same settings have the same digest, and another setting has another."""
    config = rig.config()
    assert setup_of(config) == setup_of(rig.config())
    warmer = [msgspec.structs.replace(config.tags[0], high=77.0), *config.tags[1:]]
    other = msgspec.structs.replace(config, tags=warmer)
    assert setup_of(other).digest != setup_of(config).digest
    assert setup_of(other).inputs == setup_of(config).inputs
    assert setup_of(config).inputs[0].startswith(f"{config.tags[0].role} {config.tags[0].source}:")


async def test_many_long_tags(rig: Rig) -> None:
    """However many tags and however long: what is left out is counted."""
    tags = [
        TagConfig(role=f"r{number}", unit="bar", source="plc", address="\u20ac" * 300)
        for number in range(512)
    ]
    inputs = setup_of(msgspec.structs.replace(rig.config(), tags=tags)).inputs
    assert len(msgspec.json.encode(inputs)) < STATUS_BYTES_MAX // 3
    assert max(map(len, inputs)) == INPUT_CHARS_MAX
    assert inputs[-1] == f"and {512 - len(inputs) + 1} more"
