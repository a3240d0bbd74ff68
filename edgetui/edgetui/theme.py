"""Colours: the terminal's own sixteen, and only for what is not normal (ISA-101)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from rich.style import Style
from textual.theme import BUILTIN_THEMES

from edgetui.present.lines import Tone

# Textual's own theme for the terminal's colours, with every hint of meaning taken out of it.
THEME: Final = replace(
    BUILTIN_THEMES["ansi-dark"],
    name="edge",
    primary="ansi_default",
    secondary="ansi_default",
    warning="ansi_yellow",
    error="ansi_red",
    success="ansi_default",
    accent="ansi_default",
)

PLAIN: Final = Style.null()
UNDER_THE_CURSOR: Final = Style(reverse=True)
STYLES: Final[Mapping[Tone, Style]] = {
    Tone.PLAIN: PLAIN,
    Tone.TITLE: Style(bold=True),
    Tone.DIM: Style(dim=True),
    Tone.P1: Style(color="red", bold=True),
    Tone.P2: Style(color="yellow"),
    Tone.P3: Style(color="magenta"),
    Tone.P4: Style(color="cyan"),
}

CSS: Final = """
Screen { background: ansi_default; color: ansi_default; overflow: hidden; layers: base; }
Lines { height: 1fr; width: 1fr; background: ansi_default; color: ansi_default; }
.one-row { height: 1; }
.two-rows { height: 2; }
.hidden { display: none; }
Input, Input:focus {
    height: 1; border: none; padding: 0; background: ansi_default; color: ansi_default;
}
Input > .input--cursor { text-style: reverse; background: ansi_default; color: ansi_default; }
Input > .input--placeholder { text-style: dim; color: ansi_default; }
ModalScreen { background: ansi_default; align: left top; }
.field { height: 1; layout: horizontal; }
.field-name { width: 30; height: 1; }
"""
