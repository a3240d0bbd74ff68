"""Which time zone database the windows are computed by."""

from pathlib import Path

import pytest

from edge_site_proxy.rollout.timezones import tzdata_version

FILES = {
    "a file of its own names the version": ({"UTC": "", "+VERSION": "2026a\n"}, "2026a"),
    "else the compact database does": (
        {"UTC": "", "tzdata.zi": "# version 2025b\nR d 1916\n"},
        "2025b",
    ),
    "a database that says nothing is unknown": ({"UTC": ""}, "unknown"),
}


@pytest.mark.parametrize("row", FILES.values(), ids=FILES.keys())
def test_version(tmp_path: Path, row: tuple[dict[str, str], str]) -> None:
    """The first folder with a database counts; one without is passed over."""
    files, expected = row
    empty, full = tmp_path / "empty", tmp_path / "full"
    for folder in (empty, full):
        folder.mkdir()
    for name, text in files.items():
        (full / name).write_text(text)
    assert tzdata_version([str(empty), str(full)]) == expected


def test_package() -> None:
    """Where the machine has no database the package's version is told as that."""
    assert tzdata_version([]).startswith("package 20")
