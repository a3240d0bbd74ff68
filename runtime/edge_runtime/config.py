"""The gateway's configuration: one TOML file, decoded once into one frozen tree.

Relative paths are relative to the file. Secrets are files with mode 0600, named here.

    serial = "pg-01"                     # the identity; the certificate bears it
    site = "demo"
    data = "/var/lib/edge-gateway"
    trust_policy = "trust-policy.toml"
    targets = ["linux-amd64/onnxruntime/fp32/b1"]      # in order of preference
    control_socket = "/run/edge-gateway/control.sock"  # in memory, so also beside a dead disk

    [proxy]
    url = "https://127.0.0.1:9443"       # the gateway API
    enrol_url = "https://127.0.0.1:9444" # enrolment has a port of its own
    ca = "ca.pem"

    [[sources]]
    kind = "opcua"
    name = "plc"
    url = "opc.tcp://127.0.0.1:4840"

    [[tags]]
    role = "flow"
    unit = "l/min"
    source = "plc"
    address = "nsu=urn:example:plant;s=pump1.flow"     # OPC UA: a node id
    # address = "nsu=urn:example:plant;s=vib#[2]"      # element 2 of an array
    # address = "plant/utility#flow"                   # MQTT: topic#key
    # address = "Plant/Utility/Meter#flow"             # Sparkplug: group/node[/device]#metric

    [sinks.mqtt]
    host = "127.0.0.1"
    port = 1883

    [sinks.opcua]
    source = "plc"                       # whose server it is
    allow = ["nsu=urn:example:plant;s=edge.pump1"]     # nothing else is ever written
    nodes = { label = "nsu=urn:example:plant;s=edge.pump1" }
"""

from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from edge_core.command import read_config
from edge_core.contracts.artefact import Label, Target
from edge_core.contracts.errors import ConfigurationError, RefusedError
from edge_core.contracts.plant import Position, SafetyClass, Serial
from edge_core.features.frame import PICTURE_UNIT
from edge_runtime.api.settings import ServingConfig
from edge_runtime.bounds import MIB, Seconds, Text, Url
from edge_runtime.frames.config import FramesConfig
from edge_runtime.inference.spec import EngineConfig
from edge_runtime.line_config import LineConfig, TelemetryConfig
from edge_runtime.sinks.settings import SinksConfig, mistake
from edge_runtime.sources.mqtt_config import MqttConfig, SparkplugConfig
from edge_runtime.sources.opcua_config import OpcUaConfig


class ProxyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the site proxy is, and how often we speak to it.

    Attributes:
        url: the gateway API; demands our certificate.
        enrol_url: enrolment and renewal.
        ca: PEM bundle of the site's own CA.
        token: file with the one-time enrolment token; used once, at the first start.
        heartbeat_s: at most this long between heartbeats; the proxy may ask us to come sooner.
        telemetry_s: between two OTLP batches.
        answer_s: how long one request may take.
    """

    url: Url
    enrol_url: Url
    ca: Path
    token: Path | None = None
    heartbeat_s: Seconds = 30.0
    telemetry_s: Seconds = 60.0
    answer_s: Seconds = 20.0


SourceConfig = OpcUaConfig | MqttConfig | SparkplugConfig | FramesConfig
MQTT_STALE_S: Final = 10.0


class TagConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which value of which source plays which role; the rules bound what it can ever show.

    `stale_s` is how long a value may be held: by default for ever where the source tells us when
    it goes away (OPC UA reports changes only, Sparkplug has death certificates), 10 s for MQTT.
    Of a source that is known to send a tag in every period, changed or not, a few periods are
    right: then what is late is missing, and does not look as if the plant stood still. This is
    never guessed from what came, since a tag that is sent when it changes may always have changed.
    A tag of the unit `text` shows words, such as the names of recipes, that mean themselves;
    `texts` are what texts stand for at any other. A text that means nothing is bad.
    """

    role: Label
    unit: Annotated[str, Meta(min_length=1, max_length=32)]
    source: Label
    address: Annotated[str, Meta(min_length=1, max_length=300)]
    low: float | None = None
    high: float | None = None
    sentinels: Annotated[list[float], Meta(max_length=16)] = []
    flat_rows_max: Annotated[int, Meta(ge=1)] | None = None
    stale_s: Seconds | None = None
    texts: Annotated[dict[Text, float], Meta(max_length=256)] = {}


class InferenceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How models are run.

    Attributes:
        deadline_s: the most that a window may take; then the model's process is replaced. It is
            less for a model whose windows come faster: until the next one is due, yet at least
            0.25 s and ten times its slowest answer lately.
    """

    deadline_s: Seconds = 1.0
    spare: bool = True  # a crash costs under 5 ms; without it some 20, and 8 MB less memory
    engine: EngineConfig = EngineConfig()


class ReviewConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which windows are shown to people. The budget itself comes from the site."""

    shift_s: Annotated[float, Meta(gt=0, le=604_800)] = 28_800.0
    uniform_share: Annotated[float, Meta(ge=0, le=1)] = 0.2  # of the budget, picked at random
    margin_max: Annotated[float, Meta(ge=0, le=1)] = 0.2  # best minus second best score
    rest_s: Annotated[float, Meta(ge=0, le=86_400)] = 60.0  # between two of one rule


class DiskConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on what we keep."""

    reserve_bytes: Annotated[int, Meta(ge=0)] = 64 * MIB  # never touched by a download
    outbox_bytes_max: Annotated[int, Meta(ge=MIB)] = 64 * MIB
    outbox_bytes_a_day: Annotated[int, Meta(ge=MIB)] = 128 * MIB  # what telemetry may wear out


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`gateway.toml`."""

    serial: Serial
    site: Label
    data: Path
    trust_policy: Path
    targets: Annotated[list[str], Meta(min_length=1, max_length=16)]
    proxy: ProxyConfig
    sources: Annotated[list[SourceConfig], Meta(min_length=1, max_length=16)]
    tags: Annotated[list[TagConfig], Meta(min_length=1, max_length=512)]
    sinks: SinksConfig = SinksConfig()
    serving: ServingConfig | None = None
    inference: InferenceConfig = InferenceConfig()
    review: ReviewConfig = ReviewConfig()
    disk: DiskConfig = DiskConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    line: LineConfig = LineConfig()
    stage: Label = "production"
    safety_class: SafetyClass = SafetyClass.NONE
    position: Position | None = None  # for people; the site decides where a gateway stands
    control_socket: Path | None = None
    lateness_s: Annotated[float, Meta(ge=0, le=60)] = 0.3  # samples may come this late
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def socket(self) -> Path:
        """The control socket: as named, else in the data folder."""
        return self.control_socket or self.data / "control.sock"

    @property
    def units(self) -> dict[str, str]:
        """The unit of the tag that plays each role, and the roles that pictures play."""
        return {tag.role: tag.unit for tag in self.tags} | {
            source.role: PICTURE_UNIT
            for source in self.sources
            if isinstance(source, FramesConfig)
        }

    @property
    def targets_parsed(self) -> tuple[Target, ...]:
        """The targets this gateway can run, best first."""
        return tuple(Target.parse(text) for text in self.targets)


def load(path: Path) -> Config:
    """Read and check the configuration at *path*; its paths come back absolute.

    Raises:
        ConfigurationError: names the key, what was expected and what was found.
    """
    config = read_config(path, Config)
    try:
        _check(config)
    except RefusedError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    return _rooted(_aging(config), path.resolve().parent)


def _aging(config: Config) -> Config:
    """The same with a limit for what comes by plain MQTT, which never says that it has ended."""
    plain = {each.name for each in config.sources if isinstance(each, MqttConfig)}
    tags = [
        msgspec.structs.replace(tag, stale_s=MQTT_STALE_S)
        if tag.stale_s is None and tag.source in plain
        else tag
        for tag in config.tags
    ]
    return msgspec.structs.replace(config, tags=tags)


def _check(config: Config) -> None:
    _ = config.targets_parsed
    names = [source.name for source in config.sources]
    seen = [source for source in config.sources if isinstance(source, FramesConfig)]
    roles = [tag.role for tag in config.tags] + [source.role for source in seen]
    for key, values in (("sources.name", names), ("tags.role", roles)):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise RefusedError(f"`$.{key}`: expected each once, found {twice!r} twice")
    for number, tag in enumerate(config.tags):
        if tag.source not in names or tag.source in {source.name for source in seen}:
            told = ", ".join(name for name in names if all(name != each.name for each in seen))
            raise RefusedError(
                f"`$.tags[{number}].source`: expected one of {told or 'none there are'}, "
                f"found {tag.source!r}"
            )
    wrong = config.line.mistake(roles)
    if wrong is None and config.sinks.opcua is not None:
        servers = [each.name for each in config.sources if isinstance(each, OpcUaConfig)]
        read = [(tag.source, tag.address) for tag in config.tags]
        wrong = mistake(config.sinks.opcua, servers, read)
    if wrong is not None:
        raise RefusedError(wrong)


def _rooted(config: Config, root: Path) -> Config:
    """The same configuration with every path absolute."""

    def at(path: Path | None) -> Path | None:
        return None if path is None else root / path

    proxy = msgspec.structs.replace(
        config.proxy, ca=root / config.proxy.ca, token=at(config.proxy.token)
    )
    return msgspec.structs.replace(
        config,
        data=root / config.data,
        trust_policy=root / config.trust_policy,
        control_socket=at(config.control_socket),
        proxy=proxy,
        sources=[_rooted_files(source, root) for source in config.sources],
        serving=None if config.serving is None else _rooted_files(config.serving, root),
        sinks=_rooted_sinks(config.sinks, root),
        line=_rooted_line(config.line, root),
    )


def _rooted_line(line: LineConfig, root: Path) -> LineConfig:
    topic = None if line.decisions is None else _rooted_files(line.decisions, root)
    return msgspec.structs.replace(line, decisions=topic)


Part = TypeVar("Part", bound=Struct)


def _rooted_sinks(sinks: SinksConfig, root: Path) -> SinksConfig:
    return msgspec.structs.replace(
        sinks,
        mqtt=None if sinks.mqtt is None else _rooted_files(sinks.mqtt, root),
        files=None if sinks.files is None else _rooted_files(sinks.files, root),
    )


def _rooted_files(part: Part, root: Path) -> Part:
    files = {
        name: root / value
        for name in part.__struct_fields__
        if isinstance(value := getattr(part, name), Path)
    }
    return msgspec.structs.replace(part, **files)
