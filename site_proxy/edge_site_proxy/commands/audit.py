"""`site-proxy audit`: verify the log, export it, and ask it what ran; also without the daemon."""

import argparse
import datetime as dt
from pathlib import Path

import msgspec

from edge_core.command import emit, tell
from edge_core.contracts.errors import NotFoundError, UsageError
from edge_site_proxy import config
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.export import (
    export_log,
    open_read_only,
    verify_database,
    verify_folder,
    what_ran_there,
)
from edge_site_proxy.audit.note import load_signer
from edge_site_proxy.audit.verify import Verified
from edge_site_proxy.commands.words import say
from edge_site_proxy.paths import StatePaths


def verify(chosen: argparse.Namespace) -> int:
    """Check the log, or an export of it; 3 with the first bad entry if it does not verify."""
    try:
        if chosen.export is not None:
            key = None if chosen.key is None else _key(chosen.key)
            found = verify_folder(chosen.export, key)
        else:
            paths = _paths(chosen)
            found = verify_database(open_read_only(paths.database), _public(paths))
    except LogBrokenError as error:
        if chosen.json:
            emit({"verified": False, "reason": str(error), "first_bad": error.first_bad})
        raise
    _say_verified(chosen, found)
    return 0


def export(chosen: argparse.Namespace) -> int:
    """Write the log, its checkpoints and the verifier key into a folder."""
    paths = _paths(chosen)
    count = export_log(open_read_only(paths.database), chosen.to, _public(paths))
    if chosen.json:
        emit({"events": count, "folder": str(chosen.to)})
    tell("site-proxy", f"wrote {count} events to {chosen.to}")
    return 0


def what_ran(chosen: argparse.Namespace) -> int:
    """What decided about an asset at an instant, and on whose word."""
    answer = what_ran_there(open_read_only(_paths(chosen).database), chosen.asset, _at(chosen.at))
    if chosen.json:
        emit(answer)
        return 0
    release = answer.release
    name = "nothing" if release is None else f"{release.model} {release.version}"
    say(f"{answer.asset} ({answer.serial}) at {answer.at.isoformat()}: {name}")
    for label, value in (
        ("digest", answer.digest),
        ("since", answer.since),
        ("until", answer.until),
        ("signed by", ", ".join(answer.signers)),
        ("approved by", ", ".join(each.get("who", "?") for each in answer.approvals)),
        ("event", answer.event),
    ):
        say(f"  {label:12} {value}")
    return 0


def _paths(chosen: argparse.Namespace) -> StatePaths:
    paths = StatePaths(config.load(chosen.config).directory)
    if not paths.database.exists():
        raise NotFoundError(f"{paths.database}: expected the site's database, found none")
    return paths


def _public(paths: StatePaths) -> str:
    """The verifier key of this site, under the name that its checkpoints bear."""
    note = audit_log.newest_note(open_read_only(paths.database))
    if note is None:
        raise NotFoundError(f"{paths.database}: expected a checkpoint, found none yet")
    if not paths.audit_key.exists():
        raise NotFoundError(f"{paths.audit_key}: expected the audit log's key, found none")
    return load_signer(paths.audit_key, note.partition("\n")[0]).public


def _key(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--key {path}: expected a verifier key, found: {error}") from None


def _at(text: str) -> dt.datetime:
    try:
        at = msgspec.convert(text, type=dt.datetime)
    except msgspec.ValidationError:
        raise UsageError(
            f"--at: expected an instant such as 2026-03-02T14:05:00Z, found {text[:40]!r}"
        ) from None
    if at.tzinfo is None:
        raise UsageError(f"--at: expected a zone, such as Z for UTC, found {text[:40]!r}")
    return at


def _say_verified(chosen: argparse.Namespace, found: Verified) -> None:
    facts = {"verified": True, "size": found.size, "root": found.root.hex(), "loose": found.loose}
    if chosen.json:
        emit(facts)
        return
    say(f"verified {found.size} events, root {found.root.hex()}, {found.loose} after it")
