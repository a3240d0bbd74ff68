"""A file that the configuration names is another one now: trusted anew, or named and kept."""

import os
from pathlib import Path
from typing import Any

import pytest

from edge_core.contracts.gateway import UpdateState
from edge_runtime.api.settings import ServingConfig
from edge_runtime.care import FAULT, Care
from edge_runtime.config import Config, ProxyConfig, TagConfig
from edge_runtime.frames.config import FramesConfig
from edge_runtime.named_files import READ_BYTES_MAX, changed_files, prints_of
from edge_runtime.sources.mqtt_config import MqttConfig
from edge_runtime.sources.opcua_config import OpcUaConfig
from tests.simulators.releases import Workshop
from tests.unit.runtime.gateways import Rig, Running


def named(folder: Path) -> Config:
    """A configuration that names files of every kind."""
    certificate, key = folder / "our.der", folder / "our.pem"
    return Config(
        serial="gw-1",
        site="plant",
        data=folder / "data",
        trust_policy=folder / "policy.toml",
        targets=["linux-amd64/onnxruntime/fp32/b1"],
        proxy=ProxyConfig(
            url="https://p:1",
            enrol_url="https://p:2",
            ca=folder / "ca.pem",
            token=folder / "token",
        ),
        sources=[
            MqttConfig(name="broker", host="127.0.0.1", ca=folder / "broker.pem"),
            OpcUaConfig(
                name="plc",
                url="opc.tcp://127.0.0.1:4840",
                security="basic256sha256",
                certificate=certificate,
                key=key,
                trust=folder / "trust",
            ),
            FramesConfig(name="camera", role="gate", folder=folder / "frames"),
        ],
        tags=[TagConfig(role="flow", unit="bar", source="broker", address="plant#flow")],
        serving=ServingConfig(
            certificate=folder / "served.pem", key=folder / "served.key", client_ca=folder / "cc"
        ),
    )


FILES = {
    "ca.pem": "proxy.ca",
    "broker.pem": "sources[0].ca",
    "our.der": "sources[1].certificate",
    "our.pem": "sources[1].key",
    "served.pem": "serving.certificate",
    "served.key": "serving.key",
    "cc": "serving.client_ca",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Every file is there, and so is every folder."""
    for name in (*FILES, "policy.toml", "token"):
        (tmp_path / name).write_text("old")
    for name in ("data", "trust", "frames"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_another_file(name: str, folder: Path) -> None:
    """Each row is a file that is another one now; it alone is named, with what to do."""
    config = named(folder)
    was = prints_of(config)
    (folder / name).write_text("new")
    assert changed_files(was, prints_of(config)) == {
        FILES[name]: f"`$.{FILES[name]}`: expected the file that was there when the gateway "
        "started, found another; restart it to work with that"
    }


def test_no_file_any_more(folder: Path) -> None:
    """A file that has gone is named as well."""
    config = named(folder)
    was = prints_of(config)
    (folder / "ca.pem").unlink()
    [words] = changed_files(was, prints_of(config)).values()
    assert "found none" in words


def test_what_is_no_setting(folder: Path) -> None:
    """A token that was used, a policy that is read again and what is in folders are not named."""
    config = named(folder)
    was = prints_of(config)
    (folder / "token").unlink()
    (folder / "policy.toml").write_text("new")
    (folder / "trust" / "server.der").write_text("new")
    (folder / "frames" / "1.png").write_text("new")
    assert changed_files(was, prints_of(config)) == {}


def test_end_of_a_long_file(folder: Path) -> None:
    """Nobody reads a disk full of anything to the end."""
    config = named(folder)
    (folder / "ca.pem").write_bytes(bytes(READ_BYTES_MAX) + b"old")
    was = prints_of(config)
    (folder / "ca.pem").write_bytes(bytes(READ_BYTES_MAX) + b"new")
    assert changed_files(was, prints_of(config)) == {}


def test_pipe(folder: Path) -> None:
    """Nobody waits for a pipe that somebody has put in the place of a certificate."""
    (folder / "ca.pem").unlink()
    os.mkfifo(folder / "ca.pem")
    assert set(prints_of(named(folder))) == set(FILES.values())


async def reloads(running: Running, care: Care, kept: set[str]) -> None:
    """Read everything again, until these are the keys that are named."""
    care.hup.set()

    def said() -> bool:
        words = running.gateway.agent.keeper.faults.get(FAULT, "")
        return all(f"`$.{key}`" in words for key in kept) and bool(words) is bool(kept)

    await running.until(lambda: not care.hup.is_set() and said())


@pytest.mark.anyio
async def test_revoked(rig: Rig, tmp_path: Path) -> None:
    """A key that is taken out of the policy counts no more once it was read again.

    A policy that is half written changes nothing and is named; so is another CA of the site.
    """
    care = Care(reread=rig.config)
    policy = rig.folder / "trust-policy.toml"
    first, second, third = (rig.workshop.release(version) for version in "123")

    def stands(state: UpdateState, digest: str) -> bool:
        update = rig.site.last.update if rig.site.reports else None
        return update is not None and (update.state, update.digest) == (state, digest)

    def refused(digest: str) -> bool:
        return stands(UpdateState.FAILED_NO_CHANGE, digest)

    rig.site.assign(first)
    async with rig.running(care) as running:
        await running.until(lambda: stands(UpdateState.COMMITTED, first.digest))
        good = policy.read_text()
        policy.write_text(good[:40])
        await reloads(running, care, {"trust_policy"})
        policy.write_text(Workshop.below(tmp_path / "other").policy())
        await reloads(running, care, set())
        rig.site.assign(second)
        await running.until(lambda: refused(second.digest))
        update: Any = rig.site.last.update
        assert update.veto == "verification"
        policy.write_text(good)
        authority = rig.folder / "ca.pem"
        authority.write_bytes(authority.read_bytes() + b"\n")
        await reloads(running, care, {"proxy.ca"})
        rig.site.assign(third)
        await running.until(lambda: stands(UpdateState.COMMITTED, third.digest))
        assert rig.site.last.running == third.digest
