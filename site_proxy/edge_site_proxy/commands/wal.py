"""`site-proxy wal`: look into the telemetry buffer, also while a daemon is at work in it."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_core.command import emit, tell
from edge_core.journal.survey import records, survey
from edge_site_proxy import config
from edge_site_proxy.commands.words import say
from edge_site_proxy.paths import StatePaths
from edge_site_proxy.telemetry.batch import outbound_of


def stat(chosen: argparse.Namespace) -> int:
    """What the buffer holds."""
    found = survey(_folder(chosen))
    _say(chosen, asdict(found))
    return 0


def verify(chosen: argparse.Namespace) -> int:
    """Check every record; 3 if any is damaged."""
    found = survey(_folder(chosen))
    _say(chosen, asdict(found))
    for name, offset, length in found.damages:
        tell("site-proxy", f"{name}: expected records, found {length} damaged bytes at {offset}")
    return 3 if found.damages else 0


def cat(chosen: argparse.Namespace) -> int:
    """One JSON line a record, without its body unless asked for."""
    for record in records(_folder(chosen)):
        batch = outbound_of(record)
        line: dict[str, Any] = {"seq": record.seq, "bytes": len(record.entry.body)}
        if batch is not None:
            line |= {
                "batch": str(batch.batch),
                "signal": batch.signal.value,
                "encoding": batch.encoding.name.lower(),
                "crc32c": f"{batch.crc32c:08x}",
                "ingest_unix_nano": batch.ingest_unix_nano,
                "clock_synchronised": batch.synchronised,
            }
        if chosen.bodies:
            line["body"] = record.entry.body
        emit(line)
    return 0


def _folder(chosen: argparse.Namespace) -> Path:
    if chosen.directory is not None:
        folder: Path = chosen.directory
        return folder
    return StatePaths(config.load(chosen.config).directory).journal


def _say(chosen: argparse.Namespace, facts: dict[str, Any]) -> None:
    if chosen.json:
        emit(facts)
        return
    for name, value in facts.items():
        if name != "damages":
            say(f"{name:14} {value}")
