"""The configuration of a site proxy: one TOML file, decoded once into one frozen tree.

Relative paths are relative to the file. Secrets are files that are named here.
"""

import datetime as dt
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from edge_core.command import read_config
from edge_core.contracts.artefact import Label, Name
from edge_core.contracts.errors import ConfigurationError
from edge_core.contracts.plant import Inventory, SafetyClass
from edge_core.contracts.rollout import CohortRule, Policy
from edge_core.journal import JournalConfig
from edge_site_proxy.api.gateway.limits import ConnectionLimits
from edge_site_proxy.api.operator.settings import OperatorSettings
from edge_site_proxy.rollout.topology import mistakes
from edge_site_proxy.rollout.world import SiteSettings
from edge_site_proxy.telemetry.order import Order

Port = Annotated[int, Meta(ge=0, le=65535)]
Text = Annotated[str, Meta(min_length=1, max_length=255)]
Seconds = Annotated[float, Meta(gt=0)]
Url = Annotated[str, Meta(pattern=r"^https?://[^\s/]+(/[^\s]*[^\s/])?$", max_length=500)]

Tree = TypeVar("Tree", bound=Struct)

DAY_S = 86_400.0
INVENTORY_BYTES_MAX = 16 * 1024 * 1024  # twenty thousand gateways with long names
_NAMED_MAX = 10  # mistakes of an inventory in one line; one wrong name repeats itself


class Listen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One TCP port; port 0 takes a free one, which only a test wants."""

    host: Text = "0.0.0.0"  # noqa: S104 - gateways come from the plant network
    port: Port


class IdentityConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The site CA.

    Attributes:
        directory: `ca.key`, `ca.pem`, `server.key`, `server.pem`, as `init` makes them.
        names: host names and addresses that the server certificate is for.
        life_s: of a gateway's certificate; it renews at two thirds.
    """

    directory: Path = Path("identity")
    names: Annotated[list[Text], Meta(min_length=1, max_length=32)]
    life_s: Annotated[float, Meta(ge=60, le=400 * DAY_S)] = 30 * DAY_S


class FolderUpstream(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="folder"
):
    """Telemetry goes into a folder, one file a batch; the folder must exist."""

    directory: Path


class OtlpUpstream(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="otlp"
):
    """Telemetry goes to an OTLP/HTTP endpoint, *url*`/v1/<signal>`."""

    url: Url
    proxy: Url | None = None
    ca: Path | None = None
    certificate: Path | None = None
    authorization: Path | None = None


class TelemetryConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The buffer and its way up.

    Attributes:
        upstream: where to.
        journal: bounds of the write-ahead log.
        order: what goes first after an outage; an upstream that needs order wants `fifo`.
        deadline_s: for one batch.
        backoff_max_s: the longest wait between two tries while the WAN is away.
        outage_alarm_s: a WAN that is away for this long is an alarm.
    """

    upstream: FolderUpstream | OtlpUpstream
    journal: JournalConfig = JournalConfig()
    order: Order = Order.FRESH_FIRST
    deadline_s: Seconds = 30.0
    backoff_max_s: Seconds = 60.0
    outage_alarm_s: Seconds = 900.0


class LayoutSource(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="layout"
):
    """Releases come from an OCI image layout: a mounted disk, or a folder somebody fills."""

    directory: Path


class RegistrySource(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="registry"
):
    """Releases come from one repository of a registry."""

    url: Url
    repository: Name
    proxy: Url | None = None
    ca: Path | None = None
    certificate: Path | None = None
    authorization: Path | None = None


class MirrorConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is mirrored, and what it must bear.

    Attributes:
        source: the upstream.
        trust_policy: whose signatures count.
        stage: of that policy.
        safety_class: of that policy; the strictest that every release must meet here.
        poll_s: between two looks at the channel.
        admission: look at every model file before it is offered to a gateway.
    """

    source: LayoutSource | RegistrySource
    trust_policy: Path = Path("trust-policy.toml")
    stage: Label = "production"
    safety_class: SafetyClass = SafetyClass.NONE
    poll_s: Seconds = 60.0
    admission: bool = True


class WebhookPages(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="webhook"
):
    """Pages go to an address that takes them as JSON, one POST a page.

    Attributes:
        name: of this receiver, once in the file; what it was told is kept under it.
        url: the address.
        resolve: say when a page is over, too.
        proxy: a forward proxy.
        ca: in PEM, instead of the system's.
        certificate: a client certificate with its key, in one PEM.
        authorization: a file with the header's value.
    """

    url: Url
    name: Label = "webhook"
    resolve: bool = False
    proxy: Url | None = None
    ca: Path | None = None
    certificate: Path | None = None
    authorization: Path | None = None


