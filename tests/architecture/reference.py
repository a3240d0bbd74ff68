"""Writes `docs/reference/` from the code: `make docs`. A test fails while a page is stale."""

import importlib
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from edge_core.contracts import telemetry
from tests.architecture import grammar, settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "reference"
MADE = "*Made from the code by `make docs`; change it there.*\n"

PROGRAMS = {
    "edge-pack": "edge_packaging",
    "site-proxy": "edge_site_proxy",
    "edge-gateway": "edge_runtime",
    "edgetui": "edgetui",
    "edge-demo": "edge_fixtures",
}
FILES = (
    ("site.toml", "edge_site_proxy.config", "SiteConfig", "read by `site-proxy run`"),
    ("gateway.toml", "edge_runtime.config", "Config", "read by `edge-gateway run`"),
    (
        "inventory.toml",
        "edge_core.contracts.plant",
        "Inventory",
        "the gateways of one site, read by the site proxy",
    ),
    (
        "trust-policy.toml",
        "edge_core.trust.policy",
        "TrustPolicy",
        "read by `site-proxy`, `edge-gateway` and `edge-pack verify`",
    ),
    ("build.toml", "edge_packaging.config", "BuildConfig", "read by `edge-pack build`"),
    ("plan.toml", "edge_core.contracts.signed_plan", "Terms", "read by `edge-pack plan`"),
)


def program(package: str) -> ArgumentParser:
    """The grammar of the program whose package this is."""
    made = importlib.import_module(f"{package}.__main__").parser()
    assert isinstance(made, ArgumentParser)
    return made


def struct(module: str, name: str) -> type[Struct]:
    """The `Struct` that a configuration file is decoded into."""
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, type)
    assert issubclass(found, Struct)
    return found


def configuration() -> str:
    """Every setting of every file."""
    parts = [
        "# Settings",
        "",
        MADE,
        "One TOML file a program. An unknown key, a wrong type or a value outside its bounds",
        "stops the program with one line that names the key, and exit code 78. Durations end in",
        "`_s` and are seconds; sizes are bytes. Secrets are files with mode 0600, named here,",
        "never written here. Forms of text:",
        "",
        "| form | |",
        "|---|---|",
        *(f"| {name} | {words} |" for name, (_, words) in settings.FORMS.items()),
        "",
    ]
    for file, module, name, words in FILES:
        parts += [f"## {file}", "", f"{words[0].upper()}{words[1:]}.", ""]
        parts += settings.sections(struct(module, name))
    return "\n".join(parts).rstrip() + "\n"


def commands() -> str:
    """Every program and subcommand."""
    parts = [
        "# Commands",
        "",
        MADE,
        "Every program answers `--help`. `--json` puts one JSON document (or JSON lines) on",
        "stdout; people's words go to stderr. Exit codes, the same everywhere:",
        "",
        "| code | meaning | what to do |",
        "|---|---|---|",
        "| 0 | done | |",
        "| 1 | our own failure | keep the evidence, report it |",
        "| 2 | usage | read the line on stderr |",
        "| 3 | refused: did not verify, failed a policy or a contract | never retry it |",
        "| 4 | no such thing | check the name |",
        "| 5 | not reachable | look at the other side, then retry |",
        "| 6 | conflict: it changed meanwhile, or too late | look again, decide again |",
        "| 75 | full, busy or not yet | the same call may work later |",
        "| 77 | not permitted | another person must |",
        "| 78 | a setting is wrong | correct the file, start again |",
        "",
    ]
    for package in PROGRAMS.values():
        parts += grammar.sections(program(package))
    return "\n".join(parts).rstrip() + "\n"


def metrics() -> str:
    """Every metric and attribute name."""
    instruments = [
        each for each in vars(telemetry).values() if isinstance(each, telemetry.Instrument)
    ]
    constants = {
        name: value
        for name, value in vars(telemetry).items()
        if name.isupper() and isinstance(value, str)
    }
    parts = [
        "# Telemetry",
        "",
        MADE,
        "OTLP over HTTP with protobuf, and nothing else. Sums are cumulative. Units are UCUM.",
        "What a health gate needs does not travel here: gateways report a summary of each health",
        "window in their heartbeat (`edge_core.contracts.gateway.HealthWindow`).",
        "",
        "## Metrics",
        "",
        "| name | unit | meaning |",
        "|---|---|---|",
        *(f"| `{each.name}` | `{each.unit.value}` | {each.description} |" for each in instruments),
        "",
        "## Attributes and headers",
        "",
        "Every series of a model bears model, version, deployment and gateway.",
        "",
        "| name | constant in `edge_core.contracts.telemetry` |",
        "|---|---|",
        *(f"| `{value}` | `{name}` |" for name, value in constants.items()),
    ]
    return "\n".join(parts) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "commands.md": commands,
    "telemetry.md": metrics,
}


def main() -> int:
    """Write every page; a page whose program is broken is left alone, with one line why."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name, made in PAGES.items():
        try:
            (FOLDER / name).write_text(made(), encoding="utf-8")
        except (ImportError, AttributeError) as error:
            failed = 1
            sys.stderr.write(f"{name}: {error}\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
