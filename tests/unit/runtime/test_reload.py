"""What a running gateway takes over of a new configuration, and what it refuses by name."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_runtime.api.settings import ServingConfig
from edge_runtime.config import Config, ProxyConfig, ReviewConfig, TagConfig
from edge_runtime.reload import reloaded
from edge_runtime.sources.mqtt_config import MqttConfig

TAG = TagConfig(role="flow", unit="bar", source="broker", address="plant#flow")
OTHER = TagConfig(role="pressure", unit="bar", source="broker", address="plant#pressure")
BROKER = MqttConfig(name="broker", host="127.0.0.1")
OLD = Config(
    serial="gw-1",
    site="plant",
    data=Path("/data"),
    trust_policy=Path("/policy"),
    targets=["linux-amd64/onnxruntime/fp32/b1"],
    proxy=ProxyConfig(url="https://p:1", enrol_url="https://p:2", ca=Path("/ca")),
    sources=[BROKER],
    tags=[TAG, OTHER],
)


def changed(thing: Any, **fields: Any) -> Any:  # any struct, any field
    """*thing* with other *fields*."""
    return msgspec.structs.replace(thing, **fields)


LIVE: dict[str, tuple[dict[str, object], str]] = {
    "log level": ({"log_level": "debug"}, "log_level"),
    "heartbeat": ({"proxy": changed(OLD.proxy, heartbeat_s=5.0)}, "proxy.heartbeat_s"),
    "telemetry": ({"proxy": changed(OLD.proxy, telemetry_s=5.0)}, "proxy.telemetry_s"),
    "review": ({"review": ReviewConfig(margin_max=0.5)}, "review.margin_max"),
    "a limit of a tag": ({"tags": [TAG, changed(OTHER, high=9.0)]}, "tags[1].high"),
    "sentinels of a tag": (
        {"tags": [changed(TAG, sentinels=[888.8]), OTHER]},
        "tags[0].sentinels",
    ),
}


@pytest.mark.parametrize("name", LIVE)
def test_taken_over(name: str) -> None:
    """Each row is a setting that a running gateway takes over."""
    fields, key = LIVE[name]
    new = changed(OLD, **fields)
    found = reloaded(OLD, new)
    assert found.config == new
    assert [change.key for change in found.applied] == [key]
    assert found.refused == ()


KEPT: dict[str, tuple[dict[str, object], str]] = {
    "who it is": ({"serial": "gw-2"}, "serial"),
    "where its data is": ({"data": Path("/other")}, "data"),
    "where the site is": ({"proxy": changed(OLD.proxy, url="https://q:1")}, "proxy.url"),
    "where a source is": ({"sources": [changed(BROKER, host="10.0.0.1")]}, "sources[0].host"),
    "another source": ({"sources": [changed(BROKER, name="other")]}, "sources"),
    "one tag less": ({"tags": [TAG]}, "tags"),
    "tags in another order": ({"tags": [OTHER, TAG]}, "tags"),
    "the address of a tag": ({"tags": [TAG, changed(OTHER, address="x#y")]}, "tags[1].address"),
    "the unit of a tag": ({"tags": [changed(TAG, unit="Pa"), OTHER]}, "tags[0].unit"),
    "how long a value holds": ({"tags": [changed(TAG, stale_s=1.0), OTHER]}, "tags[0].stale_s"),
    "serving": ({"serving": ServingConfig()}, "serving"),
}


@pytest.mark.parametrize("name", KEPT)
def test_refused(name: str) -> None:
    """Each row is a setting that needs a restart: it is named, and the old one stays."""
    fields, key = KEPT[name]
    found = reloaded(OLD, changed(OLD, **fields))
    assert found.config == OLD
    assert [change.key for change in found.refused] == [key]
    words = found.refused[0].refusal
    assert words.startswith(f"`$.{key}`: expected ")
    assert "restart" in words


def test_both_at_once() -> None:
    """What can be taken over is, also beside something that cannot."""
    found = reloaded(OLD, changed(OLD, log_level="debug", serial="gw-2"))
    assert found.config == changed(OLD, log_level="debug")
    assert [change.key for change in found.refused] == ["serial"]


def test_nothing_changed() -> None:
    """The same file again changes nothing."""
    found = reloaded(OLD, OLD)
    assert (found.config, found.applied, found.refused) == (OLD, (), ())
