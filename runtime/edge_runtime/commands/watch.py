"""`edge-gateway watch`: values, windows and verdicts of the running daemon, line by line."""

import argparse
import sys
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from edge_core.contracts.errors import RefusedError
from edge_runtime.commands.output import pictures, say
from edge_runtime.config import load
from edge_runtime.control import WatchAsked, watch
from edge_runtime.frames.newest import PicturesSeen
from edge_runtime.live import Missed, Seen, ValueSeen, VerdictSeen, WindowSeen

GOOD: Final = "good"


def watched(arguments: argparse.Namespace) -> int:
    """Print what comes, until the reader, the keyboard or the daemon ends it."""
    path: Path = arguments.socket or load(arguments.config).socket
    asked = WatchAsked(every_s=arguments.every, roles=arguments.role or [])
    said = 0
    try:
        for line in watch(path, asked):
            if arguments.json:
                sys.stdout.write(line.decode(errors="replace"))
            else:
                say(_words(_decoded(line)))
            # Each line at once: whoever watches through a pipe watches, too.
            sys.stdout.flush()
            said += 1
            if said == arguments.lines:
                break
    except KeyboardInterrupt:
        return 0  # this is how watching ends
    return 0


def _decoded(line: bytes) -> Seen:
    try:
        seen: Seen = msgspec.json.decode(line, type=Seen)
    except msgspec.MsgspecError as error:
        raise RefusedError(f"daemon: expected an event: {error}") from None
    return seen


def _words(seen: Seen) -> str:
    match seen:
        case ValueSeen():
            shown = "-" if seen.value is None else f"{seen.value:.6g}"
            odd = "" if seen.quality == GOOD else f"  {seen.quality}"
            age = f"{seen.age_s:.1f} s old"
            return (
                f"{_time(seen.at)}  value    {seen.role:<24} {shown:>12} {seen.unit:<6} {age}{odd}"
            )
        case PicturesSeen():
            return f"{'':12}  pictures {pictures(msgspec.to_builtins(seen))}"
        case WindowSeen():
            return f"{_time(seen.ended)}  window   {_window(seen)}"
        case VerdictSeen():
            return f"{_time(seen.verdict.ended)}  verdict  {_verdict(seen)}"
        case Missed():
            return f"{'':12}  missed   {seen.events} events: this reads too slowly"


def _window(seen: WindowSeen) -> str:
    long_s = (seen.ended - seen.started).total_seconds()
    bad = sorted((share, role) for role, share in seen.good.items() if share < 1)
    shares = ", ".join(f"{role} {share:.0%}" for share, role in bad) or "every tag whole"
    gaps = f"; gap in {', '.join(seen.gaps)}" if seen.gaps else ""
    return f"{seen.window:<8} {long_s:g} s  {shares}{gaps}"


def _verdict(seen: VerdictSeen) -> str:
    verdict = seen.verdict
    if not verdict.decided:
        safe = "" if verdict.label is None else f" (safe output {verdict.label})"
        return f"{verdict.window:<8} no verdict: {verdict.reason}{safe}"
    value = "" if verdict.value is None else f" {verdict.value:.6g} {verdict.unit}"
    sure = "" if verdict.confidence is None else f" {verdict.confidence:.2f}"
    model = f"{verdict.model} {verdict.version} ({verdict.role})"
    domain = "" if verdict.domain == "inside" else f", domain {verdict.domain}"
    shadow = "" if seen.shadow is None else f", shadow says {seen.shadow}"
    return f"{verdict.window:<8} {verdict.label or ''}{value}{sure}  {model}{domain}{shadow}"


def _time(at: datetime) -> str:
    return at.strftime("%H:%M:%S.%f")[:-3]
