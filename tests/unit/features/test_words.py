"""Words as numbers: the recipes that references name are known however many others are said."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.features.words import HEARD_MAX, NAMED_MAX, Words


@pytest.fixture
def flooded() -> Words:
    """A tag that shows lot numbers has said more words than are remembered."""
    made = Words()
    for lot in range(2 * HEARD_MAX):
        made.number_of(f"lot {lot}")
    return made


def test_recipe_after_a_flood(flooded: Words) -> None:
    """A recipe that a reference names has its name, though it is first said after all that."""
    flooded.name(["milk 3.5 %", " skimmed "])
    assert flooded.word_of(flooded.number_of("milk 3.5 %")) == "milk 3.5 %"
    assert flooded.word_of(flooded.number_of("skimmed")) == "skimmed"


def test_recipe_that_nobody_names(flooded: Words) -> None:
    """Any other word still has its number, the same as everywhere, and no name."""
    number = flooded.number_of("cream")
    assert number == Words().number_of("cream")
    assert flooded.word_of(number) == f"{number:g}"


def twins() -> tuple[str, str]:
    """Two words with one number."""
    seen: dict[float, str] = {}
    for lot in range(1_000_000):
        word = f"lot {lot}"
        number = Words().number_of(word)
        if number in seen:
            return seen[number], word
        seen[number] = word
    raise AssertionError("a million words, and no two of one number")


def test_a_named_word_counts_first() -> None:
    """Where a lot and a recipe have one number, it is the recipe's, whoever was heard first."""
    lot, recipe = twins()
    known = Words()
    number = known.number_of(lot)
    assert math.isnan(known.number_of(recipe))
    known.name([recipe])
    assert known.number_of(recipe) == number
    assert math.isnan(known.number_of(lot))
    assert known.word_of(number) == recipe


def test_named_has_an_end() -> None:
    """Of references without end the newest count."""
    known = Words()
    known.name([f"r{number}" for number in range(NAMED_MAX)])
    known.name(["r0", "new"])
    for lot in range(HEARD_MAX):
        known.number_of(f"lot {lot}")
    assert known.word_of(known.number_of("r0")) == "r0"
    assert known.word_of(known.number_of("new")) == "new"
    assert known.word_of(known.number_of("r1")) != "r1"


@given(st.lists(st.text(max_size=20), max_size=50))
def test_there_and_back(said: list[str]) -> None:
    """A word is its own name again, or says nothing because another had its number."""
    known = Words()
    for word in said:
        number = known.number_of(word)
        if not math.isnan(number):
            assert known.word_of(number) == word.strip()
            assert float(int(number)) == number < 2**24
