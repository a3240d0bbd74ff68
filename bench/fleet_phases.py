"""What is done to the daemon, one phase after the other, and what is measured of it.

Each phase gives figures by name; what it needs of the site's state it brings about itself.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec

from bench.fleet_crowd import QUIET_S, Crowd, Gateway, around
from bench.fleet_daemon import own_cpu_s
from bench.fleet_gateway import NEW
from bench.fleet_load import Latencies, percentile, request, spread
from bench.fleet_site import A_CELL, opened
from edge_core import clock
from edge_core.contracts.gateway import HealthWindow, PermitReply, UpdateState
from edge_core.contracts.rollout import RolloutView
from edge_site_proxy.rollout import outlook, planner

PERMITS_A_SECOND: Final = 50
WINDOW_EVERY: Final = 10  # heartbeats to a health window of five minutes
WINDOWS_MAX: Final = 64  # what one heartbeat carries
RUSH: Final = 250  # gateways that act at the same moment where nothing is measured
SWAP_S: Final = 1.0  # how long a gateway takes to go back

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of everything.

    Attributes:
        beat_s: between two heartbeats of one gateway.
        beats_for_s: how long heartbeats are measured.
        permits: asked for, as far as the lines allow.
        windows: health windows that each gateway comes back with after its week.
        batches: of telemetry, likewise.
        reviews: likewise.
    """

    beat_s: float = QUIET_S
    beats_for_s: float = 60.0
    permits: int = 1500
    windows: int = 320
    batches: int = 10
    reviews: int = 2


async def decide(crowd: Crowd) -> Figures:
    """How long the pure decisions take, in this process, on the same state."""
    async with opened(crowd.made) as site:
        world = site.world
        rollout = next(each for each in world.rollouts.values() if each.digest == NEW)
        plan_s = _timed(lambda: planner.prospect(world, rollout))
        last = len(rollout.plan.cohorts) - 1
        header = msgspec.structs.replace(rollout.header, cohort=last)
        begun = msgspec.structs.replace(rollout, header=header)
        tick_s = _timed(lambda: outlook.gates(world, begun))
    return {"plan_s": plan_s, "gate_tick_s": tick_s}


