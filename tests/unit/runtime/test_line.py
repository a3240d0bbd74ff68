"""What the line says of our verdicts: each row once, decisions only where the operator decided."""

from dataclasses import replace
from typing import Final

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.features.samples import CellQuality
from edge_runtime.decisions import decision
from edge_runtime.errors import PayloadError
from edge_runtime.line import LineWatch
from edge_runtime.line_config import LineConfig
from edge_runtime.model import ROLE_COMMITTED
from edge_runtime.route import Route
from edge_runtime.scoring import Scored
from tests.simulators.releases import CLASSES
from tests.unit.runtime.test_health import FIRST, NORMAL, UNDECIDED, opinion
from tests.unit.runtime.test_scoring import cut

CODES: Final = dict(enumerate(CLASSES, 1))
PERIOD_NS: Final = 50_000_000
LENGTH, STRIDE = 8, 4
KEEPS, SAYS_NORMAL, SAYS_LEAK = 0.0, 1.0, 2.0


def windows(rows: list[float], bad: frozenset[int] = frozenset()) -> list[Scored]:
    """What a line of one tag gives, cut every four rows; the verdict is always normal."""
    found = []
    for number, first in enumerate(range(0, len(rows) - LENGTH + 1, STRIDE), 1):
        usual = cut(number)
        values = np.array(rows[first : first + LENGTH], np.float32).reshape(-1, 1)
        quality = np.zeros((LENGTH, 1), np.uint8)
        for row in bad & set(range(first, first + LENGTH)):
            quality[row - first] = CellQuality.BAD
        window = replace(
            usual.window,
            values=values,
            quality=quality,
            start_ns=usual.window.start_ns + first * PERIOD_NS,
            end_ns=usual.window.start_ns + (first + LENGTH - 1) * PERIOD_NS,
        )
        verdict = msgspec.structs.replace(UNDECIDED, decided=True, label=NORMAL)
        said = opinion(FIRST, ROLE_COMMITTED, NORMAL)
        found.append(Scored(replace(usual, window=window), Route(FIRST), verdict, (said,)))
    return found


SHIFTS: dict[str, tuple[list[float], int]] = {
    "nobody decides anything": ([KEEPS] * 24, 0),
    "the operator agrees": ([KEEPS] * 12 + [SAYS_NORMAL] * 12, 0),
    "the operator says it is a leak: one override": ([KEEPS] * 12 + [SAYS_LEAK] * 12, 1),
    "and holds to it, through all windows: still one": ([KEEPS] * 12 + [SAYS_LEAK] * 36, 1),
    "takes it back and says it again: two": (
        [KEEPS] * 12 + [SAYS_LEAK] * 4 + [KEEPS] * 4 + [SAYS_LEAK] * 4,
        2,
    ),
    "it stood there before we came: no decision": ([SAYS_LEAK] * 24, 0),
    "before the first verdict: nothing to override": (
        [KEEPS] * 4 + [SAYS_LEAK] * 4,
        0,
    ),
    "a code that names nothing": ([KEEPS] * 12 + [7.0] * 12, 0),
}


@pytest.mark.parametrize("name", SHIFTS)
def test_overrides(name: str) -> None:
    """Each row is what the operator's tag shows, and how many verdicts that overrides."""
    rows, expected = SHIFTS[name]
    line = LineWatch(operator=0, codes=CODES)
    seen = [verdict for each in windows(rows) for verdict in line.take(each).overridden]
    assert len(seen) == expected
    assert all(each.model is FIRST for each in seen)


def test_decision_by_message() -> None:
    """A decision that comes by a topic overrides the verdict in force, if it differs."""
    line = LineWatch()
    assert line.decided("leak") is None
    line.take(windows([KEEPS] * 8)[0])
    assert line.decided("normal") is None
    found = line.decided("leak")
    assert found is not None
    assert (found.label, found.role) == ("normal", ROLE_COMMITTED)


@given(
    st.lists(st.integers(-1000, 1000), min_size=LENGTH, max_size=80),
    st.frozensets(st.integers(0, 80)),
)
def test_kpi_takes_each_row_once(rows: list[int], bad: frozenset[int]) -> None:
    """However windows overlap, the KPI's sum is that of the usable rows, each once."""
    line = LineWatch(kpi=0)
    cuts = windows([float(row) for row in rows], bad)
    seen = [line.take(each).kpi for each in cuts]
    covered = range(STRIDE * (len(cuts) - 1) + LENGTH)
    expected = [rows[row] for row in covered if row not in bad]
    assert sum(each.total for each in seen if each is not None) == sum(expected)
    assert sum(each.rows for each in seen if each is not None) == len(expected)


SAID: dict[str, tuple[object, str | None]] = {
    "plain text": (b"leak", "leak"),
    "with a line's end": (b" leak\n", "leak"),
    "a JSON text": (b'"leak"', "leak"),
    "an object, with what an HMI puts beside it": (b'{"label": "leak", "by": "ana"}', "leak"),
    "no class name at all": (b"Big Leak!", None),
    "nothing": (b"", None),
    "an object without it": (b'{"by": "ana"}', None),
    "no text": (b"\xff\xfe", None),
    "far too much": (b"a" * 5000, None),
    "no bytes": (7, None),
}


@pytest.mark.parametrize("name", SAID)
def test_decisions(name: str) -> None:
    """Each row is a message on the operator's topic, and the class that it names."""
    payload, expected = SAID[name]
    if expected is None:
        with pytest.raises(PayloadError, match="expected"):
            decision(payload)
    else:
        assert decision(payload) == expected


HALVES: dict[str, dict[str, object]] = {
    "a tag without codes": {"operator": "decision"},
    "codes without a tag": {"codes": {"leak": 2}},
}


@pytest.mark.parametrize("name", HALVES)
def test_half_a_setting(name: str) -> None:
    """Each row is half a setting, which is refused when it is read."""
    with pytest.raises(msgspec.ValidationError, match="operator and codes"):
        msgspec.convert(HALVES[name], LineConfig)


def test_setting_names_a_tag() -> None:
    """A role that no tag plays is named, with those that are."""
    assert LineConfig(kpi="flow").mistake(["flow"]) is None
    wrong = LineConfig(kpi="output").mistake(["flow", "pressure"])
    assert wrong == "`$.line.kpi`: expected one of flow, pressure, found 'output'"
