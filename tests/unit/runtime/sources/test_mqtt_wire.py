"""The hooks of aiomqtt and paho that reading by ourselves needs: private, pinned, held here."""

import inspect
import re

import aiomqtt
import pytest
from paho.mqtt import client as paho

from edge_runtime.sources.mqtt_wire import Wire

pytestmark = pytest.mark.anyio


def hook(of: type, name: str) -> str:
    """The source of a method that is nobody's business but the library's, and ours."""
    return inspect.getsource(getattr(of, name))


def test_library_reads_by_one_function() -> None:
    """Whatever paho reads, it reads by `_sock_recv`, and takes no bytes where none are left."""
    source = hook(paho.Client, "_packet_read")
    assert source.count("self._sock_recv(") == 3
    assert ".recv(" not in source
    assert source.count("except BlockingIOError") == 3


def test_library_writes_what_waits() -> None:
    """What is put into paho's queue is written in order, whatever kind it says it is."""
    source = hook(paho.Client, "_packet_write")
    assert "self._out_packet.popleft()" in source
    queued = hook(paho.Client, "_packet_queue")
    made = set(re.findall(r'"(\w+)": ', queued))
    assert made == {"command", "mid", "qos", "pos", "to_process", "packet", "info"}


def test_library_opens_sockets_by_a_method() -> None:
    """The library registers its reader in a method that ours follows."""
    assert "self._client.on_socket_open = self._on_socket_open" in inspect.getsource(
        aiomqtt.Client.__init__
    )
    opened = hook(aiomqtt.Client, "_on_socket_open")
    assert "call_soon_threadsafe(self._loop.add_reader" in opened


async def test_nothing_to_read() -> None:
    """A connection that was never made has nothing to read, and says so as the library expects."""
    wire = Wire("127.0.0.1", 1, deliver=print, passed_over=print)
    with pytest.raises(BlockingIOError):
        wire._client._sock_recv(1)  # noqa: SLF001 - the hook itself
