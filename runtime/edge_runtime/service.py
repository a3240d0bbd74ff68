"""Speaks with systemd, which starts, watches and ends the daemon (sd_notify(3)).

READY is said when the pipeline has gone round once, and never before. A sign of life is sent only
when the pipeline has gone on since the last one: a loop that turns while no window can be judged
is not alive, and systemd then ends it and starts another.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

import structlog

log = structlog.get_logger(__name__)

LOOKS_A_WATCHDOG: Final = 4  # so that one late look is no death
READY_LOOK_S: Final = 0.05
STATUS_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Notifier:
    """Where notifications go; without an address nobody listens and nothing is sent.

    Attributes:
        address: a Unix datagram socket; an abstract one begins with @.
        watchdog_s: how long systemd waits for a sign of life, None if it does not wait.
    """

    address: str | None = None
    watchdog_s: float | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str], pid: int) -> Self:
        """What systemd has told this process in its environment."""
        usec = environment.get("WATCHDOG_USEC", "")
        # The variables are inherited; the watchdog is meant for the process it names.
        ours = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        watched = ours and usec.isdecimal() and int(usec) > 0
        return cls(environment.get("NOTIFY_SOCKET") or None, int(usec) / 1e6 if watched else None)

    def ready(self, status: str) -> None:
        """The daemon works."""
        self._send(f"READY=1\n{_status(status)}")

    def alive(self, status: str) -> None:
        """A sign of life; one that does not arrive is followed by others, and needs no word."""
        self._send(f"WATCHDOG=1\n{_status(status)}", tells=False)

    def reloading(self, monotonic_s: float) -> None:
        """The configuration is being read again; `ready` ends that."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic_s * 1e6)}")

    def stopping(self) -> None:
        """The daemon is about to end."""
        self._send("STOPPING=1")

    def _send(self, state: str, *, tells: bool = True) -> None:
        if self.address is None:
            return
        name = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ours:
                ours.sendto(state.encode(), name)
        except OSError as error:
            if tells:
                log.warning("notify.failed", reason=str(error))


def _status(words: str) -> str:
    return "STATUS=" + " ".join(words.split())[:STATUS_CHARS_MAX]


async def keep_alive(
    notifier: Notifier, beats: Callable[[], int], status: Callable[[], str]
) -> None:
    """Say READY at the first beat, and then that we live as long as there are more, for ever.

    Args:
        notifier: hears it.
        beats: how often the pipeline has gone on since the start.
        status: one line for `systemctl status`.
    """
    while (seen := beats()) == 0:  # noqa: ASYNC110 - the pipeline counts and signals nobody
        await asyncio.sleep(READY_LOOK_S)
    notifier.ready(status())
    log.info("gateway.ready")
    if notifier.watchdog_s is None:
        return
    withheld = False
    while True:
        await asyncio.sleep(notifier.watchdog_s / LOOKS_A_WATCHDOG)
        seen, before = beats(), seen
        if seen != before:
            withheld = False
            notifier.alive(status())
        elif not withheld:
            withheld = True
            log.error("watchdog.withheld", reason="the pipeline does not go on", beats=seen)
