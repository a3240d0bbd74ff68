"""Makes the sources that a configuration names; each loads its library only then."""

from collections.abc import Callable
from dataclasses import dataclass

from edge_runtime.config import Config, SourceConfig
from edge_runtime.frames.config import FramesConfig
from edge_runtime.frames.files import FileDecoder
from edge_runtime.frames.folder import FolderSource
from edge_runtime.frames.newest import Newest
from edge_runtime.frames.video import VideoSource
from edge_runtime.inference.starter import Starter
from edge_runtime.sources.mqtt import MqttSource
from edge_runtime.sources.mqtt_config import MqttConfig, SparkplugConfig
from edge_runtime.sources.opcua import OpcUaSource
from edge_runtime.sources.opcua_config import OpcUaConfig
from edge_runtime.sources.sample import Ingest, Source
from edge_runtime.sources.sparkplug import SparkplugSource


@dataclass(frozen=True, slots=True)
class SourceMeans:
    """What every source works with."""

    ingest: Ingest
    monotonic: Callable[[], float]
    unix_ns: Callable[[], int]
    frames: Newest
    starter: Starter


def make(config: Config, means: SourceMeans) -> list[tuple[str, Source]]:
    """Every source of *config* with its name.

    Raises:
        ConfigurationError: a tag's address is not of its source's form.
    """
    return [(source.name, _one(source, config, means)) for source in config.sources]


def _one(source: SourceConfig, config: Config, means: SourceMeans) -> Source:
    match source:
        case OpcUaConfig():
            return OpcUaSource(
                source,
                config.tags,
                means.ingest,
                monotonic=means.monotonic,
                unix_ns=means.unix_ns,
            )
        case FramesConfig(folder=folder):
            means.frames.comes_from(source.role, source.name, source.stale_s)
            if folder is not None:
                decoder = FileDecoder(means.starter, source)
                return FolderSource(source, folder, means.frames, decoder)
            return VideoSource(source, means.frames, means.starter, means.unix_ns)
        case MqttConfig():
            return MqttSource(
                source,
                config.tags,
                means.ingest,
                serial=config.serial,
                monotonic=means.monotonic,
                unix_ns=means.unix_ns,
            )
        case SparkplugConfig():
            return SparkplugSource(
                source,
                config.tags,
                means.ingest,
                monotonic=means.monotonic,
                unix_ns=means.unix_ns,
            )
