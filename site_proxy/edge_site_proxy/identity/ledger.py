"""Tokens and certificates in the database: plain statements inside a caller's transaction."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from sqlite_utils import Database, Migrations

from edge_site_proxy.identity.authority import Issued
from edge_site_proxy.identity.drops import TokenDrop

MIGRATIONS = Migrations("identity")
_KEPT_EXPIRED = dt.timedelta(days=90)  # the audit log keeps what happened; this table stays small


@MIGRATIONS()
def ledger(db: Database) -> None:
    """Tokens by digest, certificates by number."""
    db.execute(
        "CREATE TABLE identity_tokens (digest TEXT PRIMARY KEY, serial TEXT NOT NULL,"
        " expires TEXT NOT NULL, number TEXT)"
    )
    db.execute(
        "CREATE TABLE identity_certificates (number TEXT PRIMARY KEY, serial TEXT NOT NULL,"
        " issued TEXT NOT NULL, not_after TEXT NOT NULL, spki BLOB NOT NULL, der BLOB NOT NULL,"
        " revoked TEXT, reason TEXT)"
    )
    db.execute("CREATE INDEX identity_by_serial ON identity_certificates (serial, issued)")


@dataclass(frozen=True, slots=True)
class Token:
    """One token: *number* is the certificate it was used for, None while it is unused."""

    serial: str
    expires: dt.datetime
    number: str | None


@dataclass(frozen=True, slots=True)
class Kept:
    """One certificate as issued."""

    number: str
    serial: str
    issued: dt.datetime
    not_after: dt.datetime
    spki: bytes
    der: bytes


def add_token(db: Database, drop: TokenDrop) -> bool:
    """Keep a token; False if it is kept already."""
    done = db.execute(
        "INSERT OR IGNORE INTO identity_tokens (digest, serial, expires) VALUES (?, ?, ?)",
        [drop.digest, drop.serial, _text(drop.expires)],
    )
    return done.rowcount == 1


def token(db: Database, digest: str) -> Token | None:
    """The token with *digest*."""
    row = db.execute(
        "SELECT serial, expires, number FROM identity_tokens WHERE digest = ?", [digest]
    ).fetchone()
    return None if row is None else Token(row[0], dt.datetime.fromisoformat(row[1]), row[2])


def use_token(db: Database, digest: str, number: str) -> None:
    """The token is spent on certificate *number*."""
    db.execute("UPDATE identity_tokens SET number = ? WHERE digest = ?", [number, digest])


def add_certificate(db: Database, issued: Issued, spki: bytes, *, now: dt.datetime) -> None:
    """Keep an issued certificate, and forget what of the same gateway ended long ago."""
    db.execute(
        "DELETE FROM identity_certificates WHERE serial = ? AND not_after < ?",
        [issued.serial, _text(now - _KEPT_EXPIRED)],
    )
    db.execute(
        "INSERT INTO identity_certificates (number, serial, issued, not_after, spki, der)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [issued.number, issued.serial, _text(now), _text(issued.not_after), spki, issued.der],
    )


def certificate(db: Database, number: str) -> Kept | None:
    """The certificate *number*, unless it was revoked."""
    return _first(db, "number = ?", [number])


def newest(db: Database, serial: str) -> Kept | None:
    """The last certificate issued to *serial* that was not revoked."""
    return _first(db, "serial = ?", [serial])


def _first(db: Database, where: str, values: list[str]) -> Kept | None:
    # Both conditions are written in this module; values never enter the statement.
    columns = "number, serial, issued, not_after, spki, der"
    statement = (
        f"SELECT {columns} FROM identity_certificates WHERE {where}"  # noqa: S608 - see above
        " AND revoked IS NULL ORDER BY issued DESC LIMIT 1"
    )
    row = db.execute(statement, values).fetchone()
    if row is None:
        return None
    issued, not_after = dt.datetime.fromisoformat(row[2]), dt.datetime.fromisoformat(row[3])
    return Kept(row[0], row[1], issued, not_after, bytes(row[4]), bytes(row[5]))


def revoke(db: Database, serial: str, reason: str, *, now: dt.datetime) -> list[str]:
    """Revoke what *serial* holds; the numbers that changed."""
    rows = db.execute(
        "UPDATE identity_certificates SET revoked = ?, reason = ?"
        " WHERE serial = ? AND revoked IS NULL RETURNING number",
        [_text(now), reason, serial],
    ).fetchall()
    # An unused token of a gateway that lost its trust would let it back in.
    db.execute("DELETE FROM identity_tokens WHERE serial = ? AND number IS NULL", [serial])
    return [row[0] for row in rows]


def revoked_numbers(db: Database) -> set[str]:
    """Numbers of all revoked certificates."""
    rows: Iterable[tuple[str]] = db.execute(
        "SELECT number FROM identity_certificates WHERE revoked IS NOT NULL"
    ).fetchall()
    return {row[0] for row in rows}


def holders(db: Database) -> dict[str, dt.datetime]:
    """Every gateway that holds a certificate, with the latest end of one."""
    rows = db.execute(
        "SELECT serial, MAX(not_after) FROM identity_certificates WHERE revoked IS NULL"
        " GROUP BY serial"
    ).fetchall()
    return {row[0]: dt.datetime.fromisoformat(row[1]) for row in rows}


def _text(instant: dt.datetime) -> str:
    return instant.astimezone(dt.UTC).isoformat(timespec="microseconds")