class AlertmanagerPages(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="alertmanager",
):
    """Every alarm that stands is shown to an Alertmanager, API v2, which decides who is called.

    Attributes:
        name: of this receiver, once in the file.
        url: up to and without `/api/v2`.
        resend_s: between two repeats.
        hold_s: for how long an alert stands without one; a restart and a short outage fit in.
        proxy: a forward proxy.
        ca: in PEM, instead of the system's.
        certificate: a client certificate with its key, in one PEM.
        authorization: a file with the header's value.
    """

    url: Url
    name: Label = "alertmanager"
    resend_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    hold_s: Annotated[float, Meta(ge=4, le=86_400)] = 900.0
    proxy: Url | None = None
    ca: Path | None = None
    certificate: Path | None = None
    authorization: Path | None = None


class PagerDutyPages(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="pagerduty",
):
    """Pages go to PagerDuty, Events API v2: triggered, acknowledged and resolved.

    Attributes:
        routing_key: a file with the integration key of the service.
        name: of this receiver, once in the file.
        url: up to and without `/v2/enqueue`.
        proxy: a forward proxy.
        ca: in PEM, instead of the system's.
    """

    routing_key: Path
    name: Label = "pagerduty"
    url: Url = "https://events.pagerduty.com"
    proxy: Url | None = None
    ca: Path | None = None


Pages = WebhookPages | AlertmanagerPages | PagerDutyPages


class ClockSource(StrEnum):
    """Whose word on the wall clock counts.

    TRUSTED is for machines whose clock is kept right from outside, such as a guest whose host
    does it: there the kernel says "unsynchronised" although all is well.
    """

    KERNEL = "kernel"
    TRUSTED = "trusted"


class SiteConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One site proxy."""

    site: Label
    directory: Path = Path("/var/lib/edge-site")
    inventory: Path = Path("inventory.toml")
    gateways: Listen = Listen(port=9443)
    limits: ConnectionLimits = ConnectionLimits()
    enrolment: Listen = Listen(port=9444)
    identity: IdentityConfig
    clock: ClockSource = ClockSource.KERNEL
    operator: OperatorSettings = OperatorSettings()
    telemetry: TelemetryConfig
    mirror: MirrorConfig | None = None
    pages: Annotated[list[Pages], Meta(max_length=8)] = []
    rollout: SiteSettings = SiteSettings(
        policy=Policy(
            cohorts=[
                CohortRule(name="canary", share=0.02),
                CohortRule(name="early", share=0.2),
                CohortRule(name="rest", share=1.0),
            ]
        )
    )


def load(path: Path) -> SiteConfig:
    """Read the configuration at *path*; every path in it is absolute afterwards.

    Raises:
        ConfigurationError: names file, key and expectation.
    """
    config = read_config(path, SiteConfig)
    _check_pages(path, config.pages)
    return _anchored(config, path.absolute().parent)


def load_inventory(path: Path, site: str) -> Inventory:
    """Read `inventory.toml`.

    Raises:
        ConfigurationError: it is not one plant; the message names every mistake in it.
    """
    inventory = read_config(path, Inventory, bytes_max=INVENTORY_BYTES_MAX)
    wrong = mistakes(inventory, site)
    if wrong:
        more = f"; and {len(wrong) - _NAMED_MAX} more" if len(wrong) > _NAMED_MAX else ""
        raise ConfigurationError(f"{path}: {'; '.join(wrong[:_NAMED_MAX])}{more}")
    return inventory


def life(config: SiteConfig) -> dt.timedelta:
    """How long a gateway's certificate is good."""
    return dt.timedelta(seconds=config.identity.life_s)


def _check_pages(path: Path, pages: list[Pages]) -> None:
    names = [receiver.name for receiver in pages]
    for number, receiver in enumerate(pages):
        if receiver.name in names[:number]:
            raise ConfigurationError(
                f"{path}: pages: expected each name once, found {receiver.name} twice"
            )
        if isinstance(receiver, AlertmanagerPages) and receiver.hold_s < 3 * receiver.resend_s:
            raise ConfigurationError(
                f"{path}: pages {receiver.name}: expected hold_s of three times resend_s or more, "
                f"found {receiver.hold_s:g} and {receiver.resend_s:g}"
            )


def _anchored(value: Tree, folder: Path) -> Tree:
    """*value* with every path in it below *folder*, unless it is absolute."""
    changes: dict[str, object] = {}
    for name in value.__struct_fields__:
        field = getattr(value, name)
        if isinstance(field, Path):
            changes[name] = folder / field
        elif isinstance(field, Struct):
            changes[name] = _anchored(field, folder)
        elif isinstance(field, list) and any(isinstance(each, Struct) for each in field):
            changes[name] = [_anchored(each, folder) for each in field]
    return msgspec.structs.replace(value, **changes)
