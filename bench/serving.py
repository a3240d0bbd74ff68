"""What an inference costs a local client, against Triton and MLServer with the same model.

The bytes are tritonclient's own, sent over kept connections by a loop that does nothing else,
since the client itself would be what is measured. All servers run at once and take turns, so that
all see the same machine. Then tritonclient itself asks each. Meanwhile our own server scores
windows as a line would have them: what clients do to those is told too.

    python -m bench.serving [--quick]
"""

import argparse
import json
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray

from bench.report import report, table
from bench.serving_peers import (
    Command,
    PeerMissingError,
    bodies,
    mlserver,
    through_client,
    triton,
)
from tests.simulators.good_models import cnn, reference_scores
from tests.simulators.ports import free_port

START_S = 90.0
HOST = "127.0.0.1"
CLIENTS = (1, 32)


@dataclass(frozen=True, slots=True)
class Effort:
    """How long each part runs."""

    rounds: int
    seconds: float
    through_client: int


FULL = Effort(rounds=15, seconds=1.0, through_client=500)
QUICK = Effort(rounds=6, seconds=0.4, through_client=60)


@dataclass(slots=True)
class Server:
    """One that runs, the forms it understands, and what was found of it.

    Attributes:
        rates: requests a second of each round, by form and clients.
        taken: milliseconds of each request, likewise.
    """

    name: str
    port: int
    forms: list[str] = field(default_factory=list)
    rates: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    taken: dict[tuple[str, int], list[float]] = field(default_factory=dict)

    def rate(self, form: str, clients: int) -> float | None:
        """The middle round's."""
        found = self.rates.get((form, clients))
        return None if not found else float(np.median(found))


def main() -> None:
    """Run, print, and end with the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    effort = QUICK if parser.parse_args().quick else FULL
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        window = np.random.default_rng(3).normal(size=(1, 8, 128)).astype(np.float32)
        np.save(folder / "window.npy", window)
        (folder / "model.onnx").write_bytes(cnn().content)
        asked = bodies(folder)
        servers, missing = start(folder, stack)
        for server in servers:
            server.forms = [form for form in asked if answers(server, asked[form], window)]
        busy = compare(servers, asked, effort)
        direct = clients_own(folder, servers, effort)
        stack.close()
        windows = waited(folder, busy)
    tell(servers, missing, direct, windows)


def start(folder: Path, stack: ExitStack) -> tuple[list[Server], dict[str, str]]:
    """All servers that can be had, ready, and why the others cannot."""
    servers: list[Server] = []
    missing: dict[str, str] = {}
    makers: dict[str, Callable[[Path, int], Command]] = {
        "here": ours,
        "mlserver": mlserver,
        "triton": triton,
    }
    for name, make in makers.items():
        port = free_port()
        try:
            stack.enter_context(running(make(folder, port), folder / f"{name}.log", port))
        except PeerMissingError as error:
            missing[name] = str(error)
            print(f"{name} cannot be had: {error}", file=sys.stderr)
        else:
            servers.append(Server(name, port))
    return servers, missing


def ours(folder: Path, port: int) -> Command:
    """Our own."""
    words: list[str | Path] = [sys.executable, "-m", "bench.serving_here", folder, str(port)]
    return Command(words, Path.cwd())


@contextmanager
def running(command: Command, log: Path, port: int) -> Iterator[None]:
    """The server, from ready to ended.

    Raises:
        PeerMissingError: it does not come up; with its last words.
    """
    with log.open("wb") as said:
        process = subprocess.Popen(
            command.words, cwd=command.folder, stdout=said, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + START_S
        while not up(port):
            if process.poll() is not None or time.monotonic() > deadline:
                words = log.read_text(errors="replace").strip()[-300:]
                raise PeerMissingError(f"does not come up: {words}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def up(port: int) -> bool:
    """Whether the model is ready."""
    try:
        with urlopen(f"http://{HOST}:{port}/v2/models/cnn/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def request(body: bytes, header_length: int | None) -> bytes:
    """As tritonclient sends it."""
    lines = [
        "POST /v2/models/cnn/infer HTTP/1.1",
        f"Host: {HOST}",
        "Connection: keep-alive",
        f"Content-Length: {len(body)}",
    ]
    if header_length is not None:
        lines.append(f"Inference-Header-Content-Length: {header_length}")
    return "\r\n".join([*lines, "\r\n"]).encode() + body


def answers(server: Server, asked: tuple[bytes, int | None], window: NDArray[np.float32]) -> bool:
    """Whether the server understands this form and gives the scores that onnx itself gives."""
    wanted = np.array(reference_scores(cnn(), window))
    with socket.create_connection((HOST, server.port), timeout=10) as link:
        link.sendall(request(*asked))
        head, body = whole(link)
    if not head.startswith(b"HTTP/1.1 200"):
        words = body[:80]
        print(
            f"{server.name} refuses {'binary' if asked[1] else 'JSON'}: {words!r}", file=sys.stderr
        )
        return False
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
    length = int(fields.get(b"inference-header-content-length", len(body)))
    output = json.loads(body[:length])["outputs"][0]
    tail = body[length:]
    found = np.frombuffer(tail, np.float32) if tail else np.array(output["data"], np.float32)
    assert np.allclose(found.ravel(), wanted.ravel(), atol=1e-5), server.name
    return True


def whole(link: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of one answer."""
    found = b""
    while True:
        end = found.find(b"\r\n\r\n")
        if end >= 0 and len(found) >= end + 4 + length_of(found, end):
            return found[:end], found[end + 4 :]
        part = link.recv(65536)
        assert part, "the server has left"
        found += part


