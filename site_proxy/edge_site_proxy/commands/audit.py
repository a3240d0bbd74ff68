"""`site-proxy audit`: verify, export and prove the log, and ask it; also without the daemon."""

import argparse
import datetime as dt
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
from sqlite_utils import Database

from edge_core.command import emit, tell
from edge_core.contracts.audit import WhatRan
from edge_core.contracts.errors import NotFoundError, UsageError
from edge_site_proxy import config
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit import rotation
from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.export import (
    export_log,
    handovers_of,
    notes_in,
    open_read_only,
    public_of,
    verify_database,
    verify_folder,
    what_ran_there,
)
from edge_site_proxy.audit.keys import chain, signer_of
from edge_site_proxy.audit.note import load_signer, state_of
from edge_site_proxy.audit.proofs import consistency_proof, inclusion_proof, write_proofs
from edge_site_proxy.audit.verify import Verified
from edge_site_proxy.commands.words import say
from edge_site_proxy.paths import StatePaths


def verify(chosen: argparse.Namespace) -> int:
    """Check the log, or an export of it; 3 with the first bad entry if it does not verify."""
    try:
        key = None if chosen.key is None else verifier_key(chosen.key)
        witnesses = [note for path in chosen.witness for note in notes_in(path)]
        if chosen.export is not None:
            found = verify_folder(chosen.export, key, witnesses)
        else:
            with opened_log(chosen) as (db, public):
                found = verify_database(db, key or public, witnesses)
    except LogBrokenError as error:
        if chosen.json:
            emit({"verified": False, "reason": str(error), "first_bad": error.first_bad})
        raise
    _say_verified(chosen, found)
    return 0


def export(chosen: argparse.Namespace) -> int:
    """Write the log, and what it takes to check it without us, into a folder."""
    with opened_log(chosen) as (db, public):
        count = export_log(db, chosen.to, public)
    if chosen.json:
        emit({"events": count, "folder": str(chosen.to)})
    tell("site-proxy", f"wrote {count} events to {chosen.to}")
    return 0


def prove(chosen: argparse.Namespace) -> int:
    """Prove that one event is in the log: a C2SP tlog-proof, or a folder that checks itself."""
    with opened_log(chosen) as (db, public):
        note = _newest(db)
        if chosen.to is not None:
            write_proofs(db, chosen.to, [chosen.event], note, public)
            tell("site-proxy", f"wrote event {chosen.event} and its proof to {chosen.to}")
            return 0
        proof = inclusion_proof(db, chosen.event, note)
    if chosen.json:
        emit({"event": chosen.event, "proof": proof})
    else:
        sys.stdout.write(proof)
    return 0


def consistency(chosen: argparse.Namespace) -> int:
    """Prove that the log begins with that of an older checkpoint; 3 where it does not."""
    with opened_log(chosen) as (db, public):
        keys = chain(handovers_of(db), public)
        proofs = []
        for note in notes_in(chosen.checkpoint):
            signer_of(note, keys)
            proofs.append(consistency_proof(db, state_of(note), _newest(db)))
    if chosen.json:
        emit({"consistent": True, "proofs": proofs})
    else:
        sys.stdout.write("".join(proofs))
    return 0


def rotate_key(chosen: argparse.Namespace) -> int:
    """Ask for a new key of the log; the daemon makes it, and both keys sign that."""
    if not 3 <= len(chosen.reason) <= 500:
        raise UsageError(f"--reason: expected 3 to 500 characters, found {len(chosen.reason)}")
    paths = _paths(chosen)
    rotation.ask(paths.audit_key, chosen.reason)
    if chosen.json:
        emit({"asked": True})
    tell("site-proxy", "the log gets a new key once the daemon has seen it; export that key then")
    return 0


def what_ran(chosen: argparse.Namespace) -> int:
    """What decided about an asset at an instant, and on whose word."""
    with closing(open_read_only(_paths(chosen).database)) as db:
        answer = what_ran_there(db, chosen.asset, instant("--at", chosen.at))
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
        ("before it", answer.before),
        ("after it", answer.after),
        ("rollout", answer.rollout),
        ("config", answer.config),
        ("inputs", ", ".join(answer.inputs)),
        ("inferences", answer.inferences),
        ("clock", _clock_words(answer)),
        ("event", answer.event),
    ):
        say(f"  {label:12} {value}")
    return 0


def _paths(chosen: argparse.Namespace) -> StatePaths:
    paths = StatePaths(config.load(chosen.config).directory)
    if not paths.database.exists():
        raise NotFoundError(f"{paths.database}: expected the site's database, found none")
    return paths


def _clock_words(answer: WhatRan) -> str:
    if not answer.clock_synchronised:
        return "not synchronised"
    bound = answer.clock_error_max_us
    return "synchronised" if bound is None else f"synchronised within {bound} us"


@contextmanager
def opened_log(chosen: argparse.Namespace) -> Iterator[tuple[Database, str]]:
    """The site's log, and the verifier key under the name that its checkpoints bear."""
    paths = _paths(chosen)
    with closing(open_read_only(paths.database)) as db:
        yield db, public_of(db) or _public(paths, _newest(db))


def _newest(db: Database) -> str:
    note = audit_log.newest_note(db)
    if note is None:
        raise NotFoundError("audit log: expected a checkpoint, found none yet")
    return note


def _public(paths: StatePaths, note: str) -> str:
    """Of the key file: a log from before it named its key."""
    if not paths.audit_key.exists():
        raise NotFoundError(f"{paths.audit_key}: expected the audit log's key, found none")
    return load_signer(paths.audit_key, note.partition("\n")[0]).public


def verifier_key(path: Path) -> str:
    """The key in a file.

    Raises:
        UsageError: there is none.
    """
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--key {path}: expected a verifier key, found: {error}") from None


def instant(option: str, text: str) -> dt.datetime:
    """An instant with its zone, as somebody typed it after *option*.

    Raises:
        UsageError: it is none.
    """
    try:
        at = msgspec.convert(text, type=dt.datetime)
    except msgspec.ValidationError:
        raise UsageError(
            f"{option}: expected an instant such as 2026-03-02T14:05:00Z, found {text[:40]!r}"
        ) from None
    if at.tzinfo is None:
        raise UsageError(f"{option}: expected a zone, such as Z for UTC, found {text[:40]!r}")
    return at


def _say_verified(chosen: argparse.Namespace, found: Verified) -> None:
    facts = {"verified": True, "size": found.size, "root": found.root.hex(), "loose": found.loose}
    if chosen.json:
        emit(facts)
        return
    say(f"verified {found.size} events, root {found.root.hex()}, {found.loose} after it")
