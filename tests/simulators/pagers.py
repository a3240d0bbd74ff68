"""Somebody's pager: a server that remembers what came, and answers as told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Heard:
    """One request."""

    path: str
    headers: dict[str, str]
    body: Any  # Any: JSON


@dataclass
class Pagers:
    """The server; `mute` makes it take requests and never answer."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)
    mute: bool = False

    async def take(self, request: web.Request) -> web.Response:
        """One request."""
        self.heard.append(Heard(request.path, dict(request.headers), await request.json()))
        if self.mute:
            await asyncio.Event().wait()
        return self.answers.pop(0) if self.answers else web.Response(status=202)

    def on(self, path: str) -> list[Heard]:
        """What came on one path."""
        return [each for each in self.heard if each.path == path]


@asynccontextmanager
async def pagers() -> AsyncIterator[Pagers]:
    """A server on a free port."""
    made = Pagers()
    app = web.Application()
    app.router.add_post("/{rest:.*}", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()