def _timed(act: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    act()
    return round(time.perf_counter() - began_s, 3)


async def reconnect(crowd: Crowd) -> Figures:
    """Everybody connects at the same moment."""
    crowd.renew_links()
    began_s = time.monotonic()
    server_s = crowd.daemon.cpu_s()
    await crowd.connect()
    return {
        "tls_reconnect_s": round(time.monotonic() - began_s, 2),
        "server_cpu_s": round(crowd.daemon.cpu_s() - server_s, 2),
        "broken_off": crowd.reconnects,
    }


async def heartbeat(crowd: Crowd, effort: Effort) -> Figures:
    """Everybody beats, and ships a batch of telemetry with every other beat."""
    taken, loop = Latencies(), asyncio.get_running_loop()
    began_s = loop.time() + 1.0
    until_s = began_s + effort.beats_for_s
    everybody = crowd.everybody()

    async def live(gateway: Gateway, position: int) -> None:
        due_s = began_s + spread(len(everybody), effort.beat_s, position)
        number = position
        while due_s < until_s:
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            health = gateway.box.windows(int(number % WINDOW_EVERY == 0), clock.now())
            woke_s = loop.time()
            reply = await crowd.beat(gateway, health)
            taken.note(due_s, woke_s, loop.time())
            await crowd.follow(gateway, reply)
            if number % 2 == 0:
                await asyncio.sleep(effort.beat_s / 3)
                await crowd.ship(gateway)
            number += 1
            due_s += effort.beat_s

    server_s, client_s = crowd.daemon.cpu_s(), own_cpu_s()
    async with asyncio.TaskGroup() as group:
        for position, gateway in enumerate(everybody):
            group.create_task(live(gateway, position))
    lasted_s = loop.time() - began_s + 1.0
    return {
        "heartbeat_p99_ms": taken.ms(0.99),
        "heartbeat_cores": round((crowd.daemon.cpu_s() - server_s) / lasted_s, 3),
        "p50_ms": taken.ms(0.50),
        "max_ms": taken.ms(1.0),
        "client_late_p99_ms": taken.late_ms(0.99),
        "client_cores": round((own_cpu_s() - client_s) / lasted_s, 3),
        "beats_a_second": round(len(taken.taken_s) / effort.beats_for_s, 1),
    }


async def permit(crowd: Crowd, effort: Effort) -> Figures:
    """Gateways of the cohort that may activate ask, so many a second, each granted on disk."""
    asking = await _may_ask(crowd)
    asking = asking[: effort.permits]
    taken, loop, granted = Latencies(), asyncio.get_running_loop(), 0
    began_s = loop.time() + 0.5

    async def ask(position: int, gateway: Gateway) -> None:
        nonlocal granted
        due_s = began_s + position / PERMITS_A_SECOND
        await asyncio.sleep(max(0.0, due_s - loop.time()))
        woke_s = loop.time()
        body = msgspec.json.encode(gateway.box.permit_request())
        answer = await crowd.send(gateway, request("POST", "/gateway/v1/permit", body))
        taken.note(due_s, woke_s, loop.time())
        granted += msgspec.json.decode(answer.body, type=PermitReply).granted

    server_s = crowd.daemon.cpu_s()
    async with asyncio.TaskGroup() as group:
        for position, gateway in enumerate(asking):
            group.create_task(ask(position, gateway))
    return {
        "permit_p99_ms": taken.ms(0.99),
        "p50_ms": taken.ms(0.50),
        "max_ms": taken.ms(1.0),
        "asked": len(asking),
        "granted": granted,
        "server_cores": round((crowd.daemon.cpu_s() - server_s) / (loop.time() - began_s), 3),
    }


async def _may_ask(crowd: Crowd) -> list[Gateway]:
    """Members of the cohort that activates, of the first cell of each line: all may change."""
    rollout = await _rollout(crowd)
    cohort = next(each for each in rollout.cohorts if each.name == rollout.cohort)
    return [crowd.gateways[serial] for serial in cohort.members if int(serial[-1]) < A_CELL]


async def _rollout(crowd: Crowd) -> RolloutView:
    """The one that brings the new release, as a person sees it."""
    found = msgspec.convert(await crowd.daemon.ask("GET", "/v1/rollouts"), list[RolloutView])
    return next(each for each in found if each.release.digest == NEW)


async def restart(crowd: Crowd) -> Figures:
    """Kill it under load and start it again."""

    async def press(gateway: Gateway) -> None:
        with suppress(OSError):
            while True:
                await crowd.beat(gateway, [])

    async with asyncio.TaskGroup() as group:
        for gateway in crowd.everybody()[:50]:
            group.create_task(press(gateway))
        await asyncio.sleep(2.0)
        await crowd.daemon.kill()
    restart_s = await crowd.daemon.start()
    crowd.renew_links()
    await crowd.connect()
    return {"restart_s": round(restart_s, 2)}


async def rollback(crowd: Crowd, effort: Effort) -> Figures:
    """Everybody runs the new release; then it is ordered back while they live as usual."""

    async def commit(gateway: Gateway) -> None:
        gateway.box.commit(NEW)
        await crowd.follow(gateway, await crowd.beat(gateway, []))

    await crowd.all_at_once(commit, at_once=RUSH)
    rollout, loop = await _rollout(crowd), asyncio.get_running_loop()
    told_s: list[float] = []
    answered_s: list[float] = []
    everybody = crowd.everybody()
    ordered_s = loop.time()

    async def live(gateway: Gateway, position: int) -> None:
        await asyncio.sleep(spread(len(everybody), effort.beat_s, position))
        while True:
            reply = await crowd.beat(gateway, [])
            update = gateway.box.update
            if update is not None and update.state is UpdateState.ROLLED_BACK:
                answered_s.append(loop.time() - ordered_s)
                return
            began_s = loop.time()
            if await crowd.follow(gateway, reply):
                told_s.append(loop.time() - ordered_s)
                await asyncio.sleep(SWAP_S)
            left_s = around(min(reply.come_back_s, effort.beat_s)) - (loop.time() - began_s)
            await asyncio.sleep(max(0.1, left_s))

    server_s = crowd.daemon.cpu_s()
    async with asyncio.TaskGroup() as group:
        for position, gateway in enumerate(everybody):
            group.create_task(live(gateway, position))
        await crowd.daemon.ask(
            "POST", f"/v1/rollouts/{rollout.id}/rollback", {"reason": "it alarms all night"}
        )
        order_took_s = loop.time() - ordered_s
    return {
        "rollback95_s": round(percentile(answered_s, 0.95), 1),
        "told95_s": round(percentile(told_s, 0.95), 1),
        "all_s": round(max(answered_s), 1),
        "order_took_s": round(order_took_s, 2),
        "server_cores": round((crowd.daemon.cpu_s() - server_s) / max(answered_s), 3),
    }


async def storm(crowd: Crowd, effort: Effort) -> Figures:
    """Everybody comes back at the same moment, each with what has piled up."""
    crowd.renew_links()
    crowd.daemon.forget()
    began_s, server_s = time.monotonic(), crowd.daemon.cpu_s()
    heard: list[float] = []
    await crowd.connect()

    async def beats(gateway: Gateway, health: list[HealthWindow]) -> None:
        while True:
            some, health = health[:WINDOWS_MAX], health[WINDOWS_MAX:]
            reply = await crowd.beat(gateway, some)
            assert reply.health_stored == len(some), gateway.box.serial
            heard.append(time.monotonic() - began_s)
            await crowd.follow(gateway, reply)
            if not health:
                return
            await asyncio.sleep(around(min(reply.come_back_s, effort.beat_s)))

    async def ships(gateway: Gateway) -> None:
        for _ in range(effort.batches):
            await crowd.ship(gateway)

    async def shows(gateway: Gateway) -> None:
        for number in range(effort.reviews):
            await crowd.show(gateway, number)

    async def back(gateway: Gateway) -> None:
        gateway.box.restart()
        gateway.batches = 0
        health = gateway.box.windows(effort.windows, clock.now())
        async with asyncio.TaskGroup() as group:
            group.create_task(beats(gateway, health))
            group.create_task(ships(gateway))
            group.create_task(shows(gateway))

    await crowd.all_at_once(back)
    storm_s = time.monotonic() - began_s
    windows = effort.windows * len(crowd.gateways)
    return {
        "storm_s": round(storm_s, 1),
        "first_heard_all_s": round(sorted(heard)[len(crowd.gateways) - 1], 1),
        "windows_a_second": round(windows / storm_s),
        "rss_mb_most": round(crowd.daemon.rss_mb, 1),
        "server_cores": round((crowd.daemon.cpu_s() - server_s) / storm_s, 3),
        "told_to_wait": crowd.retries,
    }


Phase = Callable[[], Awaitable[Figures]]
