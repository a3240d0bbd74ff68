"""All bodies together stay within their bound, and nothing that is let go of stays counted."""

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.api.bodies import Bodies

SIZES = st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=60)


@given(SIZES)
def test_within_the_bound(pieces: list[tuple[int, bool]]) -> None:
    """Whatever comes and goes, what is held is what was taken and not given back."""
    bodies, taken = Bodies(100), list[int]()
    for size, leaves in pieces:
        fits = sum(taken) + size <= 100
        assert bodies.fits(size) is fits
        assert bodies.take(size) is fits
        taken += [size] * fits
        if leaves and taken:
            bodies.give(taken.pop(0))
        assert bodies.held == sum(taken) <= 100
