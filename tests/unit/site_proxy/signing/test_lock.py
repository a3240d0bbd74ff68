"""How many wrong PINs are too many, and which PINs nobody may choose."""

import pytest

from edge_site_proxy.signing.lock import LOCKED_S, Lock, easy

LOCKS = {
    "none is locked before a wrong one": (0, 0.0, 0.0),
    "four wrong ones lock nothing": (4, 0.0, 0.0),
    "five lock for a quarter of an hour": (5, 0.0, LOCKED_S),
    "which goes by": (5, 600.0, 300.0),
    "and is over": (5, LOCKED_S, 0.0),
    "and does not go below": (5, 2 * LOCKED_S, 0.0),
    "each further one locks anew": (6, 0.0, LOCKED_S),
}


@pytest.mark.parametrize("row", LOCKS.values(), ids=LOCKS.keys())
def test_locked(row: tuple[int, float, float]) -> None:
    """For how long no PIN is looked at, *later* after the newest wrong one."""
    failures, later, expected = row
    lock = Lock()
    for _ in range(failures):
        lock = lock.failed(1000.0)
    assert lock.failures == failures
    assert lock.left_s(1000.0 + later) == expected


EASY = {"111111": True, "123456": True, "987654": True, "121212": False, "135790": False}


@pytest.mark.parametrize("pin", EASY)
def test_easy(pin: str) -> None:
    """What everybody tries first."""
    assert easy(pin) is EASY[pin]
