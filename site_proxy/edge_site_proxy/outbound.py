"""The way out: an HTTP session, and the upstreams that the configuration names."""

import ssl
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp

from edge_core.contracts.errors import ConfigurationError, UnreachableError
from edge_core.oci import Layout, Registry, Source
from edge_site_proxy.alarms.pages.alertmanager import AlertsWire, Showing
from edge_site_proxy.alarms.pages.pagerduty import PagerDuty
from edge_site_proxy.alarms.pages.webhook import Webhook
from edge_site_proxy.alarms.pages.wire import Post
from edge_site_proxy.config import (
    AlertmanagerPages,
    FolderUpstream,
    LayoutSource,
    OtlpUpstream,
    PagerDutyPages,
    Pages,
    RegistrySource,
)
from edge_site_proxy.identity.files import check_private
from edge_site_proxy.telemetry.folder_sink import FolderSink
from edge_site_proxy.telemetry.http_sink import HttpSink
from edge_site_proxy.telemetry.sink import Sink

_CONNECT_S = 20.0
_SILENCE_S = 60.0  # a transfer may take hours, but never stand still for that long


def session(proxy: str | None = None) -> aiohttp.ClientSession:
    """A session for what goes upstream; the environment's proxies do not count, *proxy* does."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
    return aiohttp.ClientSession(timeout=timeout, proxy=proxy)


def sink_of(
    upstream: FolderUpstream | OtlpUpstream,
    http: aiohttp.ClientSession,
    now: Callable[[], datetime],
) -> Sink:
    """Where telemetry goes.

    Raises:
        ConfigurationError: a TLS or credentials file is not what it should be.
    """
    if isinstance(upstream, FolderUpstream):
        return FolderSink(upstream.directory)
    return HttpSink(
        http,
        upstream.url,
        now=now,
        ssl=tls(upstream.ca, upstream.certificate),
        authorization=authorization(upstream.authorization),
    )


def source_of(
    source: LayoutSource | RegistrySource, http: aiohttp.ClientSession
) -> Callable[[], Source]:
    """Opens the upstream of releases, afresh at each call.

    Raises:
        ConfigurationError: a TLS or credentials file is not what it should be.
    """
    if isinstance(source, LayoutSource):
        return lambda: _layout(source.directory)
    registry = Registry(
        http,
        source.url,
        source.repository,
        ssl=tls(source.ca, source.certificate),
        authorization=authorization(source.authorization),
    )
    return lambda: registry


def _layout(directory: Path) -> Layout:
    if not directory.is_dir():
        raise UnreachableError(f"{directory}: expected an image layout, found no such folder")
    return Layout.open(directory)


def wire_of(
    pages: Pages, http: aiohttp.ClientSession, site: str, now: Callable[[], datetime]
) -> Webhook | PagerDuty | AlertsWire:
    """The way to one receiver of pages.

    Raises:
        ConfigurationError: a TLS or credentials file is not what it should be.
    """
    if isinstance(pages, PagerDutyPages):
        post = Post(http, now, tls(pages.ca, None))
        return PagerDuty(post, pages.url, site, secret(pages.routing_key))
    post = Post(http, now, tls(pages.ca, pages.certificate), authorization(pages.authorization))
    if isinstance(pages, AlertmanagerPages):
        resend, hold = timedelta(seconds=pages.resend_s), timedelta(seconds=pages.hold_s)
        return AlertsWire(post, pages.url, Showing(site, resend, hold))
    return Webhook(post, pages.url, site, resolve=pages.resolve)


def tls(ca: Path | None, certificate: Path | None) -> ssl.SSLContext | None:
    """Trust in *ca*, and a client *certificate* with its key in one PEM; None for the usual.

    Raises:
        ConfigurationError: a file is not what it should be.
    """
    if ca is None and certificate is None:
        return None
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
        if certificate is not None:
            check_private(certificate)
            context.load_cert_chain(certificate)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"upstream TLS {ca or 'system CAs'}, {certificate or 'no certificate'}: expected PEM "
            f"files, found: {error}"
        ) from None
    return context


def authorization(path: Path | None) -> Callable[[], str] | None:
    """Gives the header's value from the file at *path*, read each time so that it may change.

    Raises:
        ConfigurationError: the file is missing, or others can read it.
    """
    return None if path is None else secret(path)


def secret(path: Path) -> Callable[[], str]:
    """Gives what is in the file at *path*, read each time so that it may change.

    Raises:
        ConfigurationError: the file is missing, or others can read it.
    """
    check_private(path)
    return lambda: path.read_text("ascii").strip()
