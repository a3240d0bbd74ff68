"""What is wrong with a document, as a person who must mend it wants to read it.

msgspec says that a document does not fit its type, and where; this adds what would fit there and
what was found, from the type and the document.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect

from edge_core.contracts.errors import ConfigurationError

_MESSAGE: Final = re.compile(
    r"(?P<said>.*?)(?: - at (?P<of>`key` in )?`\$(?P<path>.*)`)?", re.DOTALL
)
_STEP: Final = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<at>\d+)\]|\[\.\.\.\]")
_FIELD: Final = re.compile(
    r"Object (?P<what>missing required|contains unknown) field `(.*)`", re.DOTALL
)
_FORMS: Final = ("Expected ", "Invalid ", "Object ")
FOUND_MAX: Final = 60  # characters of a found value that are shown

Node = inspect.Type
Config = TypeVar("Config", bound=msgspec.Struct)


def from_toml(raw: bytes, kind: type[Config], *, what: str) -> Config:
    """Decode the TOML document *raw* into *kind*.

    Raises:
        ConfigurationError: not TOML, an unknown key, or a value outside its bounds; the message
            names *what*, key and expectation.
    """
    try:
        document = msgspec.toml.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{what}: expected TOML: {error}") from None
    try:
        return msgspec.convert(document, kind, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{what}: {misfit(error, kind, document)}") from None


def _decode(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"Expected `{kind.__name__}`, got `{type(value).__name__}`")


def misfit(error: msgspec.ValidationError, kind: type, document: object) -> str:
    """The key, what was expected there and what was found, in one line.

    Args:
        error: what msgspec said of *document* as a *kind*.
        kind: the type that the document should have had.
        document: as parsed from its format.
    """
    message = _MESSAGE.fullmatch(str(error))
    if message is None or message["of"]:
        return str(error)
    steps = list(_STEP.finditer(message["path"] or ""))
    if any(step["name"] is None and step["at"] is None for step in steps):
        return str(error)  # somewhere below a key that msgspec does not name
    path = [step["name"] if step["at"] is None else int(step["at"]) for step in steps]
    if not message["said"].startswith(_FORMS):
        return message["said"]  # a type of ours has checked itself, and names its keys
    field = _FIELD.fullmatch(message["said"])
    if field is not None:
        return _field(path, field[2], kind, document, missing=field["what"] != "contains unknown")
    found = _at(document, path)
    node = _resolve(inspect.type_info(kind), document, path)
    if node is None or found is _NOTHING:
        return str(error)
    return f"{_key(path)}: expected {_words(node)}, found {_shown(found)}"


def _field(
    path: list[str | int], name: str, kind: type, document: object, *, missing: bool
) -> str:
    node = _resolve(inspect.type_info(kind), document, path)
    key = _key([*path, name])
    if missing:
        inner = None if node is None else _resolve(node, {}, [name])
        return f"{key}: expected {'a value' if inner is None else _words(inner)}, found nothing"
    known = (
        [] if not isinstance(node, inspect.StructType) else [f.encode_name for f in node.fields]
    )
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"`{near[0]}`" if near else f"one of {_listed(known)}" if known else "another"
    return f"{key}: no such key, expected {hint}"


_NOTHING: Final = object()


def _at(document: object, path: Sequence[str | int]) -> object:
    for step in path:
        if isinstance(document, Mapping) and isinstance(step, str):
            document = document.get(step, _NOTHING)
        elif isinstance(document, list) and isinstance(step, int) and step < len(document):
            document = document[step]
        else:
            return _NOTHING
    return document


def _resolve(node: Node, document: object, path: Sequence[str | int]) -> Node | None:
    """The type at *path*; None where types and path do not go together."""
    node = _chosen(node, document)
    for at, step in enumerate(path):
        inner: Node | None = None
        match node:
            case inspect.StructType(fields=fields, tag_field=tag_field):
                named = {field.encode_name: field.type for field in fields}
                inner = named.get(str(step))
                if inner is None and step == tag_field:
                    return node
            case inspect.UnionType() if at == len(path) - 1:
                return node  # the tag of a table that could be several things
            case inspect.DictType(value_type=value):
                inner = value
            case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
                inner = item
        if inner is None:
            return None
        document = _at(document, [step])
        node = _chosen(inner, document)
    return node


def _chosen(node: Node, document: object) -> Node:
    """Of a union the member that *document* says it is; a plain type is itself."""
    while isinstance(node, inspect.Metadata):
        node = node.type
    if not isinstance(node, inspect.UnionType):
        return node
    members = [each for each in node.types if not isinstance(each, inspect.NoneType)]
    if len(members) == 1:
        return _chosen(members[0], document)
    if isinstance(document, Mapping):
        for each in members:
            if isinstance(each, inspect.StructType) and document.get(each.tag_field) == each.tag:
                return each
    return node


def _words(node: Node) -> str:
    words = type(node).__name__.removesuffix("Type").lower()
    match node:
        case inspect.BoolType():
            words = "true or false"
        case inspect.IntType():
            words = "a whole number" + _bounds(node)
        case inspect.FloatType():
            words = "a number" + _bounds(node)
        case inspect.StrType(pattern=pattern):
            form = "" if pattern is None else f" that matches {pattern}"
            words = "text" + form + _lengths(node, "characters")
        case inspect.EnumType(cls=members):
            words = f"one of {_listed([str(each.value) for each in members])}"
        case inspect.LiteralType(values=values):
            words = f"one of {_listed([str(each) for each in values])}"
        case inspect.ListType() | inspect.VarTupleType():
            words = "a list" + _lengths(node, "entries")
        case inspect.StructType() | inspect.DictType():
            words = "a table"
        case inspect.UnionType(types=types):
            words = _one_of(types)
        case inspect.CustomType(cls=kind):
            words = f"a {kind.__name__.lower()}"
    return words


def _one_of(types: Sequence[Node]) -> str:
    tagged = [each for each in types if isinstance(each, inspect.StructType) and each.tag]
    if len(tagged) == len(types):
        return f"one of {_listed([str(each.tag) for each in tagged])}"
    return " or ".join(_words(_chosen(each, None)) for each in types)


def _bounds(node: inspect.IntType | inspect.FloatType) -> str:
    said = [
        f"{word} {bound:g}"
        for word, bound in (
            ("of at least", node.ge),
            ("above", node.gt),
            ("of at most", node.le),
            ("below", node.lt),
        )
        if bound is not None
    ]
    return (
        " " + " and ".join([*said[:1], *(each.removeprefix("of ") for each in said[1:])])
        if said
        else ""
    )


def _lengths(node: Any, what: str) -> str:  # Any: several types with the same two bounds
    least, most = node.min_length, node.max_length
    if least is None and most is None:
        return ""
    if most is None:
        return f" of at least {least} {what}"
    return f" of at most {most} {what}" if not least else f" of {least} to {most} {what}"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words)


def _key(path: Sequence[str | int]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".") or "the document"


def _shown(found: object) -> str:
    match found:
        case bool():
            return str(found).lower()
        case Mapping():
            return "a table"
        case list():
            return f"a list of {len(found)}" if found else "an empty list"
    text = repr(found)
    return text if len(text) <= FOUND_MAX else text[: FOUND_MAX - 1] + "…"
