"""Settings of what the line itself says, and of what is told about all of it."""

from typing import Annotated

from msgspec import Meta, Struct

from edge_core.contracts.artefact import Label
from edge_runtime.bounds import Text
from edge_runtime.broker import BrokerConfig


class TelemetryConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is told beside verdicts and health; all of it waits in the outbox for the site.

    Attributes:
        traced_share: of the committed model's windows; those of a trial and failures always are.
        logs_a_minute: warnings and errors in the long run; one name at most a sixth of it.
    """

    traced_share: Annotated[float, Meta(ge=0, le=0.05)] = 0.02
    logs_a_minute: Annotated[int, Meta(ge=1, le=6000)] = 60


class TopicConfig(BrokerConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One topic of an MQTT broker."""

    topic: Text


class LineConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the line says of our verdicts.

    Attributes:
        kpi: role of the tag that says how well the line does; summed into health windows.
        operator: role of the tag that shows the operator's decision; its step to a code that is
            named is one.
        codes: that tag's value for each class.
        decisions: a topic that carries the name of a class, as text or as `{"label": NAME}`.
    """

    kpi: Label | None = None
    operator: Label | None = None
    codes: dict[Label, int] = {}
    decisions: TopicConfig | None = None

    def __post_init__(self) -> None:
        """Refuse half a setting.

        Raises:
            ValueError: a tag without codes, or codes without a tag.
        """
        if (self.operator is None) == bool(self.codes):
            raise ValueError("line: expected operator and codes together")

    def mistake(self, roles: list[str]) -> str | None:
        """The first role that no tag plays, in words."""
        for key, role in (("kpi", self.kpi), ("operator", self.operator)):
            if role is not None and role not in roles:
                return f"`$.line.{key}`: expected one of {', '.join(roles)}, found {role!r}"
        return None
