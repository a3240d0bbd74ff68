"""What a source should have said, compared with what it said: every value, and every gap exactly.

A plant that counts is known from every number that anybody ever saw. So of what one source gave it
can be told which numbers are missing, and whether the gaps it recorded are where those were.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from edge_core.features.samples import CellQuality
from edge_runtime.sources.sample import TagSample


@dataclass(slots=True)
class Account:
    """How one tag's samples compare with the truth.

    Attributes:
        values: different numbers that came.
        missing: numbers that did not come, by whether a gap says so.
        gaps: recorded, those that turned out to be none left out.
        wrong: what is not as it must be, in words.
    """

    values: int = 0
    missing: int = 0
    gaps: int = 0
    wrong: list[str] = field(default_factory=list)


def account(samples: Sequence[TagSample], truth: Mapping[int, int]) -> Account:
    """Compare the samples of a counting tag with what it counted.

    Args:
        samples: in order of arrival.
        truth: the source time of each number.
    """
    found = Account()
    # A value may come twice, late the second time; order of arrival means nothing.
    ordered = sorted(enumerate(samples), key=lambda each: (each[1].source_ns, each[0]))
    began_ns: int | None = None
    last: TagSample | None = None
    for sample in (each for _, each in ordered):
        if sample.quality is CellQuality.GAP:
            began_ns = sample.source_ns if began_ns is None else began_ns
            continue
        if last is None:
            began_ns, last = None, sample
            continue
        if (
            began_ns is not None
            and sample.value == last.value
            and sample.source_ns == began_ns + 1
        ):
            began_ns = None  # what was true went on: the gap was none
            continue
        _between(found, last, sample, began_ns, truth)
        began_ns, last = None, sample
    if began_ns is not None:
        found.wrong.append(f"a gap from {began_ns} has no end")
    numbers = {int(each.value) for each in samples if each.quality is not CellQuality.GAP}
    found.values = len(numbers)
    return found


def _between(
    found: Account,
    last: TagSample,
    sample: TagSample,
    began_ns: int | None,
    truth: Mapping[int, int],
) -> None:
    lost = [n for n in range(int(last.value) + 1, int(sample.value)) if n in truth]
    found.missing += len(lost)
    if began_ns is None:
        if lost:
            found.wrong.append(f"{lost[0]} to {lost[-1]} are missing and no gap says so")
        return
    found.gaps += 1
    if began_ns <= last.source_ns:
        found.wrong.append(f"a gap begins before {last.value:g}, which came")
    outside = [n for n in lost if not began_ns <= truth[n] < sample.source_ns]
    if outside:
        found.wrong.append(f"{outside[0]} to {outside[-1]} are missing and outside of the gap")


def learnt(truth: dict[int, int], samples: Sequence[TagSample]) -> None:
    """Take note of every number and its time."""
    for sample in samples:
        if sample.quality is not CellQuality.GAP:
            truth.setdefault(int(sample.value), sample.source_ns)


def in_order(samples: Sequence[TagSample]) -> bool:
    """Whether numbers grow with their times."""
    ordered = sorted((each.source_ns, each.value) for each in samples if each.value == each.value)
    return all(a[1] <= b[1] for a, b in pairwise(ordered))
