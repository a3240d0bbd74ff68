"""What a console remembers for a while, by a clock that the test moves."""

from dataclasses import dataclass

import pytest

from edgetui.present.lines import Tone
from edgetui.session import ARMED_S, DEAF_S, SILENCE, WORD_S, Session


@dataclass
class Hand:
    """A monotonic clock in seconds."""

    at_s: float = 1000.0

    def __call__(self) -> float:
        """The time that the test has set."""
        return self.at_s


@pytest.fixture
def hand() -> Hand:
    """A clock that stands still until it is moved."""
    return Hand()


@pytest.fixture
def session(hand: Hand) -> Session:
    """A session that has just begun."""
    return Session(hand)


@pytest.mark.parametrize(
    ("after_s", "stands"),
    [
        pytest.param(0.0, True, id="a word stands when it is said"),
        pytest.param(WORD_S - 0.1, True, id="it stands long enough to be read"),
        pytest.param(WORD_S, False, id="it is gone before it seems to be about something else"),
    ],
)
def test_word_stands_for_a_while(
    session: Session, hand: Hand, after_s: float, *, stands: bool
) -> None:
    """The last word is not read as news an hour later."""
    session.say("filter taken away", Tone.P3)
    hand.at_s += after_s
    assert session.word == (("filter taken away", Tone.P3) if stands else SILENCE)


def test_new_session_says_nothing(session: Session) -> None:
    """There is no word before the first one."""
    assert session.word == SILENCE


def test_arming_ends_by_itself(session: Session, hand: Hand) -> None:
    """Whoever walks away leaves a console that changes nothing."""
    session.arm()
    assert session.armed_s() == ARMED_S
    hand.at_s += ARMED_S + 1.0
    assert session.armed_s() == 0.0


def test_deafness_grows_with_the_link(session: Session, hand: Hand) -> None:
    """On a slow link keys are dropped until the dialog can have been seen."""
    session.go_deaf(rtt_s=0.5)
    hand.at_s += DEAF_S + 0.4
    assert session.deaf
    hand.at_s += 0.2
    assert not session.deaf
