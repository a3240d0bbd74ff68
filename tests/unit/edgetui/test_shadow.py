"""The shadow screen: what it sends turns one screen into the other, and no more than that."""

import pyte
from hypothesis import given
from hypothesis import strategies as st

from edgetui.letters import ascii_letters
from edgetui.shadow import Shadow

WIDTH, HEIGHT = 20, 5
STYLES = ("", "1", "31", "1;33", "7")


def painted(text: str, x: int, y: int, style: str) -> str:
    """As Textual paints: a move, then a style, the text, and the style's end."""
    shown = f"\x1b[{style}m{text}\x1b[0m" if style else text
    return f"\x1b[{y + 1};{x + 1}H{shown}"


strokes = st.builds(
    painted,
    st.text(st.sampled_from("ab ─█ポé"), min_size=1, max_size=9),
    st.integers(0, WIDTH - 1),
    st.integers(0, HEIGHT - 1),
    st.sampled_from(STYLES),
)


def seen(output: str) -> list[list[tuple[str, str, bool, bool]]]:
    """What a terminal without automatic wrap shows after *output*."""
    screen = pyte.Screen(WIDTH, HEIGHT)
    pyte.Stream(screen).feed("\x1b[?7l" + output)
    return [
        [
            (cell.data, cell.fg, cell.bold, cell.reverse)
            for cell in (screen.buffer[y][x] for x in range(WIDTH))
        ]
        for y in range(HEIGHT)
    ]


@given(st.lists(st.lists(strokes, max_size=6), max_size=5))
def test_frames_end_on_the_same_screen(paintings: list[list[str]]) -> None:
    """Frame by frame the terminal ends up as if everything painted had been sent whole."""
    shadow, sent = Shadow(WIDTH, HEIGHT), ""
    fresh = Shadow(WIDTH, HEIGHT)
    for painting in paintings:
        shadow.apply("".join(painting))
        fresh.apply("".join(painting))
        sent += shadow.frame()
    assert seen(sent) == seen(fresh.frame())


def test_nothing_changed_sends_nothing() -> None:
    """Painting the same again costs no byte."""
    shadow = Shadow(WIDTH, HEIGHT)
    shadow.apply(painted("steady", 0, 0, "1"))
    assert shadow.frame()
    shadow.apply(painted("steady", 0, 0, "1"))
    assert shadow.frame() == ""


def test_one_digit_costs_a_move_and_a_digit() -> None:
    """A clock that ticks is a handful of bytes, whatever is painted around it."""
    shadow = Shadow(WIDTH, HEIGHT)
    shadow.apply(painted("14:32:07", 5, 2, ""))
    shadow.frame()
    shadow.apply(painted("14:32:08", 5, 2, ""))
    assert shadow.frame() == "\x1b[3;13H8"


def test_a_cleared_line_is_erased_not_overwritten() -> None:
    """Blanks to the end of a line are one sequence."""
    shadow = Shadow(WIDTH, HEIGHT)
    shadow.apply(painted("x" * WIDTH, 0, 1, ""))
    shadow.frame()
    shadow.apply(painted(" " * WIDTH, 0, 1, ""))
    assert shadow.frame() == "\x1b[2H\x1b[K"


def test_controls_pass_through_in_order() -> None:
    """What is no painting reaches the terminal; markers of synchronised output do not."""
    shadow = Shadow(WIDTH, HEIGHT)
    assert shadow.apply("\x1b[?2026h\x1b[?25l\x1b[1;1Hx\x1b]52;c;eA==\x07\x1b[?2026l") == (
        "\x1b[?25l\x1b]52;c;eA==\x07"
    )


def test_control_letters_never_stand_in_a_cell() -> None:
    """A control letter inside text is dropped: the terminal would obey it."""
    shadow = Shadow(WIDTH, HEIGHT)
    shadow.apply("\x1b[1;1Ha\x07\x9bb\x7fc")
    assert shadow.frame() == "\x1b[1H\x1b[mabc"


def test_half_a_wide_letter_is_blanked() -> None:
    """Writing over one half of a wide letter leaves a blank, not a half."""
    shadow = Shadow(WIDTH, HEIGHT)
    shadow.apply(painted("ポ", 0, 0, ""))
    shadow.frame()
    shadow.apply(painted("x", 1, 0, ""))
    row = [cell[0] for cell in seen(shadow.frame())[0]]
    assert row[:2] == [" ", "x"]


def test_ascii_letters_are_looked_up() -> None:
    """With a table of letters, only ASCII leaves."""
    shadow = Shadow(WIDTH, HEIGHT, ascii_letters())
    shadow.apply(painted("─│█é", 0, 0, ""))
    assert shadow.frame().isascii()


def test_another_size_begins_anew() -> None:
    """After a change of size everything is sent again."""
    shadow = Shadow(WIDTH, HEIGHT)
    shadow.apply(painted("word", 0, 0, ""))
    shadow.frame()
    shadow.resize(WIDTH + 5, HEIGHT)
    shadow.apply(painted("word", 0, 0, ""))
    assert "word" in shadow.frame()


def test_forgetting_sends_what_is_wanted_again() -> None:
    """Once the terminal was cleared, what stands there is sent again without being painted."""
    shadow = Shadow(WIDTH, HEIGHT)
    shadow.apply(painted("word", 0, 0, ""))
    shadow.frame()
    shadow.forget()
    assert "word" in shadow.frame()
