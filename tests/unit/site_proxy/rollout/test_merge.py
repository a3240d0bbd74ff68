"""What is believed of a gateway does not depend on how its reports arrived (S14)."""

from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.gateway import (
    Outcome,
    References,
    StatusReport,
    UpdateReport,
    UpdateState,
)
from edge_core.contracts.plant import ClockQuality
from edge_site_proxy.fleet.sightings import Sighting, merge, sighted

DIGESTS = ["sha256:" + character * 64 for character in "abc"]


@st.composite
def reports(draw: st.DrawFn) -> StatusReport:
    """Reports of one gateway over three starts; some numbers come twice with other contents."""
    digest = draw(st.sampled_from(DIGESTS))
    update = draw(
        st.none()
        | st.builds(
            UpdateReport,
            digest=st.just(digest),
            attempt=st.integers(1, 2),
            state=st.sampled_from(UpdateState),
            outcome=st.sampled_from(Outcome),
            veto=st.none() | st.sampled_from(["smoke", "nan"]),
        )
    )
    return StatusReport(
        serial="g1",
        boot_epoch=draw(st.integers(1, 3)),
        sequence=draw(st.integers(1, 4)),
        software="test",
        clock=ClockQuality(synchronised=True, error_max_us=0),
        references=References(committed=draw(st.none() | st.sampled_from(DIGESTS))),
        effective=draw(st.none() | st.sampled_from(DIGESTS)),
        running=None,
        update=update,
    )


def believed(said: list[StatusReport]) -> Sighting | None:
    """The merge of *said*, in that order."""
    found = None
    for report in said:
        found = merge(found, sighted(report))
    return found


@given(st.lists(reports(), max_size=8), st.randoms(use_true_random=False))
def test_any_order_and_any_repeat(said: list[StatusReport], random: object) -> None:
    """Reports shuffled and doubled end in the same belief."""
    again = [*said, *said]
    random.shuffle(again)  # type: ignore[attr-defined]  # a random.Random, which Hypothesis hides
    assert believed(again) == believed(said)


@given(reports(), reports(), reports())
def test_grouping_does_not_matter(
    one: StatusReport, two: StatusReport, three: StatusReport
) -> None:
    """Beliefs can be merged with each other, as after a failover."""
    a, b, c = sighted(one), sighted(two), sighted(three)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


def test_an_old_report_does_not_bring_back_a_trial() -> None:
    """A TRIAL that arrives after COMMITTED changes nothing."""
    base = {
        "serial": "g1",
        "boot_epoch": 1,
        "software": "t",
        "clock": ClockQuality(synchronised=True, error_max_us=0),
        "references": References(),
        "effective": None,
        "running": None,
    }
    trial = StatusReport(
        **base,  # type: ignore[arg-type]  # keywords of many types
        sequence=5,
        update=UpdateReport(digest=DIGESTS[0], attempt=1, state=UpdateState.TRIAL),
    )
    done = StatusReport(
        **base,  # type: ignore[arg-type]  # keywords of many types
        sequence=6,
        update=UpdateReport(digest=DIGESTS[0], attempt=1, state=UpdateState.COMMITTED),
    )
    found = believed([done, trial])
    assert found is not None
    update = found.update(DIGESTS[0])
    assert update is not None
    assert update.state is UpdateState.COMMITTED
    assert not found.flying(DIGESTS[0])
