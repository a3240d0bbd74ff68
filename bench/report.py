"""How a benchmark tells its result: a table for people, and one JSON object as the last line."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path


def machine() -> dict[str, str | int]:
    """What the figures depend on."""
    return {
        "processor": _first_value(Path("/proc/cpuinfo"), "model name"),
        "cores": os.cpu_count() or 1,
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under heads, the first column to the left, the others to the right."""
    cells = [list(heads), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    print(f"\n{title}")
    for row in cells:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join([first.strip().ljust(widths[0]), *others]))


def report(
    name: str,
    figures: Mapping[str, object],
    peer: Mapping[str, object],
    ratio: Mapping[str, float | None],
) -> None:
    """Print the result as the last line.

    Args:
        name: the benchmark's.
        figures: ours.
        peer: whom we compare with, and its figures from the same run.
        ratio: ours to the peer's, above 1 we do more of it; None where the peer cannot be had.
    """
    result = {"name": name, "figures": figures, "peer": peer, "ratio": ratio, "machine": machine()}
    print(json.dumps(result), flush=True)


def _first_value(path: Path, key: str) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    found = (line.partition(":")[2].strip() for line in lines if line.startswith(key))
    return next(found, "unknown")
