"""One site proxy and 5,000 gateways: heartbeats, permits, a week away, a rollback, a crash.

    python -m bench.fleet [--quick] [--only PHASE ...] [--keep FOLDER]

The daemon is `site-proxy run` in a process of its own, with its own certificates, an inventory of
500 lines, a rollout under way and a log of a million entries on disk. The gateways are this
process: real mutual TLS, 5,000 certificates, latency from the moment a request was due. Both share
the machine's cores, so what the table calls client time is missing for the server.
"""

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog
import uvloop

from bench import fleet_phases as phases
from bench.fleet_crowd import Crowd, Gateway
from bench.fleet_daemon import Daemon
from bench.fleet_gateway import Box
from bench.fleet_phases import Effort, Figures, Phase
from bench.fleet_site import SiteFolder, make, opened, seed
from bench.report import report, table

SCRATCH: Final = Path("/var/tmp")  # noqa: S108 - must be on a disk, which /tmp need not be
GOALS: Final = {
    "heartbeat_p99_ms": 50.0,
    "heartbeat_cores": 1.0,
    "permit_p99_ms": 100.0,
    "storm_s": 300.0,
    "tls_reconnect_s": 15.0,
    "rss_mb": 400.0,
    "restart_s": 5.0,
    "plan_s": 2.0,
    "gate_tick_s": 1.0,
    "rollback95_s": 60.0,
}
NAMES: Final = ("decide", "reconnect", "heartbeat", "permit", "restart", "rollback", "storm")
FULL: Final = (5000, 1_000_000, Effort())
QUICK: Final = (
    200,
    20_000,
    Effort(beat_s=1.2, beats_for_s=6.0, permits=100, windows=128, batches=5, reviews=1),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, and end with the JSON line."""
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 gateways, under 40 s")
    parser.add_argument(
        "--only", choices=NAMES, action="append", help="repeatable; all by default"
    )
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help="folder to write in")
    parser.add_argument("--keep", type=Path, help="where a made site lies, or is to be left")
    chosen = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    gateways, leaves, effort = QUICK if chosen.quick else FULL
    with tempfile.TemporaryDirectory(dir=chosen.scratch) as name:
        made, boxes = _site(Path(name), chosen.keep, gateways, leaves)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            figures = runner.run(measure(made, boxes, effort, chosen.only or NAMES))
    tell(figures)


def _site(
    scratch: Path, keep: Path | None, gateways: int, leaves: int
) -> tuple[SiteFolder, dict[str, Box]]:
    """The site on disk, in *scratch*: made now, or taken from where it was left."""
    folder, began_s = scratch / "site", time.monotonic()
    if keep is not None and keep.exists():
        shutil.copytree(keep, folder)
    else:
        made = make(folder, gateways)
        asyncio.run(_seeded(made, leaves))
        if keep is not None:
            shutil.copytree(folder, keep)
    boxes = SiteFolder(folder).boxes()
    for box in boxes.values():
        box.restart()
    print(f"a site of {len(boxes)} gateways after {time.monotonic() - began_s:.0f} s", flush=True)
    return SiteFolder(folder), boxes


async def _seeded(made: SiteFolder, leaves: int) -> None:
    async with opened(made) as site:
        boxes = {each.serial: Box(each.serial) for each in site.world.plant.inventory.gateways}
        await seed(site, boxes, leaves)
        made.keep(boxes)


async def measure(
    made: SiteFolder, boxes: dict[str, Box], effort: Effort, chosen: Sequence[str]
) -> dict[str, Figures]:
    """Every chosen phase, in the order of `NAMES`."""
    daemon = Daemon(made)
    crowd = Crowd(made, daemon, {serial: Gateway(box) for serial, box in boxes.items()})
    found: dict[str, Figures] = {}
    if "decide" in chosen:
        found["decide"] = await phases.decide(crowd)
    every: dict[str, Phase] = {
        "reconnect": lambda: phases.reconnect(crowd),
        "heartbeat": lambda: phases.heartbeat(crowd, effort),
        "permit": lambda: phases.permit(crowd, effort),
        "restart": lambda: phases.restart(crowd),
        "rollback": lambda: phases.rollback(crowd, effort),
        "storm": lambda: phases.storm(crowd, effort),
    }
    wanted = [name for name in NAMES if name in chosen and name in every]
    if not wanted:
        return found
    await daemon.start()
    try:
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(daemon.watch())
            crowd.renew_links()
            await crowd.connect()
            for name in wanted:
                daemon.forget()
                found[name] = await every[name]()
                found[name] |= {"rss_mb": round(daemon.rss_mb, 1)}
                print(name, found[name], flush=True)
            watch.cancel()
    finally:
        await daemon.kill()
    assert not crowd.refused, crowd.refused[:5]
    return found


def tell(found: dict[str, Figures]) -> None:
    """For people, and the JSON line."""
    flat = {name: value for figures in found.values() for name, value in figures.items()}
    usual = [found[name]["rss_mb"] for name in ("heartbeat", "permit") if name in found]
    if usual:
        flat["rss_mb"] = max(usual)
    rows = [
        (name, flat[name], f"<= {goal:g}", "yes" if flat[name] <= goal else "NO")
        for name, goal in GOALS.items()
        if name in flat
    ]
    table("goals", ("", "measured", "goal", "met"), rows)
    beside = [
        (phase, name, value)
        for phase, figures in found.items()
        for name, value in figures.items()
        if name not in GOALS or name == "rss_mb"
    ]
    table("beside them", ("phase", "figure", "value"), beside)
    report("fleet", {name: flat[name] for name in GOALS if name in flat}, {}, {})


if __name__ == "__main__":
    main()
