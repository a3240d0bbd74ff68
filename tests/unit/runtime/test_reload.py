"""What a running gateway takes over of a new configuration, and what it refuses by name."""

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_runtime.api.settings import ServingConfig
from edge_runtime.config import Config, ProxyConfig, ReviewConfig, TagConfig
from edge_runtime.frames.config import FramesConfig
from edge_runtime.reload import reloaded
from edge_runtime.sources.mqtt_config import MqttConfig

TAG = TagConfig(role="flow", unit="bar", source="broker", address="plant#flow")
OTHER = TagConfig(role="pressure", unit="bar", source="broker", address="plant#pressure")
BROKER = MqttConfig(name="broker", host="127.0.0.1")
CAMERA = FramesConfig(name="camera", role="gate", folder=Path("/frames"))
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
    "one more source": ({"sources": [BROKER, CAMERA]}, "sources"),
    "another kind of source by that name": (
        {"sources": [changed(CAMERA, name="broker")]},
        "sources[0]",
    ),
    "what it can run": ({"targets": ["linux-arm64/onnxruntime/fp32/b1"]}, "targets"),
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


LONG = "/" + "d" * 79  # as long as a value is ever shown
SAID: dict[str, tuple[dict[str, object], str]] = {
    "a word": ({"serial": "gw-2"}, "`$.serial`: expected gw-1 {}, found gw-2; {}"),
    "tables go by their names": (
        {"sources": [BROKER, CAMERA]},
        "`$.sources`: expected 1 (broker) {}, found 2 (broker, camera); {}",
    ),
    "tags by their roles": (
        {"tags": [OTHER]},
        "`$.tags`: expected 2 (flow, pressure) {}, found 1 (pressure); {}",
    ),
    "words as they are": (
        {"targets": ["a", "b"]},
        "`$.targets`: expected 1 (linux-amd64/onnxruntime/fp32/b1) {}, found 2 (a, b); {}",
    ),
    "a table by its kind, and none": (
        {"serving": ServingConfig()},
        "`$.serving`: expected none {}, found ServingConfig; {}",
    ),
    "something long as it is": (
        {"data": Path(LONG)},
        f"`$.data`: expected /data {{}}, found {LONG}; {{}}",
    ),
    "something longer cut short": (
        {"data": Path(LONG + "d")},
        f"`$.data`: expected /data {{}}, found {LONG[:77]}...; {{}}",
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_said(name: str) -> None:
    """Each row is a setting that needs a restart, and how that is said."""
    fields, words = SAID[name]
    [change] = reloaded(OLD, changed(OLD, **fields)).refused
    expected = words.format("while the gateway runs", "restart it to change this")
    assert change.refusal == expected


def test_several_of_one_table() -> None:
    """Every setting of a table that differs is named, in the order of the table."""
    sources = [changed(BROKER, host="10.0.0.1", port=1884)]
    tags = [changed(TAG, low=1.0, unit="Pa"), changed(OTHER, low=2.0)]
    found = reloaded(OLD, changed(OLD, sources=sources, tags=tags))
    assert [change.key for change in found.refused] == [
        "sources[0].host",
        "sources[0].port",
        "tags[0].unit",
    ]
    assert [change.key for change in found.applied] == ["tags[0].low", "tags[1].low"]
    assert [tag.low for tag in found.config.tags] == [1.0, 2.0]


def test_a_sentinel_that_is_no_number() -> None:
    """What equals nothing, not even itself, is taken over like any other."""
    old = changed(OLD, tags=[changed(TAG, sentinels=[math.nan]), OTHER])
    new = changed(OLD, tags=[changed(TAG, sentinels=[math.nan * 1]), OTHER])
    found = reloaded(old, new)
    assert [change.key for change in found.applied] == ["tags[0].sentinels"]
    assert found.refused == ()


def test_both_at_once() -> None:
    """What can be taken over is, also beside something that cannot."""
    found = reloaded(OLD, changed(OLD, log_level="debug", serial="gw-2"))
    assert found.config == changed(OLD, log_level="debug")
    assert [change.key for change in found.refused] == ["serial"]


def test_nothing_changed() -> None:
    """The same file again changes nothing."""
    found = reloaded(OLD, OLD)
    assert (found.config, found.applied, found.refused) == (OLD, (), ())
