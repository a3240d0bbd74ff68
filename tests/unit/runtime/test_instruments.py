"""When a bad tag is a case for the instrument workshop, and how often that is said."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.contracts.gateway import BAD_INPUTS_MAX, BadInput
from edge_runtime.instruments import Instruments, InstrumentWatch, is_input, told_of
from edge_runtime.route import Route
from edge_runtime.scoring import Scored
from edge_runtime.verdict import Verdict
from tests.simulators.models import loaded
from tests.unit.runtime.test_scoring import cut

AT = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
NOTHING = Verdict(
    serial="gw-1", epoch=1, window=1, started=AT, ended=AT, decided=False, label=None
)
MANY = {f"t{number}": "bad status" for number in range(BAD_INPUTS_MAX + 1)}


@dataclass(frozen=True)
class Case:
    """Windows, so many seconds after the first, with what was bad in each; what is told last."""

    windows: list[tuple[float, dict[str, str]]]
    told: dict[str, str]
    stride_s: float = 8.0


def frozen(cause: str = "value frozen", at: str = "04:00:00") -> dict[str, str]:
    """What is said of the pressure."""
    return {
        "input pressure": f"pressure: {cause} since 2026-11-22T{at}Z, no verdict until it is "
        "good: check the instrument"
    }


P = {"pressure": "value frozen"}
CASES = {
    "all good: nothing": Case([(0, {}), (600, {})], {}),
    "one bad window: nothing": Case([(0, P)], {}),
    "bad for not quite a minute: nothing": Case([(0, P), (59.9, P)], {}),
    "bad for a minute: told": Case([(0, P), (60, P)], frozen()),
    "good again: no longer told": Case([(0, P), (60, P), (68, {})], {}),
    "good for one window: its minute begins anew": Case([(0, P), (52, {}), (56, P), (112, P)], {}),
    "slow windows: told after two of them": Case([(0, P), (600, P)], frozen(), stride_s=300),
    "slow windows: not after one and a half": Case([(0, P), (599, P)], {}, stride_s=300),
    "another cause by then: that one": Case(
        [(0, {"pressure": "nothing recent arrived"}), (60, {"pressure": "bad status"})],
        frozen("nothing recent arrived"),
    ),
    "another cause before: that one": Case(
        [(0, P), (30, {"pressure": "bad status"}), (60, P)], frozen("bad status")
    ),
    "another tag is bad too, for less: only the first": Case(
        [(0, P), (30, P | {"flow": "bad status"}), (60, P | {"flow": "bad status"})], frozen()
    ),
    "as many as are told one by one": Case(
        [(0, dict(list(MANY.items())[1:])), (60, dict(list(MANY.items())[1:]))],
        {
            f"input {tag}": f"{tag}: bad status since 2026-11-22T04:00:00Z, no verdict until it "
            "is good: check the instrument"
            for tag in list(MANY)[1:]
        },
    ),
    "more than that: one, which counts them": Case(
        [(0, MANY), (60, MANY)],
        {
            "input": "6 tags (t0, t1, t2, t3, t4, t5): bad status since 2026-11-22T04:00:00Z, no "
            "verdict until they are good: check what they have in common"
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_instruments(name: str) -> None:
    """Each row says when somebody is told."""
    case, watched = CASES[name], Instruments()
    told: dict[str, str] = {}
    for after_s, bad in case.windows:
        told = watched.look(bad, AT + timedelta(seconds=after_s), 1e5 + after_s, case.stride_s)
    assert told == case.told


@given(
    st.lists(
        st.tuples(
            st.floats(0, 100),
            st.dictionaries(st.sampled_from("abcdefghij"), st.sampled_from(["x", "y"])),
        ),
        max_size=30,
    )
)
def test_told_only_what_is_bad(windows: list[tuple[float, dict[str, str]]]) -> None:
    """Whatever happens, nobody is told of a tag that is good, nor more than a heartbeat bears."""
    watched, now_s = Instruments(), 0.0
    for passed_s, bad in windows:
        now_s += passed_s
        told = watched.look(bad, AT, now_s, 1.0)
        assert len(told) <= BAD_INPUTS_MAX
        assert all(is_input(kind) and len(words) <= 500 for kind, words in told.items())
        named = {told_of(kind, words).tag for kind, words in told.items()}
        assert named <= {*bad, None}


KINDS = {
    "input": BadInput(tag=None, words="w"),
    "input pressure": BadInput(tag="pressure", words="w"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_heartbeat_has_them_apart(kind: str) -> None:
    """What is about an instrument is no fault of the gateway."""
    assert is_input(kind)
    assert told_of(kind, "w") == KINDS[kind]
    assert not is_input("inputs")


class Told:
    """What is told of as a fault, and what of that was over."""

    def __init__(self) -> None:
        self.faults: dict[str, str] = {}
        self.said = 0

    def fault(self, name: str, reason: str) -> None:
        """It is a fault."""
        self.faults[name] = reason
        self.said += 1

    def mend(self, name: str) -> None:
        """It is none any more."""
        del self.faults[name]


def test_told_once() -> None:
    """A bad tag is one fault, said once however long it lasts, and gone with the next good window.

    So it is when nobody is in charge: then no tag keeps anybody from a verdict.
    """
    told, now_s, model = Told(), [0.0], loaded("1")[0]
    watch = InstrumentWatch(told, lambda: now_s[0])

    def window(after_s: float, *bad: str, route: Route = Route(effective=model)) -> None:  # noqa: B008 - frozen
        now_s[0] += after_s
        verdict = msgspec.structs.replace(NOTHING, bad=list(bad))
        why = tuple("value frozen" for _ in bad)
        watch.take(Scored(cut(1), route, verdict, why=why))

    for _ in range(3):
        window(30.0, "flow", "pressure")
    assert (set(told.faults), told.said) == ({"input flow", "input pressure"}, 2)
    assert told.faults["input flow"].startswith("flow: value frozen since ")
    window(5.0, "flow")
    assert told.faults.keys() == {"input flow"}
    window(5.0)
    assert (told.faults, told.said) == ({}, 2)
    for _ in range(2):
        window(60.0, "flow")
    assert told.said == 3
    window(5.0, route=Route())
    assert told.faults == {}
