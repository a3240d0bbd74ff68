"""The grammar of `edge-gateway`: names, arguments, help with an example, and which body runs."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from edge_core.command import Parser
from edge_runtime.commands import daemon, local
from edge_runtime.commands.names import CONFIG, EXIT_CODES, PROGRAM

Body = Callable[[argparse.Namespace], int]
Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 - argparse names it no other way


def parser() -> Parser:
    """The whole grammar."""
    top = Parser(
        prog=PROGRAM,
        description="Plant signals in, verdicts out: the daemon of one gateway and its tools.",
        epilog=EXIT_CODES,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _configured(
        _command(
            commands,
            "run",
            daemon.run,
            "run the gateway until it is told to stop",
            "edge-gateway run --config /etc/edge-gateway/gateway.toml",
        )
    )
    check = _command(
        commands,
        "check-config",
        daemon.check,
        "say what is wrong with a configuration; nothing is dialled",
        "edge-gateway check-config /etc/edge-gateway/gateway.toml",
    )
    check.add_argument("config", type=Path, metavar="FILE", help="the configuration to check")
    _person(commands)
    return top


def _person(commands: Commands) -> None:
    """What a person at the gateway asks and orders."""
    status = _command(
        commands,
        "status",
        local.status,
        "how the gateway is, from its daemon",
        "edge-gateway status --json | jq .windows",
    )
    rollback = _command(
        commands,
        "rollback",
        local.rollback,
        "leave what runs for the version before it; needs no network",
        'edge-gateway rollback --reason "false alarms since the morning"',
    )
    rollback.add_argument("--reason", required=True, metavar="TEXT", help="why; goes to the audit")
    flight = _command(
        commands,
        "flight",
        local.flight,
        "the flight recorder: each step of the last updates, and why; needs no daemon",
        "edge-gateway flight | tail -20",
    )
    enrol = _command(
        commands,
        "enrol",
        local.enrol,
        "spend the one-time token on a certificate",
        "edge-gateway enrol --token /etc/edge-gateway/token",
    )
    enrol.add_argument("--token", type=Path, metavar="FILE", help="instead of proxy.token")
    for each in (status, rollback, flight, enrol):
        _configured(_json(each))


def _command(commands: Commands, name: str, body: Body, words: str, example: str) -> Parser:
    made = commands.add_parser(name, help=words, description=words)
    made.epilog = f"example:\n  {example}\n\n{EXIT_CODES}"
    made.set_defaults(body=body)
    return made


def _configured(command: Parser) -> Parser:
    command.add_argument(
        "--config", type=Path, default=CONFIG, metavar="FILE", help=f"default {CONFIG}"
    )
    return command


def _json(command: Parser, words: str = "one JSON document on stdout") -> Parser:
    command.add_argument("--json", action="store_true", help=words)
    return command
