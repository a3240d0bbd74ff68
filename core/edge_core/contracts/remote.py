"""What a release carries in place of a model's bytes where another server runs the model."""

from typing import Annotated, Final

from msgspec import Meta, Struct

# The runtime of a target whose model a server of the Open Inference Protocol has.
REMOTE: Final = "remote"


class RemoteModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`remote.json`: the model's name at the server; which server is the gateway's to say."""

    model: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")]
    version: Annotated[str, Meta(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}\Z")] | None = None

    @property
    def path(self) -> str:
        """Below the server's base URL."""
        tail = "" if self.version is None else f"/versions/{self.version}"
        return f"/v2/models/{self.model}{tail}"
