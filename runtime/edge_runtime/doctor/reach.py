"""Dials everything that this gateway speaks to, once: servers, brokers, the site."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edge_core.contracts.errors import EdgeError
from edge_runtime.broker import BrokerConfig, dial
from edge_runtime.commission.connect import Connection, connected, plainly
from edge_runtime.config import Config, ProxyConfig, TagConfig
from edge_runtime.doctor import judge
from edge_runtime.doctor.finding import UNREACHABLE, Finding, fail, ok
from edge_runtime.identity import IdentityFolder, client_context
from edge_runtime.site import connect
from edge_runtime.sources.opcua_config import OpcUaConfig
from edge_runtime.sources.opcua_tags import node_text

REACH_S: Final = 15.0  # for one of them, whatever it is
HEADER_BYTES_MAX: Final = 16 * 1024
CURRENT_TIME: Final = "i=2258"  # what the server's own clock says (OPC 10000-5, 6.3.3)


async def source(
    config: OpcUaConfig, tags: list[TagConfig], now: Callable[[], datetime]
) -> list[Finding]:
    """One OPC UA server: in, every tag read, its clock beside ours."""
    expected = "a session, every tag readable"
    try:
        async with asyncio.timeout(REACH_S), connected(config) as server:
            with plainly(config.url, server.ua):
                statuses, theirs = await _read(server, tags)
                ours = now()
    except (EdgeError, TimeoutError) as error:
        advice = "try it by hand: edge-gateway browse --config FILE --source " + config.name
        return [_failed("source", config.name, expected, error, advice)]
    found = [judge.channel(config.name, config.security), *judge.tags(config.name, statuses)]
    if theirs is not None:
        found.append(judge.offset(f"source {config.name}", (theirs - ours).total_seconds()))
    return found


async def _read(
    server: Connection, tags: list[TagConfig]
) -> tuple[dict[str, str], datetime | None]:
    ua = server.ua
    wanted = ua.ReadParameters()
    nodes = [node_text(tag, server.namespaces) for tag in tags]
    for text in (*nodes, CURRENT_TIME):
        each = ua.ReadValueId()
        each.NodeId, each.AttributeId = ua.NodeId.from_string(text), ua.AttributeIds.Value
        wanted.NodesToRead.append(each)
    *answers, clock = await server.session.read(wanted)
    statuses = {
        tag.role: "" if answer.StatusCode.is_good() else str(answer.StatusCode.name)
        for tag, answer in zip(tags, answers, strict=True)
    }
    value = None if clock.Value is None else clock.Value.Value
    return statuses, value.replace(tzinfo=UTC) if isinstance(value, datetime) else None


async def broker(name: str, config: BrokerConfig) -> Finding:
    """One MQTT broker: in and out again."""
    import aiomqtt  # noqa: PLC0415 - a gateway without MQTT never loads it

    thing, expected = f"{name} {config.host}:{config.port}", "a connection"
    advice = "see that the broker runs, listens there, and knows our user or certificate"
    try:
        async with asyncio.timeout(REACH_S), dial(config):
            return ok("broker", thing, expected, "connected")
    except (EdgeError, TimeoutError, aiomqtt.MqttError) as error:
        return _failed("broker", thing, expected, error, advice)


async def site(config: Config, identity: Path) -> AsyncIterator[Finding]:
    """The site proxy: its enrolment port, its clock, and the gateway API if we may use it."""
    theirs = await _enrolment(config.proxy)
    for each in theirs:
        yield each
    ours = IdentityFolder(identity, config.serial)
    if not ours.enrolled():
        return
    expected = "our desired state"
    try:
        async with asyncio.timeout(REACH_S), connect(config.proxy, ours) as client:
            desired = await client.desired()
    except (EdgeError, TimeoutError) as error:
        advice = "models run without it; see that the site proxy runs and knows this gateway"
        yield _failed("site", config.proxy.url, expected, error, advice)
    else:
        yield ok("site", config.proxy.url, expected, f"generation {desired.generation}")


async def _enrolment(config: ProxyConfig) -> list[Finding]:
    where = urlsplit(config.enrol_url)
    expected = "TLS 1.3 with a certificate of proxy.ca"
    try:
        tls = client_context(config.ca, None)
        async with asyncio.timeout(REACH_S):
            head = await _head(where.hostname or "", where.port or 443, tls)
    except (EdgeError, TimeoutError, OSError) as error:
        advice = "see that the site proxy runs, the port is open, and proxy.ca is the site's"
        return [_failed("site", config.enrol_url, expected, error, advice)]
    found = [ok("site", config.enrol_url, expected, "just that")]
    at = _date(head)
    if at is not None:
        found.append(judge.offset("site", (at - datetime.now(UTC)).total_seconds()))
    return found


async def _head(host: str, port: int, tls: ssl.SSLContext) -> bytes:
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        writer.write(f"HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return await reader.read(HEADER_BYTES_MAX)
    finally:
        writer.transport.abort()


def _date(head: bytes) -> datetime | None:
    """What an answer says the time is (RFC 9110, 6.6.1), to the second."""
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "date":
            try:
                return parsedate_to_datetime(value.strip()).astimezone(UTC)
            except ValueError:
                return None
    return None


def _failed(check: str, thing: str, expected: str, error: Exception, advice: str) -> Finding:
    words = str(error) or f"nothing within {REACH_S:g} s"
    code = error.exit_code if isinstance(error, EdgeError) else UNREACHABLE
    return fail(check, thing, expected, words, advice, code)
