"""An OPC UA server that replays, since no server in Python sends as fast as we must read.

It is asyncua's server, but publish requests are answered with data changes that were encoded
before: at once, or in time with a plant that samples each tag a hundred times a second.

    python -m bench.opcua_replay PORT TAGS {flood|paced} [CERTIFICATE KEY]
"""

import asyncio
import logging
import struct
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.server.internal_session import InternalSession
from asyncua.server.server import Server
from asyncua.server.uaprocessor import UaProcessor

URI = "urn:edge-mlops:replay"
PUBLISH_REQUEST = 826
TICKS_1970 = 116_444_736_000_000_000
SAMPLES_A_SECOND = 100
BEAT_S = 0.05
MASK = 0x0D  # value, source time, server time
ITEM = np.dtype(
    [
        ("handle", "<u4"),
        ("mask", "u1"),
        ("kind", "u1"),
        ("value", "<f8"),
        ("source", "<i8"),
        ("server", "<i8"),
    ]
)


class Replay:
    """What is sent, and to whom.

    Attributes:
        handles: what clients called their items, by subscription.
    """

    def __init__(self, *, paced: bool) -> None:
        self.paced = paced
        self.handles: dict[int, list[int]] = {}
        self._sequences: dict[int, int] = {}
        self._waiting: deque[tuple[Any, int, int, int]] = deque()
        self._ready: deque[bytes] = deque()
        self._bodies: dict[int, bytes] = {}

    def asked(self, processor: Any, request: int, handle: int) -> None:
        """A publish request has come."""
        if not self.handles:
            return
        subscription = max(self.handles)
        if self.paced:
            self._waiting.append((processor, request, handle, subscription))
            self._send_ready()
        else:
            self._answer(processor, request, handle, subscription, self._flood(subscription))

    def _flood(self, subscription: int) -> bytes:
        body = self._bodies.get(subscription)
        if body is None:
            body = notification(self.handles[subscription], [1.0], [time.time_ns()])
            self._bodies[subscription] = body
        return body

    async def beat(self) -> None:
        """Make what the plant has sampled since the last time."""
        sampled, began_ns, began_s = 0, 0, 0.0
        while True:
            await asyncio.sleep(BEAT_S)
            if not self._waiting and not sampled:
                began_ns, began_s = time.time_ns(), time.monotonic()
                continue
            due = int((time.monotonic() - began_s) * SAMPLES_A_SECOND)
            numbers = range(sampled, due)
            sampled = due
            times = [began_ns + number * 1_000_000_000 // SAMPLES_A_SECOND for number in numbers]
            handles = self.handles[max(self.handles)]
            self._ready.append(notification(handles, [float(each) for each in numbers], times))
            self._send_ready()

    def _send_ready(self) -> None:
        while self._ready and self._waiting:
            self._answer(*self._waiting.popleft(), self._ready.popleft())

    def _answer(
        self, processor: Any, request: int, handle: int, subscription: int, body: bytes
    ) -> None:
        sequence = self._sequences.get(subscription, 0) + 1
        self._sequences[subscription] = sequence
        ticks = time.time_ns() // 100 + TICKS_1970
        head = struct.pack("<BBHqIIBiBBB", 1, 0, 829, ticks, handle, 0, 0, -1, 0, 0, 0)
        head += struct.pack("<IiBIq", subscription, 0, 0, sequence, ticks)
        message = head + body + struct.pack("<ii", -1, -1)
        connection = processor._connection  # noqa: SLF001 - the server's own encoder is what is spared
        data = connection.message_to_binary(
            message, message_type=ua.MessageType.SecureMessage, request_id=request
        )
        processor._transport.write(data)  # noqa: SLF001 - likewise


def notification(handles: Sequence[int], values: Sequence[float], times: Sequence[int]) -> bytes:
    """One data change notification: each value of every handle, in order of time."""
    items = np.zeros(len(handles) * len(values), ITEM)
    items["handle"] = np.tile(np.array(handles, np.uint32), len(values))
    items["mask"], items["kind"] = MASK, ua.VariantType.Double.value
    items["value"] = np.repeat(np.array(values, np.float64), len(handles))
    ticks = np.array(times, np.int64) // 100 + TICKS_1970
    items["source"] = items["server"] = np.repeat(ticks, len(handles))
    inner = struct.pack("<i", len(items)) + items.tobytes() + struct.pack("<i", -1)
    return struct.pack("<iBBHBi", 1, 1, 0, 811, 1, len(inner)) + inner


def replayed(replay: Replay) -> None:
    """Put *replay* in the place of the server's own publishing."""
    process: Any = UaProcessor._process_message  # noqa: SLF001 - see above
    create: Any = InternalSession.create_monitored_items

    async def message(self: Any, typeid: Any, header: Any, sequence: Any, body: Any) -> Any:
        if typeid.Identifier != PUBLISH_REQUEST:
            return await process(self, typeid, header, sequence, body)
        replay.asked(self, sequence.RequestId, header.RequestHandle)
        return True

    async def created(self: Any, params: Any, *more: Any) -> Any:
        wanted = [each.RequestedParameters.ClientHandle for each in params.ItemsToCreate]
        replay.handles.setdefault(params.SubscriptionId, []).extend(wanted)
        return await create(self, params, *more)

    UaProcessor._process_message = message  # type: ignore[method-assign]  # noqa: SLF001 - see above
    InternalSession.create_monitored_items = created  # type: ignore[method-assign]  # see above


async def serve(port: int, tags: int, files: Sequence[Path], *, paced: bool) -> None:
    """Serve until killed."""
    replay = Replay(paced=paced)
    replayed(replay)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/replay")
    policies = [ua.SecurityPolicyType.NoSecurity]
    if files:
        await server.load_certificate(files[0])
        await server.load_private_key(files[1])
        policies.append(ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt)
    server.set_security_policy(policies)
    index = await server.register_namespace(URI)
    for number in range(tags):
        node = ua.NodeId(ua.String(f"t{number}"), ua.Int16(index))
        await server.nodes.objects.add_variable(node, f"{index}:t{number}", 0.0)
    async with server:
        await replay.beat()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(
        serve(
            int(sys.argv[1]),
            int(sys.argv[2]),
            [Path(each) for each in sys.argv[4:]],
            paced=sys.argv[3] == "paced",
        )
    )
