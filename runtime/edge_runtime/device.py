"""How the box is: processor, memory, temperature, disk and its wear, clock; read, never changed.

What the kernel does not tell is not there: a figure that is missing is no figure, and no alarm.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]  # it has no types

from edge_core import clock
from edge_core.contracts.plant import ClockQuality

SYS: Final = Path("/sys")
KIB: Final = 1024
WEAR_STEP: Final = 0.1  # eMMC tells its wear in steps of a tenth (JESD84-B51, 7.4.83)
WEAR_STEP_MAX: Final = 11  # "exceeded its maximum estimated life time"
SENSORS_MAX: Final = 32
TEXT_BYTES_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Readings:
    """The box at one moment; None and empty are what it does not tell.

    Attributes:
        cpu_share: of all cores, since the readings before.
        memory_bytes: not available.
        memory_share: likewise, of all of it.
        disk_share: of the data file system.
        disk_written_bytes: to that file system in its life, as it counts itself.
        disk_wear: by device, share of the rated life that is used; in tenths from eMMC.
        temperatures: by sensor, degrees Celsius.
        process_cpu_s: of the daemon and all its children, living and ended.
        process_bytes: resident, of the daemon and its living children.
        uptime_s: of the box.
        clock: what the kernel says of it.
        clock_offset_us: what it still has to correct.
    """

    cpu_share: float | None = None
    memory_bytes: int | None = None
    memory_share: float | None = None
    disk_share: float | None = None
    disk_written_bytes: int | None = None
    disk_wear: dict[str, float] = field(default_factory=dict)
    temperatures: dict[str, float] = field(default_factory=dict)
    process_cpu_s: float | None = None
    process_bytes: int | None = None
    uptime_s: float | None = None
    clock: ClockQuality | None = None
    clock_offset_us: int | None = None


class Device:
    """Reads one box.

    Args:
        data: a folder on the file system that the daemon writes to.
        sys: where the kernel shows itself.
    """

    def __init__(self, data: Path, sys: Path = SYS) -> None:
        self._data = data
        self._sys = sys
        self._process = psutil.Process()
        psutil.cpu_percent()  # the first call only sets the mark that the next one counts from

    def read(self) -> Readings:
        """Now; a few milliseconds of reading files that are no disk."""
        memory = psutil.virtual_memory()
        busy_bytes = memory.total - memory.available
        cpu_s, resident = self._own()
        return Readings(
            cpu_share=psutil.cpu_percent() / 100.0,
            memory_bytes=busy_bytes,
            memory_share=busy_bytes / memory.total,
            disk_share=_used(self._data),
            disk_written_bytes=written_bytes(self._sys, self._data),
            disk_wear=dict(wear(self._sys)),
            temperatures=dict(temperatures(self._sys)),
            process_cpu_s=cpu_s,
            process_bytes=resident,
            uptime_s=time.clock_gettime(time.CLOCK_BOOTTIME),
            clock=clock.quality(),
            clock_offset_us=clock.offset_us(),
        )

    def _own(self) -> tuple[float, int]:
        times = self._process.cpu_times()
        cpu_s = times.user + times.system + times.children_user + times.children_system
        resident = self._process.memory_info().rss
        for child in self._process.children(recursive=True):
            try:
                used = child.cpu_times()
                resident += child.memory_info().rss
            except psutil.Error:
                continue  # it has ended since; its time is in ours now
            cpu_s += used.user + used.system
        return cpu_s, resident


def temperatures(sys: Path) -> Iterator[tuple[str, float]]:
    """Each thermal zone that has a plausible figure, degrees Celsius."""
    zones = sorted((sys / "class/thermal").glob("thermal_zone*"))
    for zone in zones[:SENSORS_MAX]:
        milli = _number(zone / "temp")
        if milli is not None and -60_000 <= milli <= 200_000:
            yield _text(zone / "type") or zone.name, milli / 1000.0


def wear(sys: Path) -> Iterator[tuple[str, float]]:
    """Each eMMC device that tells its wear: the worse of its two kinds of memory."""
    for told in sorted((sys / "block").glob("*/device/life_time")):
        steps = [int(each, 16) for each in _text(told).split() if _is_hex(each)]
        known = [each for each in steps if 1 <= each <= WEAR_STEP_MAX]
        if known:
            yield told.parent.parent.name, min(1.1, max(known) * WEAR_STEP)


def written_bytes(sys: Path, data: Path) -> int | None:
    """What was ever written to the ext4 file system that *data* is on, by its own count."""
    try:
        number = data.stat().st_dev
    except OSError:
        return None
    device = sys / "dev/block" / f"{os.major(number)}:{os.minor(number)}"
    try:
        name = device.resolve(strict=True).name
    except OSError:
        return None
    kib = _number(sys / "fs/ext4" / name / "lifetime_write_kbytes")
    return None if kib is None else kib * KIB


def _used(data: Path) -> float | None:
    try:
        return float(psutil.disk_usage(str(data)).percent) / 100.0
    except OSError:
        return None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.removeprefix("-").isdecimal() and text.isascii() else None


def _text(path: Path) -> str:
    """One line of the kernel's; empty where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(TEXT_BYTES_MAX).decode("ascii", "replace").strip()
    except OSError:
        return ""


def _is_hex(text: str) -> bool:
    try:
        int(text, 16)
    except ValueError:
        return False
    return True
