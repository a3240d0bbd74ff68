"""`edge-gateway doctor`: examines everything that a gateway needs, and says what to do."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from edge_core.command import tell
from edge_runtime.broker import BrokerConfig
from edge_runtime.commands.names import PROGRAM
from edge_runtime.commands.output import flush, json_line, say
from edge_runtime.config import Config, load
from edge_runtime.doctor import local, pictures, reach
from edge_runtime.doctor.finding import Finding, Level, exit_code
from edge_runtime.frames.config import FramesConfig
from edge_runtime.sources.opcua_config import OpcUaConfig

WIDTHS: Final = (6, 13)


def doctor(arguments: argparse.Namespace) -> int:
    """Examine; 0 if nothing fails, else the code of what must be put right first."""
    config = load(arguments.config)
    findings = asyncio.run(examined(config, dials=not arguments.local))
    code = exit_code(findings)
    if arguments.json:
        json_line({"serial": config.serial, "exit_code": code, "findings": findings})
    else:
        for finding in findings:
            for line in _lines(finding):
                say(line)
        flush()
    counts = {level: sum(each.level is level for each in findings) for level in Level}
    words = ", ".join(f"{count} {level}" for level, count in counts.items())
    tell(PROGRAM, f"{config.serial}: {words}")
    return code


async def examined(config: Config, *, dials: bool = True) -> list[Finding]:
    """Everything, in the order in which one would put it right."""
    from edge_runtime.folders import Folders  # noqa: PLC0415 - needs the daemon's libraries

    now, identity = datetime.now(UTC), Folders(config.data).identity
    found = [
        *local.machine(config, now),
        *local.files(config, now),
        *local.identity(config, identity, now),
        local.trust(config),
        *local.model(config),
        *(
            pictures.local(part)
            for _, part in local.parts(config)
            if isinstance(part, FramesConfig)
        ),
    ]
    if dials:
        found += await _dialled(config, identity)
    return [*found, *await asyncio.to_thread(lambda: list(local.daemon(config)))]


async def _dialled(config: Config, identity: Path) -> list[Finding]:
    """Everybody at once, since each may take its time to be absent."""
    looks: list[Callable[[], Awaitable[list[Finding]]]] = [partial(_site, config, identity)]
    for key, part in local.parts(config):
        if isinstance(part, OpcUaConfig):
            looks.append(partial(_source, config, part))
        elif isinstance(part, BrokerConfig):
            looks.append(partial(_broker, key, part))
        elif isinstance(part, FramesConfig):
            looks.append(partial(pictures.camera, part))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_of(look)) for look in looks]
    return [finding for task in tasks for finding in task.result()]


async def _of(look: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    return await look()


async def _source(config: Config, source: OpcUaConfig) -> list[Finding]:
    tags = [tag for tag in config.tags if tag.source == source.name]
    return await reach.source(source, tags, lambda: datetime.now(UTC))


async def _broker(name: str, config: BrokerConfig) -> list[Finding]:
    return [await reach.broker(name, config)]


async def _site(config: Config, identity: Path) -> list[Finding]:
    return [finding async for finding in reach.site(config, identity)]


def _lines(finding: Finding) -> list[str]:
    level, check = finding.level.value.ljust(WIDTHS[0]), finding.check.ljust(WIDTHS[1])
    if finding.level is Level.OK:
        return [f"{level}{check}{finding.thing}: {finding.found}"]
    return [
        f"{level}{check}{finding.thing}: expected {finding.expected}; found {finding.found}",
        f"{'':{sum(WIDTHS)}}-> {finding.advice}",
    ]
