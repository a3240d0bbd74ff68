"""Settings of the sources that read from an MQTT broker."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from edge_core.contracts.artefact import Label
from edge_runtime.bounds import Seconds, Text
from edge_runtime.broker import BrokerConfig


class PayloadConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the JSON of a broker's messages is to be read: which form, and what its keys are called.

    A `tag` names itself and has one value; `tags` are a table of values of one instant; a `list`
    has one of these an entry.
    """

    form: Literal["any", "tag", "tags", "list"] = "any"
    tag: Text = "tag"  # key of a tag's name
    value: Text = "v"  # key of its value
    quality: Text = "q"  # key of its quality: OPC's 192 good, 64 uncertain, 0 bad
    time: Text = "ts"  # key of the time: a number, or an instant with its zone
    values: Text = "values"  # key of the table of values
    time_unit: Literal["s", "ms", "us", "ns"] = "ms"  # of a time that is a number
    untimed: Literal["refused", "arrival"] = "refused"  # what a message without a time gets

    def __post_init__(self) -> None:
        """Refuse two meanings for one key.

        Raises:
            ValueError: two keys are the same.
        """
        keys = [self.tag, self.value, self.quality, self.time, self.values]
        if len(set(keys)) < len(keys):
            raise ValueError(f"payload: expected a key of its own for each, found {keys}")


class MqttConfig(
    BrokerConfig,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="mqtt",
):
    """One MQTT broker whose messages are JSON: one value, a table of them, or a list of either.

    Attributes:
        session_s: the broker keeps what is sent while we are away for so long, and with MQTT 3.1.1
            as long as it likes; 0 asks for nothing to be kept.
        client_id: by which the broker knows our session; `edge-<serial>-<name>` unless named.
        payload: how messages are to be read.
    """

    name: Label
    session_s: Annotated[float, Meta(ge=0, le=604_800)] = 3600.0
    client_id: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    payload: PayloadConfig = PayloadConfig()


class SparkplugConfig(
    BrokerConfig,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="sparkplug",
):
    """One MQTT broker with Sparkplug B edge nodes; each connection begins with new births."""

    name: Label
    rebirth_interval_s: Seconds = 5.0  # at most one rebirth request a node in so long
