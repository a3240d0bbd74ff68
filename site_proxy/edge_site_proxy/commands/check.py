"""`site-proxy check-config FILE`: what would stop the daemon, before it is restarted."""

import argparse

from edge_core.command import emit, tell
from edge_core.trust import Trust
from edge_site_proxy import config, outbound
from edge_site_proxy.config import OtlpUpstream, PagerDutyPages, Pages, RegistrySource
from edge_site_proxy.identity.files import IdentityFiles
from edge_site_proxy.rollout.policies import check_plans, check_policy
from edge_site_proxy.rollout.windows import check_zones


def body(chosen: argparse.Namespace) -> int:
    """Read the configuration and every file that it names.

    Raises:
        ConfigurationError: the first thing that is wrong.
    """
    settings = config.load(chosen.file)
    inventory = config.load_inventory(settings.inventory, settings.site)
    IdentityFiles(settings.identity.directory).authority()
    check_policy(settings.rollout.policy)
    check_zones(settings.rollout.downloads.shift)
    upstream = settings.telemetry.upstream
    if isinstance(upstream, OtlpUpstream):
        _check_upstream(upstream)
    for pages in settings.pages:
        _check_pages(pages)
    if settings.mirror is not None:
        trust = Trust.load(settings.mirror.trust_policy)
        trust.rule(settings.mirror.stage, settings.mirror.safety_class)
        check_plans(settings.rollout.policy, trust)
        if isinstance(settings.mirror.source, RegistrySource):
            _check_upstream(settings.mirror.source)
    if chosen.json:
        emit({"ok": True, "site": settings.site, "gateways": len(inventory.gateways)})
    tell("site-proxy", f"{chosen.file}: good; {len(inventory.gateways)} gateways")
    return 0


def _check_upstream(upstream: OtlpUpstream | RegistrySource) -> None:
    outbound.tls(upstream.ca, upstream.certificate)
    outbound.authorization(upstream.authorization)


def _check_pages(pages: Pages) -> None:
    if isinstance(pages, PagerDutyPages):
        outbound.tls(pages.ca, None)
        outbound.secret(pages.routing_key)
    else:
        outbound.tls(pages.ca, pages.certificate)
        outbound.authorization(pages.authorization)
