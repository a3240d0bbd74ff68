"""What is in order and what is not: pure judgements over what was looked up."""

import errno
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from edge_core.contracts.plant import ClockQuality
from edge_runtime.bounds import MIB
from edge_runtime.doctor.finding import LATER, REFUSED, SETTING, Finding, fail, ok, warn
from edge_runtime.sources.opcua_config import OUTDATED

BUILT: Final = datetime(2026, 11, 1, tzinfo=UTC)  # this software did not exist before
CLOCK_ERROR_MAX_US: Final = 1_000_000
OFFSET_S: Final = 5.0  # beyond it windows of several sources no longer belong together
OFFSET_S_MAX: Final = 300.0
WARN_DAYS: Final = 30
MAKE_ROOM: Final = "make room: journalctl --vacuum-size=100M, old snapshots below the data folder"
INODES_MIN, INODES_WARN = 1_000, 10_000
MEMORY_MIN, MEMORY_WARN = 64 * MIB, 256 * MIB  # a daemon with two models and a spare has 200
ROOM_TO_SPARE: Final = 256 * MIB  # beside what the quotas may take: two releases


@dataclass(frozen=True, slots=True)
class DiskLook:
    """What is known of a folder's disk; `refused` is why a file could not be written there."""

    refused: str
    read_only: bool
    free_bytes: int
    inodes: int
    inodes_free: int


@dataclass(frozen=True, slots=True)
class FileLook:
    """What is known of a file with a secret."""

    mode: int
    uid: int


def clock(quality: ClockQuality, now: datetime) -> Finding:
    """The kernel's wall clock."""
    expected = "synchronised, off by at most 1 s"
    if now < BUILT:
        return fail(
            "clock",
            "kernel",
            f"a time after {BUILT:%Y-%m-%d}",
            now.isoformat(timespec="seconds"),
            "set the clock or wait for the time server; models run meanwhile, nothing is updated",
            LATER,
        )
    if not quality.synchronised:
        return warn(
            "clock",
            "kernel",
            expected,
            "not synchronised",
            "let chrony or systemd-timesyncd keep it; change windows wait for it, models do not",
        )
    found = f"synchronised, off by at most {quality.error_max_us / 1000:g} ms"
    if quality.error_max_us > CLOCK_ERROR_MAX_US:
        return warn(
            "clock", "kernel", expected, found, "look at the time server: chronyc tracking"
        )
    return ok("clock", "kernel", expected, found)


def offset(thing: str, ahead_s: float) -> Finding:
    """Somebody else's clock beside ours; *ahead_s* is how far theirs is ahead."""
    expected = f"within {OFFSET_S:g} s of ours"
    found = f"{abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} ours"
    advice = "find out which of the two clocks is wrong, and set that one"
    if abs(ahead_s) <= OFFSET_S:
        return ok("clock", thing, expected, found)
    if abs(ahead_s) <= OFFSET_S_MAX:
        return warn("clock", thing, expected, found, advice)
    return fail("clock", thing, expected, found, advice, LATER)


def disk(thing: str, look: DiskLook, reserve_bytes: int, quota_bytes: int) -> list[Finding]:
    """The disk under the data folder."""
    if look.read_only or look.refused:
        found = "mounted read-only" if look.read_only else look.refused
        advice, code = _remedy("" if look.read_only else look.refused)
        return [fail("disk", thing, "a folder that can be written", found, advice, code)]
    return [_space(thing, look.free_bytes, reserve_bytes, quota_bytes), _inodes(thing, look)]


def _remedy(refused: str) -> tuple[str, int]:
    """What helps where a folder cannot be written, and the exit code; "" is a read-only mount."""
    if refused in {"", os.strerror(errno.EROFS), os.strerror(errno.EIO)}:
        worn = "look at `dmesg` for a failing disk; models run on, nothing is kept or updated"
        return worn, LATER
    if refused in {os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT)}:
        return MAKE_ROOM, LATER
    return "give the folder to the gateway's user", SETTING


def _space(thing: str, free_bytes: int, reserve_bytes: int, quota_bytes: int) -> Finding:
    wanted = reserve_bytes + quota_bytes + ROOM_TO_SPARE
    expected = f"{wanted // MIB} MiB free: quotas, reserve and room for releases"
    found = f"{free_bytes // MIB} MiB free"
    if free_bytes <= reserve_bytes:
        return fail("disk", thing, expected, found, MAKE_ROOM, LATER)
    return (
        ok("disk", thing, expected, found)
        if free_bytes >= wanted
        else warn("disk", thing, expected, found, MAKE_ROOM)
    )


