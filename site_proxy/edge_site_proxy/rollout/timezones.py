"""Which version of the time zone database this machine computes change windows by."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from zoneinfo import TZPATH

UNKNOWN = "unknown"
LETTERS_MAX = 40


def tzdata_version(folders: Iterable[str] = TZPATH) -> str:
    """The release, such as `2026b`, of the first database that `zoneinfo` would use.

    It stands in `+VERSION` or in the first line of `tzdata.zi` (tz-how-to, "tzdata.zi"); without
    a database of the machine's own the package `tzdata` is what `zoneinfo` reads.
    """
    for folder in map(Path, folders):
        if not (folder / "UTC").is_file():
            continue
        for name in ("+VERSION", "tzdata.zi"):
            text = _first_line(folder / name)
            if text:
                return text
        return UNKNOWN
    try:
        return f"package {version('tzdata')}"
    except PackageNotFoundError:
        return UNKNOWN


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            line = file.readline(LETTERS_MAX)
    except OSError:
        return ""
    return line.removeprefix("# version ").strip()
