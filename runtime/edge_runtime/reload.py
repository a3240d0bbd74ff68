"""What of a new configuration a running gateway can take over, and what needs a restart; pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Struct

from edge_runtime.config import Config

_TAG_LIMITS: Final = frozenset({"low", "high", "sentinels", "flat_rows_max"})
_LIVE: Final = frozenset({"log_level", "proxy.heartbeat_s", "proxy.telemetry_s"})
_LIVE_TABLES: Final = ("review.",)
_NAMED: Final = {"tags": "role", "sources": "name"}  # lists of tables, and what names an item
VALUE_CHARS_MAX: Final = 80


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that is another one now; `key` is written as an error would write it."""

    key: str
    was: object
    now: object

    @property
    def live(self) -> bool:
        """Whether a running gateway can take it over."""
        if self.key in _LIVE or self.key.startswith(_LIVE_TABLES):
            return True
        table, _, field = self.key.rpartition(".")
        return table.startswith("tags[") and field in _TAG_LIMITS

    @property
    def refusal(self) -> str:
        """Why not, in one line."""
        return (
            f"`$.{self.key}`: expected {_shown(self.key, self.was)} while the gateway runs, found "
            f"{_shown(self.key, self.now)}; restart it to change this"
        )


@dataclass(frozen=True, slots=True)
class Reload:
    """What comes of a new configuration: what to work with now, and what it could not change."""

    config: Config
    applied: tuple[Change, ...]
    refused: tuple[Change, ...]


def reloaded(old: Config, new: Config) -> Reload:
    """*old* with everything of *new* that a running gateway can take over."""
    found = tuple(changes(old, new))
    refused = tuple(change for change in found if not change.live)
    same_tags = [tag.role for tag in old.tags] == [tag.role for tag in new.tags]
    tags = [
        msgspec.structs.replace(was, **{name: getattr(now, name) for name in _TAG_LIMITS})
        for was, now in zip(old.tags, new.tags, strict=False)
    ]
    config = msgspec.structs.replace(
        old,
        log_level=new.log_level,
        review=new.review,
        tags=tags if same_tags else old.tags,
        proxy=msgspec.structs.replace(
            old.proxy, heartbeat_s=new.proxy.heartbeat_s, telemetry_s=new.proxy.telemetry_s
        ),
    )
    return Reload(config, tuple(change for change in found if change.live), refused)


def changes(old: Struct, new: Struct, above: str = "") -> Iterator[Change]:
    """Every setting in which *new* differs from *old*, as deep as both have the same form."""
    for name in old.__struct_fields__:
        yield from _differ(f"{above}{name}", getattr(old, name), getattr(new, name))


def _differ(key: str, was: object, now: object) -> Iterator[Change]:
    if was == now:
        return
    if isinstance(was, Struct) and type(was) is type(now):
        yield from changes(was, now, f"{key}.")
    elif pairs := _pairs(key, was, now):
        for number, (one, other) in enumerate(pairs):
            yield from _differ(f"{key}[{number}]", one, other)
    else:
        yield Change(key, was, now)


def _pairs(key: str, was: object, now: object) -> list[tuple[object, object]]:
    """Two lists of the same things in the same places, item by item; empty of any others."""
    if not (isinstance(was, list) and isinstance(now, list) and key in _NAMED):
        return []
    same = _names(key, was) == _names(key, now)
    return list(zip(was, now, strict=True)) if same else []


def _names(key: str, items: list[object]) -> list[str]:
    return [str(getattr(each, _NAMED[key]) if key in _NAMED else each) for each in items]


def _shown(key: str, value: object) -> str:
    """A value short enough for a line of a log; secrets are files and never stand here."""
    if isinstance(value, list):
        text = f"{len(value)} ({', '.join(_names(key, value))})"
    elif isinstance(value, Struct):
        text = type(value).__name__
    else:
        text = "none" if value is None else str(value)
    return text if len(text) <= VALUE_CHARS_MAX else text[: VALUE_CHARS_MAX - 3] + "..."