def _inodes(thing: str, look: DiskLook) -> Finding:
    expected = f"{INODES_WARN:,} inodes free"
    if look.inodes == 0:
        return ok("disk", thing, expected, "a file system without a limit on them")
    found = f"{look.inodes_free:,} inodes free"
    advice = "find the folder with too many small files: du --inodes -x / | sort -n | tail"
    if look.inodes_free < INODES_MIN:
        return fail("disk", thing, expected, found, advice, LATER)
    return (
        ok("disk", thing, expected, found)
        if look.inodes_free >= INODES_WARN
        else warn("disk", thing, expected, found, advice)
    )


def memory(available_bytes: int) -> Finding:
    """What is left for the daemon and its models."""
    expected = f"{MEMORY_WARN // MIB} MiB available"
    found = f"{available_bytes // MIB} MiB available"
    advice = "see what takes it: systemd-cgtop -m"
    if available_bytes < MEMORY_MIN:
        return fail("memory", "machine", expected, found, advice, LATER)
    if available_bytes < MEMORY_WARN:
        return warn("memory", "machine", expected, found, advice)
    return ok("memory", "machine", expected, found)


def secret(thing: str, look: FileLook) -> Finding:
    """A file with a key, a password or a token: for its owner alone."""
    expected = "mode 0600 or less"
    found = f"mode {look.mode & 0o7777:04o}"
    if look.mode & 0o077:
        return fail("certificate", thing, expected, found, f"chmod 600 {thing}", SETTING)
    return ok("certificate", thing, expected, found)


def certificate(
    thing: str, begins: datetime, ends: datetime, now: datetime, *, renewed: bool = False
) -> Finding:
    """How long a certificate is valid.

    Args:
        thing: which one.
        begins: not valid before.
        ends: not valid after.
        now: the wall clock.
        renewed: the gateway renews it by itself at two thirds of its life.
    """
    again = "enrol again with a new token" if renewed else "replace it before it ends"
    if now < begins:
        return fail(
            "certificate",
            thing,
            f"valid by now ({now:%Y-%m-%d %H:%M})",
            f"valid from {begins:%Y-%m-%d %H:%M} UTC on",
            "if our clock is right it was issued with a wrong one",
            LATER,
        )
    found = f"valid until {ends:%Y-%m-%d %H:%M} UTC"
    if now >= ends:
        return fail(
            "certificate", thing, "a valid one", f"ended {ends:%Y-%m-%d %H:%M} UTC", again, SETTING
        )
    late = (
        begins + (ends - begins) * 0.8
    )  # a renewal that is due at two thirds has failed for long
    limit = late if renewed else ends - timedelta(days=WARN_DAYS)
    expected = "renewed by itself" if renewed else f"valid for {WARN_DAYS} days or more"
    if now >= limit:
        advice = "see why renewal fails: journalctl -u edge-gateway" if renewed else again
        return warn("certificate", thing, expected, found, advice)
    return ok("certificate", thing, expected, found)


def tags(source: str, statuses: dict[str, str]) -> list[Finding]:
    """What a server says of each of a source's tags; "" is Good."""
    expected = f"{len(statuses)} tags readable"
    absent = {role: said for role, said in statuses.items() if said.startswith("BadNodeId")}
    bad = {role: said for role, said in statuses.items() if said and role not in absent}
    found: list[Finding] = []
    if absent:
        words = _listed(absent)
        advice = "find the right addresses: edge-gateway browse"
        found.append(fail("source", source, expected, f"no such node: {words}", advice, SETTING))
    if bad:
        advice = "look at the instrument or the PLC; verdicts wait until the value is good"
        found.append(warn("source", source, expected, f"not good: {_listed(bad)}", advice))
    return found or [ok("source", source, expected, "all of them")]


def channel(source: str, security: str) -> Finding:
    """How well a source's connection to its server is protected, by its policy."""
    expected = "a security policy that is not deprecated"
    if security == "none":
        found = "none: anybody in between can read and change values"
    elif security in OUTDATED:
        found = f"{security}, which rests on SHA-1"
    else:
        return ok("source", source, expected, security)
    advice = "if the server offers a better one, name it as security: aes256sha256rsapss, say"
    return warn("source", source, expected, found, advice)


def contract(thing: str, refusal: str) -> Finding:
    """Whether the tags fulfil the contract of the model that runs; *refusal* is why not."""
    expected = "a tag in a fitting unit for every feature"
    if not refusal:
        return ok("model", thing, expected, "all of them")
    advice = "correct the tag map: edge-gateway map"
    return fail("model", thing, expected, refusal, advice, REFUSED)


def _listed(words: dict[str, str]) -> str:
    shown = [f"{role} ({said})" for role, said in list(words.items())[:8]]
    more = len(words) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
