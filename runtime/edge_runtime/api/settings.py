"""How clients are served: the table `[serving]` of the gateway's configuration."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from edge_runtime.bounds import MIB, Port, Text


class ServingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Open Inference Protocol; port 0 lets the kernel choose.

    An address that other machines can reach needs mutual TLS: all three of the files, PEM.

    Attributes:
        certificate: ours, with the chain below the CA.
        key: mode 0600.
        client_ca: whoever shows a certificate of this CA may ask.
        queue: requests at once, of all clients together; one more is told to come back.
        connections_max: open at once; one more is told to come back.
        body_bytes_max: of one request; a smaller model takes less.
        bodies_bytes_max: of all requests together; one that does not fit is told to come back.
    """

    host: Text = "127.0.0.1"
    port: Port = 8080
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    queue: Annotated[int, Meta(ge=1, le=1024)] = 64
    connections_max: Annotated[int, Meta(ge=1, le=4096)] = 128
    body_bytes_max: Annotated[int, Meta(ge=1024)] = 4 * MIB
    bodies_bytes_max: Annotated[int, Meta(ge=1024)] = 32 * MIB

    def __post_init__(self) -> None:
        """Refuse to be exposed without mutual TLS, and half of a TLS.

        Raises:
            ValueError: names the keys that are missing, or do not go together.
        """
        if self.bodies_bytes_max < self.body_bytes_max:
            raise ValueError(
                "serving.bodies_bytes_max: expected at least serving.body_bytes_max, "
                f"{self.body_bytes_max}, found {self.bodies_bytes_max}"
            )
        files = {"certificate": self.certificate, "key": self.key, "client_ca": self.client_ca}
        missing = [f"serving.{name}" for name, path in files.items() if path is None]
        if not missing or (len(missing) == len(files) and is_loopback(self.host)):
            return
        why = "" if is_loopback(self.host) else f" since others can reach {self.host}"
        raise ValueError(f"{', '.join(missing)}: expected PEM files for mutual TLS{why}")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach *host*; a name other than `localhost` may be any."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
