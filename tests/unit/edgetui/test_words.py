"""Words, bars and tables: what a value looks like, and that foreign text stays inert."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetui.letters import ascii_letters, only_ascii
from edgetui.present.bars import bar, curve, trend
from edgetui.present.lines import with_ascii_marks
from edgetui.present.tables import Column, lay, table
from edgetui.present.words import age, fit, inert, number, share, short, width

AGES = {
    "never heard of": (None, "never ?"),
    "just now": (0.0, "<10 s"),
    "under ten seconds": (9.9, "<10 s"),
    "seconds go in tens": (47.0, "40 s"),
    "three heartbeats are still fine": (90.0, "90 s"),
    "more is not to be relied on": (91.0, "90 s ?"),
    "minutes": (240.0, "4 min ?"),
    "hours": (7200.0, "2 h ?"),
    "a week": (7 * 86_400.0, "7 d ?"),
}


@pytest.mark.parametrize(("seconds", "words"), AGES.values(), ids=AGES.keys())
def test_ages(seconds: float | None, words: str) -> None:
    """An age has one unit, and a question mark once it is too old."""
    assert age(seconds) == words


NUMBERS = {
    "nothing measured": (None, "us", "-"),
    "a share is in percent": (0.019, "1", "1.9 %"),
    "short times stay": (940.0, "us", "940 us"),
    "long ones are milliseconds": (43_000.0, "us", "43 ms"),
    "any other unit": (7.1234, "mm/s", "7.12 mm/s"),
}


@pytest.mark.parametrize(("value", "unit", "words"), NUMBERS.values(), ids=NUMBERS.keys())
def test_numbers(value: float | None, unit: str, words: str) -> None:
    """A measured value has three digits and its unit."""
    assert number(value, unit) == words


HOSTILE = {
    "an escape sequence": "\x1b[2Jgone",
    "a title": "\x1b]0;owned\x07",
    "eight-bit control": "\x9b31mred",
    "a line break": "pump\r\nOK",
    "bidi override": "fan \u202eexe",
    "zero width": "pu\u200bmp",
    "a tag letter": "a\U000e0041b",
    "lone surrogate": "x\ud800y",
    "private use": "\ue000",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_inert(text: str) -> None:
    """What could move a cursor, break a line, hide or turn letters is replaced, and seen."""
    shown = inert(text)
    assert "\N{REPLACEMENT CHARACTER}" in shown
    assert all(c == " " or c.isprintable() for c in shown)


def test_towers_of_accents_are_cut() -> None:
    """An accent is kept, a tower of them over the lines above is not."""
    assert inert("e\u0301") == "e\u0301"
    assert len(inert("e" + "\u0301" * 500)) == 3


@given(st.text(max_size=60), st.integers(0, 40))
def test_fit_is_exact(text: str, cells: int) -> None:
    """Whatever the text, it takes exactly the cells it is given, and is inert."""
    shown = fit(text, cells)
    assert width(shown) == cells
    assert not any(unicodedata.category(c) in {"Cc", "Cf"} for c in shown)


def test_wide_letters_take_two_cells() -> None:
    """A wide letter that does not fit whole is left out."""
    assert fit("ポンプ", 5) == "ポン…"
    assert fit("ポンプ", 6) == "ポンプ"
    assert fit("ポンプ", 4) == "ポ… "


def test_shares_and_digests() -> None:
    """Nothing to take a share of is not zero; a digest is cut to twelve digits."""
    assert share(0, 0) == "-"
    assert share(1, 8) == "12.5"
    assert short("sha256:" + "ab" * 32) == "ab" * 6


BARS = {
    "no value": (None, 1.0, "        |   "),
    "nothing yet": (0.0, 1.0, "        |   "),
    "half of the limit": (0.5, 1.0, "####    |   "),
    "at the limit": (1.0, 1.0, "########|   "),
    "past the limit": (1.4, 1.0, "########|## "),
    "far past it": (99.0, 1.0, "########|###"),
}


@pytest.mark.parametrize(("value", "limit", "drawn"), BARS.values(), ids=BARS.keys())
def test_bars(value: float | None, limit: float, drawn: str) -> None:
    """Past the mark is past the limit."""
    assert bar(value, limit, 12) == drawn


def test_a_spike_of_one_sample_is_never_averaged_away() -> None:
    """Of 4,096 samples in 40 cells, the one that stands out reaches the top line."""
    values: list[float | None] = [0.0] * 4096
    values[1234] = 9.0
    lines, low, high = curve(values, 40, 4)
    assert (low, high) == (0.0, 9.0)
    assert lines[0].strip()
    column = 1234 * 80 // 4096 // 2
    assert lines[0][column] != " "


def test_a_gap_in_the_values_is_a_gap_in_the_curve() -> None:
    """Missing values are drawn as nothing, not as a line."""
    values: list[float | None] = [*[1.0] * 20, *[None] * 40, *[2.0] * 20]
    lines, _, _ = curve(values, 40, 2)
    assert all(line[11:29].strip() == "" for line in lines)


@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=200), st.integers(1, 40))
def test_a_curve_has_its_size(values: list[float | None], cells: int) -> None:
    """Whatever the values, the curve is as wide and tall as asked."""
    lines, low, high = curve(values, cells, 3)
    assert [len(line) for line in lines] == [cells] * 3
    assert low <= high


def test_trend_has_its_own_scale() -> None:
    """The lowest value is the lowest step, the highest the highest."""
    assert trend([1.0, 2.0, 3.0], 5) == "  ▁▄█"
    assert trend([], 3) == "   "


COLUMNS: tuple[Column[int], ...] = (
    Column("name", lambda n: f"name {n}", 12),
    Column("less", str, 8, rank=1),
    Column("least", str, 8, rank=2),
    Column("words", lambda n: f"word {n} " * 20, 60),
)


def test_the_least_important_columns_go_first() -> None:
    """Rank by rank columns are left out where it is narrow; those without a rank stay."""
    kept = {
        cells: [c.title for c in lay(COLUMNS, [1, 2], cells).columns] for cells in (99, 48, 41)
    }
    assert kept[99] == ["name", "less", "least", "words"]
    assert kept[48] == ["name", "less", "words"]
    assert kept[41] == ["name", "words"]


@pytest.mark.parametrize("cells", [40, 80, 120])
def test_no_row_is_wider_than_the_screen(cells: int) -> None:
    """The last column takes what is left."""
    assert all(width(str(line)) <= cells for line in table(COLUMNS, [1, 2, 3], cells))


def test_columns_never_move_to_and_fro() -> None:
    """A width that was remembered grows with longer values and stays with shorter ones."""
    widths: dict[str, int] = {}
    first = lay(COLUMNS[:1], [1000], 80, widths).widths
    assert lay(COLUMNS[:1], [1], 80, widths).widths == first


def test_an_empty_table_says_so() -> None:
    """Nothing is said in words."""
    assert str(table(COLUMNS, [], 80)[1]) == "(none)"


def test_ascii_letters_keep_every_cell() -> None:
    """Each letter becomes one ASCII letter, so nothing moves; marks become [1]."""
    line = "■1  ▲2  ▼3  … │ ─ ⣿⠁⡀ ✓ é"
    plain = with_ascii_marks(line).translate(ascii_letters())
    assert plain.isascii()
    assert plain.startswith("[1] [2] [3] ~ | - :'. + ?")


@pytest.mark.parametrize(
    ("term", "encoding", "plain"),
    [
        ("xterm-256color", "utf-8", False),
        ("vt100", "utf-8", True),
        ("xterm", "iso8859-1", True),
        ("linux", "UTF-8", False),
    ],
)
def test_which_terminals_have_only_ascii(term: str, encoding: str, *, plain: bool) -> None:
    """A vt100 has no more, and neither has one that is not written to in UTF-8."""
    assert only_ascii(term, encoding) is plain
