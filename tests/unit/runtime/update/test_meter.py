"""A gateway asks before it downloads, keeps to what it was given, and to the rate."""

import pytest

from edge_core.contracts.gateway import Assignment, PullReply, PullRequest
from edge_runtime.errors import DownloadDeferredError
from edge_runtime.update.meter import SiteMeter
from tests.unit.runtime.update.made import release

pytestmark = pytest.mark.anyio
ASSIGNMENT = Assignment(release=release("2.0.0"), attempt=3, rollout="r", metered=True)


class Given:
    """A site with answers ready, and a clock that only sleeping moves."""

    def __init__(self, *replies: PullReply) -> None:
        self.replies = list(replies)
        self.asked: list[PullRequest] = []
        self.now_s = 100.0
        self.slept: list[float] = []
        self.meter = SiteMeter(self.pull, ASSIGNMENT, lambda: self.now_s, self.sleep)

    async def pull(self, request: PullRequest) -> PullReply:
        """The next answer."""
        self.asked.append(request)
        return self.replies.pop(0)

    async def sleep(self, seconds: float) -> None:
        """Turn the clock."""
        self.slept.append(seconds)
        self.now_s += seconds


def yes(count: int, rate: float = 0.0) -> PullReply:
    """So many bytes."""
    return PullReply(granted=True, bytes=count, rate_bytes_s=rate)


async def test_asks_once_a_token() -> None:
    """It asks for what is missing, and again when the token is used up."""
    site = Given(yes(100), yes(50))
    assert await site.meter.allow(500) == 100
    await site.meter.took(60)
    assert await site.meter.allow(440) == 40
    assert await site.meter.allow(10) == 10
    await site.meter.took(40)
    assert await site.meter.allow(400) == 50
    assert [each.bytes_missing for each in site.asked] == [500, 400]
    assert {(each.digest, each.attempt) for each in site.asked} == {(ASSIGNMENT.release.digest, 3)}
    assert site.slept == []


REFUSALS = {
    "not now": PullReply(granted=False, reason="all places are taken", retry_after_s=7.0),
    "a yes without bytes is a no": PullReply(granted=True, reason="nothing", retry_after_s=7.0),
}


@pytest.mark.parametrize("reply", REFUSALS.values(), ids=REFUSALS.keys())
async def test_refused(reply: PullReply) -> None:
    """A no says why, and when to ask again."""
    with pytest.raises(DownloadDeferredError, match=reply.reason) as caught:
        await Given(reply).meter.allow(1)
    assert caught.value.retry_after_s == 7.0


async def test_keeps_to_the_rate() -> None:
    """Bytes that came faster than the rate are waited for; slower ones are not made up for."""
    site = Given(yes(1000, rate=100.0))
    await site.meter.allow(1000)
    await site.meter.took(200)
    assert site.slept == [2.0]
    await site.meter.took(50)
    assert site.slept == [2.0, 0.5]
    site.now_s += 60.0
    await site.meter.took(100)
    assert site.slept[-1] == 1.0


async def test_the_slowest_rate_and_the_last_byte() -> None:
    """From the first instant of a clock, down to one byte a second."""
    site = Given(yes(3, rate=1.0), yes(5))
    site.now_s = 0.0
    assert await site.meter.allow(10) == 3
    await site.meter.took(2)
    assert site.slept == [2.0]
    assert await site.meter.allow(8) == 1
    await site.meter.took(1)
    assert site.slept == [2.0, 1.0]
    assert await site.meter.allow(7) == 5
    await site.meter.took(5)
    assert len(site.slept) == 2
