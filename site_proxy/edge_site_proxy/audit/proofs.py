"""Proofs from the log for somebody who does not get all of it.

That one event is in the log is a C2SP `tlog-proof`; that today's log begins with an older one is
what C2SP `tlog-witness` asks for. `verify_audit.py` reads both.
"""

import base64
from pathlib import Path

from sqlite_utils import Database

from edge_core.contracts.errors import NotFoundError
from edge_site_proxy.audit import log as audit_log
from edge_site_proxy.audit import tree
from edge_site_proxy.audit.errors import LogBrokenError
from edge_site_proxy.audit.export import put_key
from edge_site_proxy.audit.note import Root, state_of


def inclusion_proof(db: Database, entry: int, note: str) -> str:
    """That *entry* is in the log of the checkpoint *note*.

    Raises:
        NotFoundError: that log has no such entry.
    """
    size = state_of(note).size
    if not 0 <= entry < size:
        raise NotFoundError(f"event {entry}: expected one below {size}, the newest checkpoint's")
    path = tree.inclusion(entry, size, audit_log.lookup(db))
    return f"c2sp.org/tlog-proof@v1\nindex {entry}\n{_hashes(path)}\n{note}"


def consistency_proof(db: Database, old: Root, note: str) -> str:
    """That the log of the checkpoint *note* begins with the *old* one.

    Raises:
        LogBrokenError: it does not.
    """
    new = state_of(note)
    if old.size > new.size:
        raise LogBrokenError(
            f"audit log: expected at least {old.size} entries, found {new.size}", new.size
        )
    root = audit_log.root_of(db, old.size)
    if root != old.root:
        raise LogBrokenError(
            f"audit log at {old.size}: expected the root {old.root.hex()}, found {root.hex()}"
        )
    path = tree.consistency(old.size, new.size, audit_log.lookup(db))
    return f"old {old.size}\n{_hashes(path)}\n{note}"


def write_proofs(db: Database, folder: Path, entries: list[int], note: str, public: str) -> None:
    """Write each of *entries* with its proof, the key, and the verifier.

    Raises:
        NotFoundError: the log of *note* has no such entry.
    """
    put_key(folder, public, db, state_of(note).size)
    for entry in entries:
        proof = inclusion_proof(db, entry, note)
        (leaf,) = audit_log.leaves_from(db, entry, entry + 1)
        (folder / f"event-{entry}.json").write_bytes(leaf + b"\n")
        (folder / f"event-{entry}.tlog-proof").write_text(proof, encoding="utf-8")


def _hashes(path: list[bytes]) -> str:
    return "".join(base64.b64encode(digest).decode() + "\n" for digest in path)
