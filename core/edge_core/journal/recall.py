"""Builds the marks anew from the segments: the newest snapshot, and every record since.

Each segment starts with a snapshot of the marks, so as a rule one segment is enough, and no file
of their own is needed that could disagree with the records.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from edge_core.journal.files import Files
from edge_core.journal.layout import SEGMENT_HEADER_BYTES, RecordHead, sync_word
from edge_core.journal.marks import FirstCopy, Marks
from edge_core.journal.scan import Damage, Window, scan
from edge_core.journal.segment import Segment


@dataclass(slots=True)
class _Seen:
    marks: list[bytes] = field(default_factory=list)
    heads: list[RecordHead] = field(default_factory=list)


def recall(files: Files, segments: Sequence[Segment]) -> Marks:
    """The marks as they were when the last of *segments* was written.

    Raises:
        OSError: a segment cannot be opened.
    """
    pages: list[_Seen] = []
    for segment in reversed(segments):
        page = _seen(files, segment)
        pages.append(page)
        if _complete(page.marks):
            break
    marks = Marks()
    for page in reversed(pages):
        for part in page.marks:
            marks.restore(part)
        for head in page.heads:
            first = FirstCopy(head.seq, head.body_crc32c)
            marks.add(head.source, head.epoch, head.sequence, first)
    return marks


def _seen(files: Files, segment: Segment) -> _Seen:
    seen = _Seen()
    file = files.open_to_read(segment.path)
    try:
        window = Window(file, segment.end)
        for item in scan(window, sync_word(segment.identity), SEGMENT_HEADER_BYTES, bodies=False):
            if isinstance(item, Damage):
                continue
            if item.internal:
                seen.marks.append(item.body)
            else:
                seen.heads.append(item.head)
    finally:
        file.close()
    return seen


def _complete(parts: Sequence[bytes]) -> bool:
    """Whether these are all the parts of one snapshot, which is never empty."""
    numbers = [Marks().restore(part) for part in parts]
    return bool(numbers) and len(numbers) == numbers[0][1]
