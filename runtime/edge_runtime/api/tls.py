"""Mutual TLS for clients from other machines: our certificate, and the CA that signs theirs."""

import ssl
import stat
from pathlib import Path

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.api.settings import ServingConfig


def server_context(config: ServingConfig) -> ssl.SSLContext | None:
    """TLS 1.3 that demands a client certificate; None where the address is this machine's own.

    Raises:
        ConfigurationError: a file is not what it must be; the message names its key.
    """
    if config.certificate is None or config.key is None or config.client_ca is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    # Without tickets a client shows its certificate at every connection.
    context.num_tickets = 0
    load_pair(context, config.certificate, config.key)
    try:
        context.load_verify_locations(cafile=config.client_ca)
    except OSError as error:  # SSLError is one
        raise ConfigurationError(
            f"`$.serving.client_ca`: expected PEM certificates at {config.client_ca}: {error}"
        ) from None
    return context


def load_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Use this pair from the next connection on.

    Raises:
        ConfigurationError: it is no pair, or others may read the key.
    """
    try:
        mode = key.stat().st_mode
        context.load_cert_chain(certificate, key)
    except OSError as error:
        raise ConfigurationError(
            f"`$.serving.certificate`, `$.serving.key`: expected a PEM certificate at "
            f"{certificate} and its key at {key}: {error}"
        ) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            f"`$.serving.key`: expected mode 0600 of {key}, found {stat.S_IMODE(mode):04o}"
        )
