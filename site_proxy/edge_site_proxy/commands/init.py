"""`site-proxy init DIR`: CA, server certificate, audit key, and a configuration that runs."""

import argparse
import json
import os
import socket
from pathlib import Path
from typing import Final

import msgspec

from edge_core import clock
from edge_core.command import emit, tell
from edge_core.contracts.artefact import Label
from edge_core.contracts.errors import ConflictError, UsageError
from edge_site_proxy import config
from edge_site_proxy.audit.note import load_signer
from edge_site_proxy.identity.files import IdentityFiles
from edge_site_proxy.paths import StatePaths

_CONFIG: Final = """\
# A site proxy. Paths are relative to this file. Check changes with: site-proxy check-config FILE
site = "{site}"
directory = "state"
inventory = "inventory.toml"

[gateways]                      # TLS 1.3, client certificates only
host = "0.0.0.0"
port = 9443

[enrolment]                     # EST: a first certificate for a one-time token
host = "0.0.0.0"
port = 9444

[identity]
directory = "identity"
names = {names}
life_s = 2592000                # of a gateway's certificate: 30 days

[operator]
socket = "operator.sock"        # /run/edge-site/operator.sock where the daemon may write there

[telemetry.upstream]            # or: kind = "otlp", url = "https://collector.example"
kind = "folder"
directory = "telemetry-out"

# Releases are mirrored once this says from where, and trust-policy.toml says whose count:
# [mirror]
# trust_policy = "trust-policy.toml"
# stage = "production"
# [mirror.source]
# kind = "registry"             # or: kind = "layout", directory = "/mnt/releases"
# url = "https://registry.example"
# repository = "plant/models"

# [[pages]]                     # who is called; try it with: site-proxy page-test
# kind = "webhook"              # or: "alertmanager"; or: "pagerduty", routing_key = "FILE"
# url = "https://pager.example/edge"

[rollout]
health_window_s = 300
review_budget = 20

[rollout.policy]
approvals = 1
# Instead of the cohorts below: strategy = "1/9/90", "10/30/100" or "blue-green"

[[rollout.policy.cohorts]]
name = "canary"
share = 0.02
least = 3

[[rollout.policy.cohorts]]
name = "early"
share = 0.2
least = 3

[[rollout.policy.cohorts]]
name = "rest"
share = 1.0
least = 3
"""
_INVENTORY: Final = """\
# The gateways of this site: where each stands, and which model it runs.
site = "{site}"
gateways = []

[[zones]]
name = "process"
safety_class = "none"

# [[lines]]                     # once one is listed all are, and a wrong name is found
# name = "line-1"
# area = "utilities"
# kind = "production_line"      # or: process_cell, production_unit, storage_zone
# maintenance = ""              # why it is out: not counted, and it catches up afterwards
#
# [[gateways]]
# serial = "gw-101"
# zone = "process"
# model = "pump-condition"
# hardware = "generic"
# redundancy_group = "feed-pumps"
# maintenance = ""
# [gateways.position]
# site = "{site}"
# area = "utilities"
# line = "line-1"
# cell = "cell-1"
# asset = "pump-1"
"""
_TRUST: Final = """\
# Whose signatures make a release, the channel, and a signed plan. See docs/operate.
version = 1

# [[keys]]
# id = "release-a"
# path = "release-a.pub"
#
# [[rules]]
# stage = "production"
# keys = ["release-a"]
# threshold = 1
# builder_ids = ["https://ci.example/edge-pack"]
# sources = ["git+https://git.example/models"]
#
# [channel]
# keys = ["release-a"]
#
# [plan]
# keys = ["release-a"]
"""


def body(chosen: argparse.Namespace) -> int:
    """Make everything below DIR; nothing that is there is touched.

    Raises:
        UsageError: the site or the server is called what no configuration could name.
        ConflictError: DIR has a site already.
    """
    folder: Path = chosen.directory
    names: list[str] = chosen.name or default_names()
    _check_names(chosen.site, names)
    files = {
        "site.toml": _CONFIG.format(site=chosen.site, names=_toml_list(names)),
        "inventory.toml": _INVENTORY.format(site=chosen.site),
        "trust-policy.toml": _TRUST,
    }
    _check_free(folder, [*files, "identity", "state"])
    folder.mkdir(parents=True, exist_ok=True)
    paths = StatePaths(folder / "state")
    paths.make()
    (folder / "telemetry-out").mkdir(exist_ok=True)
    identity = IdentityFiles(folder / "identity")
    identity.make(chosen.site, names, now=clock.now())
    load_signer(paths.audit_key, chosen.site)
    for name, text in files.items():
        opened = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            file.write(text)
    made = folder / "site.toml"
    if chosen.json:
        emit({"config": str(made), "ca": str(identity.ca_certificate), "site": chosen.site})
    tell("site-proxy", f"made {folder}; now: site-proxy run --config {made}")
    return 0


def default_names() -> list[str]:
    """Names of this host, for the server certificate."""
    return [socket.gethostname(), "localhost", "127.0.0.1"]


def _check_names(site: str, names: list[str]) -> None:
    try:
        msgspec.convert(site, Label)
    except msgspec.ValidationError:
        raise UsageError(
            "--site: expected a small letter, then small letters, digits, - or _, at most 40 in "
            f"all, found {site[:60]!r}"
        ) from None
    for name in names:
        try:
            msgspec.convert(name, config.Text)
        except msgspec.ValidationError:
            raise UsageError(f"--name: expected 1 to 255 characters, found {len(name)}") from None


def _check_free(folder: Path, names: list[str]) -> None:
    for name in names:
        if (folder / name).exists():
            raise ConflictError(
                f"{folder / name}: expected nothing there, found it; a site is never overwritten"
            )


def _toml_list(names: list[str]) -> str:
    # JSON's strings are TOML's.
    return "[" + ", ".join(json.dumps(name) for name in names) + "]"
