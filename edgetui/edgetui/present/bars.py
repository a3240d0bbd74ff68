"""Analog before digits: bars with their limit, one-row trends, and curves in braille."""

from collections.abc import Sequence

STEPS = "▁▂▃▄▅▆▇█"
STEPS_ASCII = "_.-=+*#^"
BRAILLE = 0x2800
# Dot bits of a braille cell by (column, row from the top), Unicode 15 section 21.1.
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def bar(value: float | None, limit: float, cells: int) -> str:
    """A bar with its limit marked at two thirds: past the mark is past the limit."""
    mark = max(1, cells * 2 // 3)
    if value is None or limit <= 0:
        return (" " * mark + "|").ljust(cells)
    filled = min(cells, round(mark * max(0.0, value) / limit))
    line = ("#" * filled).ljust(cells)
    return line[:mark] + "|" + line[mark + 1 :]


def trend(values: Sequence[float], cells: int, *, ascii_only: bool = False) -> str:
    """The last *cells* values as one row; the scale is the row's own."""
    recent = values[-cells:]
    if not recent:
        return " " * cells
    low, high = min(recent), max(recent)
    steps = STEPS_ASCII if ascii_only else STEPS
    span = (high - low) or 1.0
    return "".join(steps[int((v - low) / span * (len(steps) - 1))] for v in recent).rjust(cells)


def curve(values: Sequence[float | None], cells: int, rows: int) -> tuple[list[str], float, float]:
    """A curve in braille, *rows* lines of *cells*, with the lowest and highest value.

    Each dot column shows the whole range of the values under it, so a spike of one sample is
    never averaged away. A gap in the values is a gap in the curve.
    """
    known = [v for v in values if v is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    span = (high - low) or 1.0
    columns, levels = cells * 2, rows * 4
    grid = [[0] * cells for _ in range(rows)]
    for column in range(columns):
        under = _under(values, column, columns)
        if not under:
            continue
        top = levels - 1 - round((max(under) - low) / span * (levels - 1))
        bottom = levels - 1 - round((min(under) - low) / span * (levels - 1))
        for level in range(top, bottom + 1):
            grid[level // 4][column // 2] |= DOTS[column % 2][level % 4]
    return ["".join(_letter(dots) for dots in line) for line in grid], low, high


def _letter(dots: int) -> str:
    """A cell of the curve; an empty one is a blank, a third of the bytes of empty braille."""
    return chr(BRAILLE + dots) if dots else " "


def _under(values: Sequence[float | None], column: int, columns: int) -> list[float]:
    """The known values that fall under one dot column; a curve shorter than wide is stretched."""
    first = column * len(values) // columns
    last = max(first + 1, (column + 1) * len(values) // columns)
    return [v for v in values[first:last] if v is not None]
