"""Looks at this machine and its files: clock, disk, memory, secrets, certificates, model."""

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from msgspec import Struct

from edge_core.clock import quality
from edge_core.contracts.errors import EdgeError, RefusedError
from edge_core.features.contract import fit_check
from edge_core.trust.policy import Trust
from edge_runtime.commission.contracts import contract_at
from edge_runtime.config import Config
from edge_runtime.control import StatusAsked, ask
from edge_runtime.doctor import judge
from edge_runtime.doctor.finding import SETTING, Finding, fail, ok, warn
from edge_runtime.errors import DaemonAbsentError
from edge_runtime.identity import IdentityFolder, client_context
from edge_runtime.startup import refusal
from edge_runtime.update.store import RecordStore

CERTIFICATE_BYTES_MAX: Final = 1024 * 1024
MEMORY: Final = Path("/proc/meminfo")
_SECRETS: Final = frozenset({"key", "password", "user_key", "token"})
_CERTIFICATES: Final = frozenset({"certificate", "server_certificate", "user_certificate", "ca"})


def machine(config: Config, now: datetime) -> Iterator[Finding]:
    """Clock, disk and memory."""
    yield judge.clock(quality(), now)
    quota = config.disk.outbox_bytes_max
    yield from judge.disk(str(config.data), _disk(config.data), config.disk.reserve_bytes, quota)
    yield judge.memory(_available_bytes())


def files(config: Config, now: datetime) -> Iterator[Finding]:
    """Every file that is named: certificates by their dates, secrets by their mode."""
    for owner, part in parts(config):
        for field in part.__struct_fields__:
            path = getattr(part, field)
            if not isinstance(path, Path):
                continue
            if field in _SECRETS and not (field == "token" and not path.exists()):
                yield _secret(f"{owner}.{field}", path)
            elif field in _CERTIFICATES:
                yield from _certificates(f"{owner}.{field}", path, now)


def parts(whole: Struct, above: str = "") -> Iterator[tuple[str, Struct]]:
    """Every table of a configuration with its key; one of a list goes by its name."""
    for field in whole.__struct_fields__:
        value = getattr(whole, field)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Struct):
                name = getattr(each, "name", None)
                key = f"{above}{field}" if name is None else f"{above}{field}.{name}"
                yield key, each
                yield from parts(each, f"{key}.")


def identity(config: Config, folder: Path, now: datetime) -> Iterator[Finding]:
    """Who this gateway is to its site."""
    ours = IdentityFolder(folder, config.serial)
    if not ours.enrolled():
        token = config.proxy.token
        if token is None or not token.is_file():
            yield fail(
                "identity",
                config.serial,
                "a certificate, or a token to get one",
                "neither",
                "at the site proxy: site-proxy token --serial "
                f"{config.serial}; name its file in proxy.token",
                SETTING,
            )
        else:
            yield warn(
                "identity",
                config.serial,
                "a certificate",
                "a token that has not been spent",
                "edge-gateway enrol, or start the daemon, which does it",
            )
        return
    yield _of_identity(_secret(str(ours.current), ours.current))
    try:
        found = ours.certificate()
        client_context(config.proxy.ca, ours.current)
    except EdgeError as error:
        yield _failed("identity", config.serial, "our key and certificate", error)
        return
    begins, ends = found.not_valid_before_utc, found.not_valid_after_utc
    yield _of_identity(judge.certificate(str(ours.current), begins, ends, now, renewed=True))


def trust(config: Config) -> Finding:
    """The policy, and whether it has a rule for what this gateway is."""
    expected = f"a rule for stage {config.stage}, safety class {config.safety_class}"
    try:
        loaded = Trust.load(config.trust_policy)
        rule = loaded.rule(config.stage, config.safety_class)
    except EdgeError as error:
        return _failed("trust", str(config.trust_policy), expected, error)
    keys = f"{rule.threshold} of {len(rule.keys)} keys" if rule.keys else "keyless identities"
    return ok("trust", str(config.trust_policy), expected, keys)


def model(config: Config) -> Iterator[Finding]:
    """Whether the tags fit what runs here, if anything does."""
    if not (config.data / "record").is_dir():
        return
    try:
        committed = RecordStore(config.data / "record").record.slots.committed
        if committed is None:
            return
        found = contract_at(config.data, committed)
    except EdgeError as error:
        yield _failed("model", str(config.data), "a contract that can be read", error)
        return
    try:
        fit_check(found.signature, config.units)
    except RefusedError as error:
        yield judge.contract(found.name, str(error))
    else:
        yield judge.contract(found.name, "")


def daemon(config: Config) -> Iterator[Finding]:
    """Whether it runs, and what it complains about."""
    try:
        answer = ask(config.socket, StatusAsked())
    except DaemonAbsentError as error:
        yield warn(
            "daemon",
            str(config.socket),
            "an answer",
            str(error),
            "systemctl start edge-gateway, and journalctl -u edge-gateway if it does not stay",
        )
        return
    inputs = [each["words"] for each in answer.body.get("bad_inputs") or []]
    faults = [*(answer.body.get("faults") or []), *inputs]
    if not faults:
        yield ok("daemon", str(config.socket), "an answer, no faults", "just that")
    for fault in faults:
        yield warn("daemon", str(config.socket), "no faults", str(fault), "see the fault's words")


def _of_identity(finding: Finding) -> Finding:
    return msgspec.structs.replace(finding, check="identity")


def _failed(check: str, thing: str, expected: str, error: EdgeError) -> Finding:
    advice = "correct what is named, then look again"
    return fail(check, thing, expected, str(error), advice, error.exit_code)


def _disk(folder: Path) -> judge.DiskLook:
    below = next(each for each in (folder, *folder.parents) if each.exists())
    found = os.statvfs(below)
    return judge.DiskLook(
        refused=refusal(below),
        read_only=bool(found.f_flag & os.ST_RDONLY),
        free_bytes=found.f_bavail * found.f_frsize,
        inodes=found.f_files,
        inodes_free=found.f_favail,
    )


def _available_bytes() -> int:
    """What the kernel thinks can be had without swapping (proc_meminfo(5))."""
    for line in MEMORY.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return 0


def _secret(thing: str, path: Path) -> Finding:
    try:
        found = path.stat()
    except OSError as error:
        return _unreadable(thing, path, error)
    return judge.secret(str(path), judge.FileLook(mode=found.st_mode, uid=found.st_uid))


def _certificates(thing: str, path: Path, now: datetime) -> Iterator[Finding]:
    try:
        with path.open("rb") as file:
            raw = file.read(CERTIFICATE_BYTES_MAX)
    except OSError as error:
        yield _unreadable(thing, path, error)
        return
    read: Callable[[bytes], list[x509.Certificate]] = (
        x509.load_pem_x509_certificates
        if b"-----BEGIN" in raw
        else lambda der: [x509.load_der_x509_certificate(der)]
    )
    try:
        found = read(raw)
    except ValueError as error:
        yield fail("certificate", str(path), "a certificate", str(error), f"see {thing}", SETTING)
        return
    for each in found:
        begins, ends = each.not_valid_before_utc, each.not_valid_after_utc
        yield judge.certificate(str(path), begins, ends, now)


def _unreadable(thing: str, path: Path, error: OSError) -> Finding:
    found = error.strerror or str(error)
    advice = f"put the file there, or correct {thing}"
    return fail("certificate", str(path), "a file we can read", found, advice, SETTING)
