"""A site and a workshop for the tests that run a whole gateway."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.simulators.gateway_site import serving
from tests.simulators.releases import Workshop
from tests.unit.runtime.gateways import SERIAL, Rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A gateway that was never started, and its site."""
    workshop = Workshop.below(tmp_path / "workshop")
    (tmp_path / "trust-policy.toml").write_text(workshop.policy())
    async with serving(SERIAL, workshop.layout, tmp_path) as site:
        yield Rig(tmp_path, site, workshop)
