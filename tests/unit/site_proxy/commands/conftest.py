"""A fresh site for each test."""

from pathlib import Path

import pytest

from tests.unit.site_proxy.commands.sites import SiteFolder


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> SiteFolder:
    """As `init` leaves it, with two gateways."""
    return SiteFolder(tmp_path / "site", capsys).make()
