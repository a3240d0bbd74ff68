"""Settings of a source that reads from an OPC UA server."""

from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from edge_core.contracts.artefact import Label
from edge_runtime.bounds import Seconds, Text

POLICIES: Final = {
    "basic256sha256": "Basic256Sha256",
    "aes128sha256rsaoaep": "Aes128Sha256RsaOaep",
    "aes256sha256rsapss": "Aes256Sha256RsaPss",
    "basic256": "Basic256",
    "basic128rsa15": "Basic128Rsa15",
}
OUTDATED: Final = frozenset({"basic256", "basic128rsa15"})  # OPC 10000-7: they rest on SHA-1


class OpcUaConfig(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="opcua"
):
    """One OPC UA server.

    Attributes:
        security: the policy; it is never negotiated, so the server must offer just this one. All
            but `none` need `certificate` and `key`, and a way to know the server:
            `server_certificate` or `trust`. `basic256` and `basic128rsa15` are deprecated (they
            rest on SHA-1): name them only for a server that has nothing better; log and doctor
            remind you.
        mode: whether messages are signed, or signed and encrypted.
        certificate: our own, DER or PEM, with `application_uri` as its URI.
        server_certificate: the one certificate that the server must show.
        trust: a folder with `trusted/`, `issuers/` and `rejected/`, as UaExpert has it; a
            certificate of a server, or of an authority, that lies in `trusted/` is believed
            unless a list in `crl/` there says that it was revoked. A server that is believed
            because of its authority must be certified for the host in `url`.
        user: signs in by name, with the file `password`; `user_certificate` and `user_key` sign
            in by certificate; with neither it is anonymous.
        plain_password: send the password even where the channel does not encrypt it.
        queue: values that the server keeps for each tag between two publish responses.
        silence_s: no publish response for so long means that the connection is dead; the server
            is asked for a sign of life twice in that time.
        answer_s: how long the server may take for any other answer.
        hold_s: how long the server shall keep our subscription while the connection is gone.
        history: read back what an outage swallowed, where the server keeps history.
        units: compare the server's unit of each tag with the tag's, and convert.
    """

    name: Label
    url: Annotated[str, Meta(pattern=r"^opc\.tcp://[^\s]+$", max_length=200)]
    security: Literal[
        "none",
        "basic256sha256",
        "aes128sha256rsaoaep",
        "aes256sha256rsapss",
        "basic256",
        "basic128rsa15",
    ] = "none"
    mode: Literal["sign", "sign_and_encrypt"] = "sign_and_encrypt"
    certificate: Path | None = None
    key: Path | None = None
    server_certificate: Path | None = None
    trust: Path | None = None
    user: Text | None = None
    password: Path | None = None
    user_certificate: Path | None = None
    user_key: Path | None = None
    plain_password: bool = False
    application_uri: Text = "urn:edge-mlops:gateway"
    publishing_s: Seconds = 0.2
    sampling_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0  # 0: as fast as the server offers
    queue: Annotated[int, Meta(ge=1, le=100_000)] = 64
    silence_s: Seconds = 2.0
    answer_s: Seconds = 2.0
    hold_s: Seconds = 60.0
    retry_s: Seconds = 0.5
    history: bool = True
    units: bool = True

    def __post_init__(self) -> None:
        """Refuse half of a pair.

        Raises:
            ValueError: a file is not named, or a password would be sent in the clear.
        """
        if self.security != "none" and None in {self.certificate, self.key}:
            raise ValueError(f"security {self.security}: expected certificate and key")
        if self.security != "none" and self.server_certificate is None and self.trust is None:
            raise ValueError(f"security {self.security}: expected server_certificate or trust")
        if (self.user_certificate is None) != (self.user_key is None):
            raise ValueError("user_certificate: expected user_key with it, and neither alone")
        if (self.user is None) != (self.password is None):
            raise ValueError("user: expected password with it, and neither alone")
        if self.user is not None and self.user_certificate is not None:
            raise ValueError("user: expected a name or a user_certificate, found both")
        open_channel = self.security == "none" or self.mode == "sign"
        if self.user is not None and open_channel and not self.plain_password:
            raise ValueError(
                "user: expected a channel that encrypts the password (security, mode "
                "sign_and_encrypt), or plain_password = true"
            )