def length_of(answer: bytes, end: int) -> int:
    """How long the body behind this head is."""
    head = answer[:end].lower() + b"\r\n"
    at = head.index(b"\r\ncontent-length:") + 17
    return int(head[at : head.index(b"\r", at)])


def load(port: int, message: bytes, clients: int, seconds: float) -> tuple[float, list[float]]:
    """Ask with so many clients for so long: requests a second, and milliseconds of each."""
    links = {}
    poll = select.epoll()
    for _ in range(clients):
        link = socket.create_connection((HOST, port), timeout=10)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        links[link.fileno()] = link
        poll.register(link.fileno(), select.EPOLLIN)
    taken: list[float] = []
    parts: dict[int, bytes] = {}
    began: dict[int, float] = {}
    start_s = time.perf_counter()
    for number, link in links.items():
        began[number] = time.perf_counter()
        link.sendall(message)
    while time.perf_counter() - start_s < seconds:
        for number, _ in poll.poll(5):
            found = parts.pop(number, b"") + links[number].recv(65536)
            end = found.find(b"\r\n\r\n")
            if end < 0 or len(found) < end + 4 + length_of(found, end):
                assert found, "the server has left"
                parts[number] = found
                continue
            assert found.startswith(b"HTTP/1.1 200"), found[:200]
            now_s = time.perf_counter()
            taken.append((now_s - began[number]) * 1e3)
            began[number] = now_s
            links[number].sendall(message)
    elapsed_s = time.perf_counter() - start_s
    for link in links.values():
        link.close()
    poll.close()
    return len(taken) / elapsed_s, taken


def compare(
    servers: Sequence[Server], asked: dict[str, tuple[bytes, int | None]], effort: Effort
) -> list[tuple[float, float]]:
    """Let all servers take turns; when ours was busy, on the monotonic clock."""
    busy: list[tuple[float, float]] = []
    for server in servers:  # nobody's first requests count
        for form in server.forms:
            load(server.port, request(*asked[form]), 4, effort.seconds / 4)
    for _ in range(effort.rounds):
        for form, body in asked.items():
            for clients in CLIENTS:
                for server in servers:
                    if form not in server.forms:
                        continue
                    began = time.monotonic()
                    rate, taken = load(server.port, request(*body), clients, effort.seconds)
                    if server.name == "here":
                        busy.append((began, time.monotonic()))
                    server.rates.setdefault((form, clients), []).append(rate)
                    server.taken.setdefault((form, clients), []).extend(taken)
    return busy


def clients_own(
    folder: Path, servers: Sequence[Server], effort: Effort
) -> dict[tuple[str, str], float | None]:
    """The middle milliseconds through tritonclient itself, by server and form."""
    found: dict[tuple[str, str], float | None] = {}
    for server in servers:
        for form in ("binary", "json"):
            try:
                taken = through_client(folder, server.port, form, effort.through_client)
                found[server.name, form] = round(float(np.median(taken)), 3)
            except PeerMissingError as error:
                print(f"{server.name}: {form} through tritonclient: {error}", file=sys.stderr)
                found[server.name, form] = None
    return found


def waited(folder: Path, busy: Sequence[tuple[float, float]]) -> dict[str, float]:
    """What windows took while clients asked, and while none did; microseconds."""
    at, taken = np.loadtxt(folder / "windows").T
    during = np.zeros(len(at), bool)
    for began, ended in busy:
        during |= (at >= began) & (at <= ended)
    return {
        f"window_{name}_{share}_us": round(float(np.percentile(taken[which], percent)), 0)
        for name, which in (("alone", ~during), ("beside_clients", during))
        for share, percent in (("p50", 50), ("p99", 99))
    }


def tell(
    servers: Sequence[Server],
    missing: dict[str, str],
    direct: dict[tuple[str, str], float | None],
    windows: dict[str, float],
) -> None:
    """The tables, and the last line."""
    rows = [
        [
            f"{server.name} {form} x{clients}",
            f"{np.median(rates):.0f}",
            f"{np.percentile(server.taken[form, clients], 50):.2f}",
            f"{np.percentile(server.taken[form, clients], 99):.2f}",
        ]
        for server in servers
        for (form, clients), rates in server.rates.items()
    ]
    table("servers", ["who", "requests/s", "p50 ms", "p99 ms"], rows)
    table(
        "through tritonclient",
        ["who", "p50 ms"],
        [[f"{name} {form}", taken or "fails"] for (name, form), taken in direct.items()],
    )
    table("windows beside", ["what", "us"], [[name, found] for name, found in windows.items()])
    by_name = {server.name: server for server in servers}
    here = by_name["here"]

    def against(peer: str, form: str, clients: int) -> float | None:
        theirs = by_name[peer].rate(form, clients) if peer in by_name else None
        own = here.rate(form, clients)
        return None if theirs is None or own is None else round(own / theirs, 2)

    def figures(name: str) -> dict[str, object]:
        found: dict[str, object] = {
            f"{form}_c{clients}_per_s": round(float(np.median(rates)))
            for (form, clients), rates in by_name[name].rates.items()
        }
        found |= {
            f"{form}_tritonclient_p50_ms": taken
            for (who, form), taken in direct.items()
            if who == name
        }
        return found

    report(
        "serving",
        {**figures("here"), **windows},
        {
            name: figures(name) if name in by_name else missing[name]
            for name in ("mlserver", "triton")
        },
        {
            "binary_c1_vs_triton": against("triton", "binary", 1),
            "binary_c32_vs_triton": against("triton", "binary", 32),
            "json_c1_vs_mlserver": against("mlserver", "json", 1),
            "json_c32_vs_mlserver": against("mlserver", "json", 32),
        },
    )


if __name__ == "__main__":
    main()
