"""A loopback port that nobody listens on at this moment."""

import socket


def free_port() -> int:
    """The port's number; whoever wants it should take it soon."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port
