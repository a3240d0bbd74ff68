"""A look into a folder on a real disk changes nothing in it."""

from pathlib import Path

import pytest

from edge_core.contracts.errors import NotFoundError
from edge_core.journal import Journal, JournalConfig
from edge_core.journal.segment import segment_path
from edge_core.journal.survey import records, survey
from tests.unit.journal.plain import SEGMENT_BYTES, entry

CONFIG = JournalConfig(segment_bytes=SEGMENT_BYTES, bytes_max=20 * SEGMENT_BYTES)


@pytest.mark.anyio
async def test_survey(tmp_path: Path) -> None:
    """It finds all records and where the reader is, also while the journal is open."""
    folder = tmp_path / "deep" / "journal"
    async with await Journal.open(folder, CONFIG) as journal:
        for number in range(1, 31):
            await journal.append(entry(number, bytes(1000)))
        await journal.acknowledge(20)
        before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
        found = survey(folder)
        assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
        assert (found.last_seq, found.damages) == (30, ())
        assert found.records == 31 - found.first_seq
        assert [record.seq for record in records(folder)][-3:] == [28, 29, 30]
    assert survey(folder).acknowledged == 20


@pytest.mark.anyio
async def test_damage(tmp_path: Path) -> None:
    """It names the file and the stretch in which nothing can be read."""
    async with await Journal.open(tmp_path, CONFIG) as journal:
        for number in range(1, 4):
            await journal.append(entry(number, bytes([number]) * 1000))
    segment = segment_path(tmp_path, 1)
    content = bytearray(segment.read_bytes())
    at = content.index(b"\x02" * 1000)
    content[at] ^= 1
    segment.write_bytes(content)
    found = survey(tmp_path)
    assert found.records == 2
    assert found.damages == ((segment.name, at - 72, 72 + 1000),)


def test_no_folder(tmp_path: Path) -> None:
    """A wrong path is one clear error."""
    with pytest.raises(NotFoundError, match="expected a folder, found none"):
        survey(tmp_path / "nowhere")
