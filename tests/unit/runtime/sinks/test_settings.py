"""Sinks in the gateway's own file: what is written, what is refused, what paths become."""

from pathlib import Path

import pytest

from edge_core.contracts.errors import ConfigurationError
from edge_runtime.config import Config, load
from edge_runtime.sinks.settings import Shows

FILE = """
serial = "gw-1"
site = "plant"
data = "data"
trust_policy = "trust-policy.toml"
targets = ["linux-amd64/onnxruntime/fp32/b1"]

[proxy]
url = "https://127.0.0.1:9443"
enrol_url = "https://127.0.0.1:9444"
ca = "ca.pem"

[[sources]]
kind = "opcua"
name = "plc"
url = "opc.tcp://127.0.0.1:4840"

[[tags]]
role = "flow"
unit = "l/min"
source = "plc"
address = "nsu=urn:plant;s=flow"
"""
SINKS = """
[sinks.mqtt]
host = "127.0.0.1"
ca = "broker.pem"

[sinks.files]
directory = "verdicts"

[sinks.opcua]
source = "plc"
allow = ["nsu=urn:plant;s=verdict", "nsu=urn:plant;s=alive"]

[sinks.opcua.nodes]
label = "nsu=urn:plant;s=verdict"
heartbeat = "nsu=urn:plant;s=alive"
"""


def read(folder: Path, more: str) -> Config:
    """The configuration with *more* behind it."""
    path = folder / "gateway.toml"
    path.write_text(FILE + more)
    return load(path)


def test_all_sinks(tmp_path: Path) -> None:
    """All three kinds at once, with paths beside the file."""
    sinks = read(tmp_path, SINKS).sinks
    assert sinks.mqtt is not None
    assert sinks.mqtt.ca == tmp_path / "broker.pem"
    assert sinks.files is not None
    assert sinks.files.directory == tmp_path / "verdicts"
    assert sinks.opcua is not None
    assert sinks.opcua.nodes[Shows.HEARTBEAT] == "nsu=urn:plant;s=alive"


def test_no_sinks(tmp_path: Path) -> None:
    """None is needed: the site hears of every window anyway."""
    assert read(tmp_path, "").sinks.mqtt is None


REFUSED = {
    "a node that is not allowed": (
        ('s=verdict"\nheartbeat', 's=setpoint"\nheartbeat'),
        r"sinks\.opcua\.nodes\.label: expected a node of `allow`, found nsu=urn:plant;s=setpoint",
    ),
    "a node that is read": (
        ("s=alive", "s=flow"),
        r"`\$\.sinks\.opcua\.allow`: nsu=urn:plant;s=flow is read as a tag",
    ),
    "a server that nobody named": (
        ('source = "plc"\nallow', 'source = "dcs"\nallow'),
        r"`\$\.sinks\.opcua\.source`: expected an OPC UA source \(plc\), found dcs",
    ),
    "a typo": (("directory", "folder"), "folder"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    """Each row is a mistake, and the key that is named for it."""
    (found, instead), words = REFUSED[name]
    assert found in SINKS
    with pytest.raises(ConfigurationError, match=words):
        read(tmp_path, SINKS.replace(found, instead))


def test_exposed_serving(tmp_path: Path) -> None:
    """To serve other machines without mutual TLS is a mistake in the file, and exit code 78."""
    with pytest.raises(ConfigurationError, match=r"serving\.client_ca: expected PEM") as refused:
        read(tmp_path, '\n[serving]\nhost = "192.168.0.7"\n')
    assert refused.value.exit_code == 78
