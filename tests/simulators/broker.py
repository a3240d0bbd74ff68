"""Mosquitto with a configuration of its own: plain, or with TLS and passwords, or certificates."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edge_site_proxy.identity.authority import Authority, make_root
from tests.simulators.ports import free_port
from tests.simulators.programs import Program

HOST = "127.0.0.1"
USER, PASSWORD = "gw-1", "only for this test"
TIMED_OUT = 27  # as the manual of mosquitto_sub says of -W


@dataclass(frozen=True, slots=True)
class Broker:
    """Mosquitto; `credentials` are what our clients need, `flags` what its own clients need."""

    program: Program
    port: int
    credentials: dict[str, Any]  # Any: fields of three configurations
    flags: Sequence[str | Path]

    def publish(self, topic: str, message: str) -> None:
        """Publish with QoS 1; the broker has it when this returns."""
        self._client("mosquitto_pub", "-q", "1", "-t", topic, "-m", message)

    def publish_lines(self, topic: str, lines: Sequence[str]) -> None:
        """Publish each line as a message, as above."""
        self._client("mosquitto_pub", "-q", "1", "-t", topic, "-l", said="\n".join(lines))

    def publish_file(self, topic: str, file: Path) -> None:
        """Publish what a file holds, as above."""
        self._client("mosquitto_pub", "-q", "1", "-t", topic, "-f", file)

    def retained(self, topic: str) -> bytes | None:
        """The message that whoever subscribes now is given at once, None if there is none."""
        return self._client("mosquitto_sub", "-C", "1", "-W", "1", "-t", topic) or None

    def _client(self, *command: str | Path, said: str = "") -> bytes:
        done = subprocess.run(
            [*command, *self.flags],
            input=said.encode(),
            capture_output=True,
            check=False,
            timeout=20,
        )
        assert done.returncode in {0, TIMED_OUT}, done.stderr.decode()
        return done.stdout.strip()


def broker(kind: str, folder: Path) -> Broker:
    """A broker that is about to start."""
    port = free_port()
    # Root cannot read the folder as another user; nothing is dropped because a reader is slow.
    lines = [f"listener {port} {HOST}", "user root", "max_queued_messages 0"]
    flags: list[str | Path] = ["-h", HOST, "-p", str(port)]
    credentials: dict[str, Any] = {"host": HOST, "port": port}
    authority: Authority | None = None
    if kind == "plain":
        lines.append("allow_anonymous true")
    else:
        authority = make_authority(folder)
        pair = authority.make_server([HOST], now=datetime.now(UTC))
        (folder / "server.pem").write_bytes(pair.certificate_pem)
        (folder / "server.key").write_bytes(pair.key_pem)
        users, secret = folder / "users", folder / "password"
        secret.write_text(PASSWORD)
        subprocess.run(["mosquitto_passwd", "-c", "-b", users, USER, PASSWORD], check=True)
        lines += [
            f"certfile {folder}/server.pem",
            f"keyfile {folder}/server.key",
            "tls_version tlsv1.3",
            "allow_anonymous false",
            f"password_file {users}",
        ]
        flags += ["--cafile", folder / "ca.pem", "-u", USER, "-P", PASSWORD]
        credentials |= {"ca": folder / "ca.pem", "user": USER, "password": secret}
    if authority is not None and kind == "mutual":
        certificate, key = make_client(authority, folder)
        lines += [f"cafile {folder}/ca.pem", "require_certificate true"]
        flags += ["--cert", certificate, "--key", key]
        credentials |= {"certificate": certificate, "key": key}
    (folder / "mosquitto.conf").write_text("\n".join([*lines, ""]))
    command: list[str | Path] = ["mosquitto", "-c", folder / "mosquitto.conf"]
    return Broker(Program(command, folder / "broker.log", port), port, credentials, flags)


def make_authority(folder: Path) -> Authority:
    """A CA whose certificate lies in the folder."""
    authority = Authority(make_root("demo", now=datetime.now(UTC)))
    (folder / "ca.pem").write_bytes(authority.root_pem)
    return authority


def make_client(authority: Authority, folder: Path) -> tuple[Path, Path]:
    """Certificate and key of a gateway."""
    key = ec.generate_private_key(ec.SECP256R1())
    issued = authority.sign_gateway(
        USER, key.public_key(), now=datetime.now(UTC), life=timedelta(days=1)
    )
    certificate, secret = folder / "client.pem", folder / "client.key"
    certificate.write_bytes(x509.load_der_x509_certificate(issued.der).public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, secret
