"""`edge-pack`: the grammar of its subcommands."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from edge_core.command import Parser, end

try:
    from edge_packaging import commands
except ModuleNotFoundError as missing:
    sys.exit(f"edge-pack needs {missing.name}: pip install 'edge-mlops[pack]'")

Body = Callable[[argparse.Namespace], Awaitable[int]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    return end(commands.PROGRAM, lambda c: asyncio.run(_run(c)), parser(), arguments)


async def _run(chosen: argparse.Namespace) -> int:
    body: Body = chosen.body
    return await body(chosen)


def parser() -> Parser:
    """The whole grammar."""
    root = Parser(
        prog=commands.PROGRAM,
        description="Turns one trained model into signed, hardware-specific OCI artefacts.",
        epilog="Exit codes: 0 done, 2 usage, 3 refused, 4 no such thing, 5 not reachable, "
        "78 configuration.",
    )
    made = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    keygen = _command(made, "keygen", commands.keygen)
    keygen.add_argument("path", type=Path, metavar="PATH")
    inspect = _command(made, "inspect", commands.inspect)
    inspect.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="an .onnx, a .tflite, or an .xml beside its .bin",
    )
    inspect.add_argument("--signature", type=Path, metavar="FILE", help="what it must declare")
    build = _command(made, "build", commands.build)
    build.add_argument("config", type=Path, metavar="CONFIG")
    build.add_argument("--out", type=Path, required=True, metavar="LAYOUT")
    build.add_argument("--only", action="append", metavar="TARGET", help="may be given again")
    sign = _on_tag(_command(made, "sign", commands.sign))
    _keys(sign)
    verify = _on_tag(_command(made, "verify", commands.verify))
    verify.add_argument(
        "--policy", type=Path, required=True, metavar="FILE", help="trust-policy.toml of the site"
    )
    verify.add_argument("--stage", default="production", metavar="STAGE")
    verify.add_argument("--safety-class", default="none", choices=["none", "safety"])
    publish = _on_tag(_command(made, "publish", commands.publish_release))
    publish.add_argument("--to", type=Path, metavar="LAYOUT")
    publish.add_argument("--registry", metavar="HOST/REPOSITORY")
    publish.add_argument(
        "--insecure", action="store_true", help="plain HTTP, for a registry on this machine"
    )
    _on_tag(_command(made, "show", commands.show_release))
    channel = _command(made, "channel", commands.channel)
    channel.add_argument("layout", type=Path, metavar="LAYOUT")
    channel.add_argument("--site", required=True, metavar="SITE")
    _goes_forward(channel)
    channel.add_argument(
        "--release", action="append", required=True, metavar="TAG", help="may be given again"
    )
    _keys(channel)
    plan = _command(made, "plan", commands.plan)
    plan.add_argument("layout", type=Path, metavar="LAYOUT")
    plan.add_argument("terms", type=Path, metavar="TERMS", help="plan.toml: how carefully it goes")
    plan.add_argument("--release", required=True, metavar="TAG", help="the only one it lets begin")
    plan.add_argument(
        "--rollback",
        metavar="TAG",
        help="or a digest: what sites must be able to go back to (default: each site's own)",
    )
    plan.add_argument(
        "--site",
        action="append",
        metavar="SITE",
        help="whom it is for; may be given again (default: every site)",
    )
    _goes_forward(plan)
    _keys(plan)
    return root


Subcommands = argparse._SubParsersAction  # noqa: SLF001 - argparse gives this type no public name


def _command(made: "Subcommands[Parser]", name: str, body: Body) -> Parser:
    words = (body.__doc__ or "").strip()
    one = made.add_parser(name, help=words, description=words)
    one.add_argument("--json", action="store_true", help="one JSON document on stdout")
    one.set_defaults(body=body)
    return one


def _on_tag(one: Parser) -> Parser:
    one.add_argument("layout", type=Path, metavar="LAYOUT")
    one.add_argument("tag", metavar="TAG", help="for example pump-condition-1.0.0, or a digest")
    return one


def _goes_forward(one: Parser) -> None:
    one.add_argument(
        "--sequence",
        type=int,
        required=True,
        metavar="N",
        help="higher than any before; a lower one is an attack",
    )
    one.add_argument(
        "--days",
        type=int,
        default=commands.VALID_DAYS,
        metavar="N",
        help="until it counts as stale (default %(default)s)",
    )


def _keys(one: Parser) -> None:
    one.add_argument(
        "--key",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="private key; may be given again, one signature each",
    )


if __name__ == "__main__":
    sys.exit(main())
