"""The label screen: one window, its curves, what it may have been."""

from collections.abc import Sequence

from edge_core.contracts.review import Channel, QueueSummary, ReviewItem
from edgetui.labelling import Bench, choices
from edgetui.present.bars import curve
from edgetui.present.lines import BLANK, Line, Part, Tone, join, say
from edgetui.present.words import fit, instant

GUTTER = 16
CURVE_ROWS_MAX = 5
TALL_ENOUGH = 3  # rows that have room for role, highest and lowest
LOW_ROWS = 2  # on a slow link a window costs a third of the bytes, and its shape is still there
LOW_CELLS = 48
BELOW = 6  # lines below the curves


def label_page(
    bench: Bench, summary: QueueSummary | None, cells: int, rows: int, *, low: bool
) -> list[Line]:
    """The whole screen, at most *rows* lines."""
    item = bench.current
    if item is None:
        return [*_empty(bench, cells), BLANK, *_progress(bench, summary, cells)]
    channels = item.window.channels
    room = max(1, (rows - BELOW - 1) // max(1, len(channels)))
    tall = min(LOW_ROWS if low else CURVE_ROWS_MAX, room)
    wide = min(cells, LOW_CELLS + GUTTER) if low else cells
    shown = channels[: max(1, (rows - BELOW - 1) // tall)]
    return [
        _head(item, cells),
        *(line for channel in shown for line in channel_lines(channel, wide, tall)),
        *_hidden(len(channels) - len(shown), cells),
        _proposal(item, cells, shown=bench.proposal_shown),
        _choices(item, cells),
        *_progress(bench, summary, cells),
    ]


def channel_lines(channel: Channel, cells: int, rows: int) -> list[Line]:
    """One curve; beside it the role, the highest and lowest value, and how many are missing."""
    drawn, low, high = curve(channel.values, max(1, cells - GUTTER), rows)
    missing = sum(value is None for value in channel.values)
    gaps = f" {missing}?" if missing else ""
    bounds = [f"{high:.3g} {channel.unit}", f"{low:.3g}{gaps}"]
    if rows < TALL_ENOUGH:
        bounds = [f"{low:.3g} to {high:.3g}"]
    labels = [channel.role.replace("_", " "), *bounds[:1], *[""] * rows][:rows]
    if rows >= TALL_ENOUGH:
        labels[-1] = bounds[1]
    return [
        Line((Part(f"{fit(label, GUTTER - 2)}  ", Tone.DIM), Part(text)))
        for label, text in zip(labels, drawn, strict=True)
    ]


def _head(item: ReviewItem, cells: int) -> Line:
    window = item.window
    regime = f"  {window.regime}" if window.regime else ""
    words = f"{item.asset}  {item.line}  {window.serial}  {instant(window.started)}{regime}"
    return say(words, cells, Tone.TITLE)


def _proposal(item: ReviewItem, cells: int, *, shown: bool) -> Line:
    window = item.window
    if not shown:
        return say("proposal hidden (space shows it)", cells, Tone.DIM)
    score = max(window.scores, default=0.0)
    shadow = f", shadow says {window.shadow_prediction}" if window.shadow_prediction else ""
    words = f"proposal  {window.prediction} {score:.2f}{shadow}  here because {window.why}"
    return say(words, cells)


def _choices(item: ReviewItem, cells: int) -> Line:
    keys = choices(item)
    ordered = [key for key in "1234567890" if key in keys]
    parts: list[tuple[str, Tone]] = []
    for key in ordered:
        parts += [(key, Tone.TITLE), (f" {keys[key].replace('_', ' ')}  ", Tone.PLAIN)]
    parts += [("n", Tone.TITLE), (" not sure", Tone.PLAIN)]
    return join(parts, cells)


def _progress(bench: Bench, summary: QueueSummary | None, cells: int) -> Sequence[Line]:
    left = f"{summary.open + summary.leased} left" if summary else "? left"
    pace = bench.a_minute()
    last = f"last: {bench.last.label or 'skipped'} (u undoes it)" if bench.last else ""
    sending = len(bench.waiting)
    words = f"stored {bench.stored} ✓  sending {sending}  {left}  {pace:.0f}/min  {last}"
    lines = [say(words, cells)]
    if bench.trouble:
        lines.append(say(f"NOT STORED  {bench.trouble}", cells, Tone.P2))
    return lines


def _hidden(count: int, cells: int) -> list[Line]:
    return [say(f"({count} more channels; make the window larger)", cells)] if count > 0 else []


def _empty(bench: Bench, cells: int) -> list[Line]:
    if bench.trouble:
        return [say("no window to label", cells)]
    return [say("no window waits for a label", cells)]
