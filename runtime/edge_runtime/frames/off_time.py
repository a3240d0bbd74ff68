"""Whether a picture is of now: who uploads yesterday's shows nothing of the line today. Pure.

A picture may bear our own clock or the plant's, and must be near one of them. Where ours is known
to be wrong and no tag tells the plant's, nobody can say, and the picture counts.
"""

from edge_runtime.clock import OFF_TIME_NS, SECOND_NS


def off_time(source_ns: int, wall_ns: int, plant_ns: int | None, *, trusted: bool) -> str:
    """What is wrong with a picture of that time, in words; empty where nothing is.

    Args:
        source_ns: when it was taken, as it says.
        wall_ns: our wall clock.
        plant_ns: the plant's clock as its tags have it, None where there are none.
        trusted: whether our wall clock is synchronised.
    """
    apart_ns = [source_ns - clock_ns for clock_ns in (wall_ns, plant_ns) if clock_ns is not None]
    nearest_ns = min(apart_ns, key=abs)
    if abs(nearest_ns) <= OFF_TIME_NS or (plant_ns is None and not trusted):
        return ""
    how = "behind" if nearest_ns < 0 else "ahead"
    return f"source time is not of now: {abs(nearest_ns) / SECOND_NS:.0f} s {how}"
