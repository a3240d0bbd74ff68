"""Labelling: one window a screen, one key a label, the next window at once."""

from edge_core.contracts.review import UNSURE
from edgetui.labelling import choices
from edgetui.present.label_page import label_page
from edgetui.present.lines import Tone
from edgetui.present.sources import Page, Source
from edgetui.screens.board import Board


class LabelBoard(Board):
    """The labeller's bench."""

    place = "label"

    def on_mount(self) -> None:
        """Windows are leased only once somebody means to label them."""
        self.run_worker(self.desk.courier.run(), group="courier")

    def on_screen_resume(self) -> None:
        """There may be new windows."""
        self.desk.courier.look_again()
        super().on_screen_resume()

    def where(self) -> str:
        """The screen, and which window of how many at hand."""
        bench = self.desk.bench
        item = bench.current
        return "Label" if item is None else f"Label > item {item.item}"

    def build(self, cells: int, rows: int) -> Source:
        """The window."""
        overview = self.desk.feed.seen.overview
        summary = overview.queue if overview else None
        return Page(label_page(self.desk.bench, summary, cells, rows, low=self.desk.low))

    def do_say(self) -> None:
        """A digit is a label."""
        item = self.desk.bench.current
        label = choices(item).get(self.pressed) if item else None
        if label is None:
            self.tell(f"{self.pressed} is no class of this window", Tone.P3)
        else:
            self._said(label)

    def do_accept(self) -> None:
        """What the model proposes; only while it is shown."""
        item = self.desk.bench.current
        if item is None:
            return
        if not self.desk.bench.proposal_shown:
            self.tell("the proposal is hidden: say what you see, or press space", Tone.P3)
            return
        self._said(item.window.prediction)

    def do_unsure(self) -> None:
        """Cannot be told."""
        self._said(UNSURE)

    def do_skip(self) -> None:
        """Somebody else may."""
        self.desk.bench.skip()
        self._go_on("skipped (u goes back)")

    def do_undo(self) -> None:
        """Back to the last window."""
        said = self.desk.bench.undo()
        self._go_on("nothing to undo" if said is None else f"taken back: {said.label or 'skip'}")

    def do_proposal(self) -> None:
        """Hide or show what the model thinks."""
        self.desk.bench.proposal_shown = not self.desk.bench.proposal_shown
        self.draw()

    def _said(self, label: str) -> None:
        if self.desk.bench.say(label):
            self._go_on(f"said {label} (u takes it back)")

    def _go_on(self, words: str) -> None:
        self.desk.courier.wake()
        self.tell(words)
