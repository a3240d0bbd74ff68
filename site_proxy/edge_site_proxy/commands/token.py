"""`site-proxy token`: a one-time token for one gateway, or the end of all its certificates."""

import argparse
import datetime as dt

from edge_core import clock
from edge_core.command import emit, tell
from edge_core.contracts.errors import NotFoundError, UsageError
from edge_core.contracts.plant import Inventory
from edge_site_proxy import config
from edge_site_proxy.audit.export import open_read_only
from edge_site_proxy.commands.words import say
from edge_site_proxy.fleet.places import standing_now
from edge_site_proxy.identity import drops
from edge_site_proxy.paths import StatePaths
from edge_site_proxy.rollout import tables


def body(chosen: argparse.Namespace) -> int:
    """Leave a token, or a revocation, for the daemon.

    Raises:
        NotFoundError: the inventory has no such gateway.
        UsageError: a revocation without a reason.
    """
    settings = config.load(chosen.config)
    inventory = config.load_inventory(settings.inventory, settings.site)
    if chosen.serial not in _serials(inventory, StatePaths(settings.directory)):
        raise NotFoundError(
            f"gateway {chosen.serial}: expected a serial of {settings.inventory}, found none such"
        )
    paths = StatePaths(settings.directory)
    paths.make()
    return _revoke(chosen, paths) if chosen.revoke else _make(chosen, paths)


def _serials(inventory: Inventory, paths: StatePaths) -> set[str]:
    """Who stands in the plant, those among them that replaced another since it was written."""
    retired = {}
    if paths.database.exists():
        retired = tables.load_retired(open_read_only(paths.database))
    now = standing_now(inventory, retired)
    # A gateway that was retired may still have a certificate to revoke.
    return {place.serial for place in (*inventory.gateways, *now.gateways)}


def _make(chosen: argparse.Namespace, paths: StatePaths) -> int:
    life = dt.timedelta(hours=chosen.hours)
    token, drop = drops.make_token(chosen.serial, now=clock.now(), life=life)
    drops.put(paths.drops, drop)
    if chosen.json:
        emit({"serial": chosen.serial, "token": token, "expires": drop.expires})
    else:
        say(token)
    tell("site-proxy", f"good once, for {chosen.serial}, until {drop.expires:%Y-%m-%d %H:%M} UTC")
    return 0


def _revoke(chosen: argparse.Namespace, paths: StatePaths) -> int:
    if not chosen.reason:
        raise UsageError("token --revoke: expected --reason TEXT, found none")
    drops.put(paths.drops, drops.RevokeDrop(serial=chosen.serial, reason=chosen.reason))
    if chosen.json:
        emit({"serial": chosen.serial, "revoked": True})
    tell("site-proxy", f"certificates of {chosen.serial} are revoked once the daemon has seen it")
    return 0
