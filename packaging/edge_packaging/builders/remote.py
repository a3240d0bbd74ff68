"""The remote target: no model, but its name at whatever server a gateway is configured to ask."""

from pathlib import Path

import msgspec

from edge_core.admission.model import ModelFile
from edge_core.contracts.remote import RemoteModel


def build_remote(model: RemoteModel, folder: Path) -> list[ModelFile]:
    """Write `remote.json`."""
    path = folder / "remote.json"
    path.write_bytes(msgspec.json.encode(model, order="sorted"))
    return [ModelFile(name=path.name, path=path)]
