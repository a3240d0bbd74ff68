"""OPC UA servers of two makes with everything that a source may ask of one, and who signs in."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_fixtures.certificates import issue
from edge_runtime.config import TagConfig
from edge_runtime.sources.opcua import OpcUaSource
from edge_runtime.sources.opcua_config import OpcUaConfig
from tests.real.other_make import other_make_program
from tests.simulators.opcua_field import SERVER_URI, URI
from tests.simulators.ports import free_port
from tests.simulators.programs import Program
from tests.simulators.recorder import Recorder

OUR_URI = "urn:edge-mlops:gateway"
USER_URI = "urn:edge-mlops:user"


@dataclass(frozen=True, slots=True)
class Served:
    """A server, its certificate, ours with its key, and those of a user that it knows."""

    program: Program
    path: str
    namespace: str
    certificate: Path
    ours: tuple[Path, Path]
    user: tuple[Path, Path]

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self.program.port is not None
        return self.program.port

    def config(self, port: int = 0, /, **more: object) -> OpcUaConfig:
        """A source of it, perhaps by way of another port; *more* are other fields."""
        usual: dict[str, object] = {
            "name": "plc",
            "url": f"opc.tcp://127.0.0.1:{port or self.port}/{self.path}",
            "publishing_s": 0.05,
            "silence_s": 1.0,
            "queue": 1000,
            "retry_s": 0.1,
            "answer_s": 5.0,
        }
        return OpcUaConfig(**{**usual, **more})  # type: ignore[arg-type]  # fields of any type

    def secure(self, policy: str, port: int = 0, /, **more: object) -> OpcUaConfig:
        """The same with a policy and the server's certificate pinned."""
        files: dict[str, object] = {"certificate": self.ours[0], "key": self.ours[1]}
        if "trust" not in more:
            files["server_certificate"] = self.certificate
        return self.config(port, security=policy, **{**files, **more})

    def tag(self, role: str, unit: str = "1", **more: object) -> TagConfig:
        """A tag of the source `plc`, by the server's own name."""
        usual: dict[str, object] = {"address": f"nsu={self.namespace};s={role}"}
        return TagConfig(role=role, unit=unit, source="plc", **{**usual, **more})  # type: ignore[arg-type]  # fields of any type


@contextmanager
def asyncua_served(folder: Path) -> Iterator[Served]:
    """Asyncua's server, in a process of its own."""
    port, now = free_port(), datetime.now(UTC)
    pair = issue(folder, "server", SERVER_URI, now)
    ours, user = issue(folder, "ours", OUR_URI, now), issue(folder, "user", USER_URI, now)
    command: list[str | Path] = [sys.executable, "-m", "tests.simulators.opcua_field"]
    command += [str(port), *pair, ours[0], user[0]]
    with Program(command, folder / "said", port) as program:
        yield Served(program, "field", URI, pair[0], ours, user)


@contextmanager
def node_served(folder: Path) -> Iterator[Served]:
    """node-opcua's server; see `other_make_program`."""
    now, users = datetime.now(UTC), folder / "users/trusted/certs"
    ours, user = issue(folder, "ours", OUR_URI, now), issue(folder, "user", USER_URI, now)
    users.mkdir(parents=True)
    (users / user[0].name).write_bytes(user[0].read_bytes())
    with other_make_program(folder) as program:
        certificate = folder / "pki/own/certs/certificate.pem"
        yield Served(program, "other", "urn:another:make", certificate, ours, user)


MAKES = {"asyncua": asyncua_served, "node-opcua": node_served}


@contextmanager
def makes_served(folder: Path) -> Iterator[Callable[[str], Served]]:
    """Gives a server by its make; each is started when it is first asked for, and once."""
    started: dict[str, Served] = {}
    with ExitStack() as stack:

        def served(make: str) -> Served:
            if make not in started:
                (folder / make).mkdir()
                started[make] = stack.enter_context(MAKES[make](folder / make))
            return started[make]

        yield served


@asynccontextmanager
async def reading(
    config: OpcUaConfig, tags: Sequence[TagConfig]
) -> AsyncIterator[tuple[Recorder, OpcUaSource]]:
    """A source that reads as long as the context lasts, and what comes of it."""
    got = Recorder([each.role for each in tags])
    source = OpcUaSource(config, tags, got.take, monotonic=time.monotonic, unix_ns=time.time_ns)
    with got.listening():
        async with asyncio.TaskGroup() as group:
            task = group.create_task(source.run())
            try:
                yield got, source
            finally:
                task.cancel()
