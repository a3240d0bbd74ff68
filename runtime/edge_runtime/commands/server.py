"""Arguments of commands that dial an OPC UA server: URL and security, or the name of a source."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec

from edge_core.command import Parser
from edge_core.contracts.errors import NotFoundError, UsageError
from edge_core.misfit import misfit
from edge_runtime.config import load
from edge_runtime.sources.opcua_config import OpcUaConfig

SCHEME: Final = "opc.tcp://"
_NAMED: Final = frozenset({"name", "url"})


def add_arguments(command: Parser) -> None:
    """Let *command* name a server as a source of `gateway.toml` does."""
    group = command.add_argument_group("the server")
    group.add_argument(
        "--config", type=Path, metavar="FILE", help="take the server from this gateway.toml"
    )
    group.add_argument("--source", metavar="NAME", help="which source of it, if there are several")
    for name, kind in _settings():
        words = f"`{name}` as in a source of gateway.toml"
        if kind is bool:
            group.add_argument(_flag(name), action="store_const", const=True, help=words)
        else:
            named = "FILE" if kind is Path else "TEXT"
            group.add_argument(_flag(name), type=kind, metavar=named, help=words)


def server(arguments: argparse.Namespace, url: str | None) -> OpcUaConfig:
    """The server that is meant: by *url* and flags, or as a source of a configuration.

    Raises:
        UsageError: neither, or both, or a flag's value makes no sense.
        NotFoundError: the configuration has no such source.
    """
    given = {
        name: value
        for name, _ in _settings()
        if (value := getattr(arguments, name, None)) is not None
    }
    if (url is None) == (arguments.config is None):
        raise UsageError(f"expected either a URL such as {SCHEME}plc:4840 or --config FILE")
    if arguments.config is not None:
        found = _source(arguments.config, arguments.source)
        return _checked({**msgspec.structs.asdict(found), **given})
    return _checked({"name": "server", "url": url, **given})


def _checked(fields: dict[str, Any]) -> OpcUaConfig:  # Any: values of the fields
    try:
        return msgspec.convert(fields, OpcUaConfig, dec_hook=_as_is)
    except msgspec.ValidationError as error:
        raise UsageError(f"server: {misfit(error, OpcUaConfig, fields)}") from None


def _as_is(_: type, value: object) -> object:
    return value  # paths come from the parser as paths


def _source(path: Path, name: str | None) -> OpcUaConfig:
    config = load(path)
    found = {each.name: each for each in config.sources if isinstance(each, OpcUaConfig)}
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name not in found:
        known = ", ".join(found) or "none"
        raise NotFoundError(
            f"{path}: expected --source to be one of its OPC UA sources ({known}), "
            f"found {name or 'nothing'}"
        )
    return found[name]


def _settings() -> Iterator[tuple[str, type]]:
    """What says as whom and how safely we dial; the pace of a source is not a person's matter."""
    hints = get_type_hints(OpcUaConfig)
    for field in msgspec.structs.fields(OpcUaConfig):
        kinds = {hints[field.name], *get_args(hints[field.name])}
        if field.name in _NAMED:
            continue
        if Path in kinds:
            yield field.name, Path
        elif str in kinds or any(get_origin(each) is Literal for each in kinds):
            yield field.name, str
        elif field.default is False:
            yield field.name, bool


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
