"""Keys, a rule and a release that the trust tests share."""

from pathlib import Path

import pytest

from edge_core.trust import FileSigner, Keyring, PinnedKey, Rule

from .made import KEY_IDS, rule


@pytest.fixture(scope="session")
def signers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FileSigner]:
    """One signer an id of KEY_IDS, and one whom nobody has pinned."""
    folder: Path = tmp_path_factory.mktemp("keys")
    return {name: FileSigner.generate(folder / name) for name in (*KEY_IDS, "stranger")}


@pytest.fixture(scope="session")
def keyring(signers: dict[str, FileSigner]) -> Keyring:
    """The pinned keys."""
    return Keyring.of(PinnedKey(id=name, key=signers[name].public_key) for name in KEY_IDS)


@pytest.fixture
def two_of_three() -> Rule:
    """Production: two of three keys."""
    return rule(threshold=2)
