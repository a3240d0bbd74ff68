"""`site-proxy page-test`: one page to each receiver, to see that somebody is called."""

import argparse
import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from edge_core import clock
from edge_core.command import emit, tell
from edge_core.contracts.api import AlarmState, AlarmView, Priority
from edge_core.contracts.errors import NotFoundError, UnreachableError
from edge_site_proxy import config, outbound
from edge_site_proxy.alarms.errors import PageDelayedError
from edge_site_proxy.alarms.pages.alertmanager import AlertsWire
from edge_site_proxy.alarms.pages.say import Page, Verb
from edge_site_proxy.config import Pages

_HOLD: Final = timedelta(minutes=1)  # a test alert ends by itself after that


def body(chosen: argparse.Namespace) -> int:
    """Send a page that says it is a test; where a receiver can be told, it is resolved at once.

    Raises:
        ConfigurationError: the configuration, or a file that it names.
        NotFoundError: there is no such receiver, or none at all.
        UnreachableError: one of them did not take it; all were tried.
    """
    settings = config.load(chosen.config)
    wanted = [each for each in settings.pages if chosen.receiver in {None, each.name}]
    if not wanted:
        names = ", ".join(each.name for each in settings.pages) or "none"
        raise NotFoundError(
            f"{chosen.config}: expected a receiver {chosen.receiver or 'in [[pages]]'}, "
            f"found {names}"
        )
    answers = asyncio.run(_send(wanted, settings.site))
    if chosen.json:
        emit({"receivers": answers})
    for name, answer in answers.items():
        tell("site-proxy", f"{name}: {answer}")
    failed = sorted(name for name, answer in answers.items() if answer != "taken")
    if failed:
        raise UnreachableError(f"page-test: expected every page taken, not by {', '.join(failed)}")
    return 0


async def _send(wanted: list[Pages], site: str) -> dict[str, str]:
    alarm = _alarm(site, clock.now())
    answers: dict[str, str] = {}
    for receiver in wanted:
        async with outbound.session(receiver.proxy) as http:
            wire = outbound.wire_of(receiver, http, site, clock.now)
            try:
                if isinstance(wire, AlertsWire):
                    await _short(wire).show([alarm], alarm.raised)
                else:
                    page = Page(alarm, (), alarm.raised)
                    await wire.send(Verb.TRIGGER, page, 1)
                    if Verb.RESOLVE in wire.speaks:
                        await wire.send(Verb.RESOLVE, page, 1)
            except PageDelayedError as error:
                answers[receiver.name] = str(error)
            else:
                answers[receiver.name] = "taken"
    return answers


def _short(wire: AlertsWire) -> AlertsWire:
    return replace(wire, showing=replace(wire.showing, hold=_HOLD))


def _alarm(site: str, now: datetime) -> AlarmView:
    """An alarm about nothing; its number is the time, so that no two tests are one page."""
    return AlarmView(
        id=int(now.timestamp()),
        priority=Priority.P1,
        state=AlarmState.UNACK,
        source="site/page-test",
        what=f"test page of {site}: nothing is wrong",
        consequence="none; somebody wants to see that pages arrive",
        runbook="pages",
        raised=now,
        changed=now,
        kind="EdgePageTest",
        group="site/page-test",
    )
