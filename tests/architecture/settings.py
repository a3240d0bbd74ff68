"""Says a configuration `Struct` in Markdown: every setting with its type, default and meaning."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec import inspect as wire

from edge_core.contracts import artefact, plant

MIB = 1024 * 1024
BYTES = re.compile(r"_bytes|bytes_")
# Forms of text that come up again and again, in words; any other form is shown as its pattern.
FORMS = {
    "label": (artefact.Label, "lower-case letters, digits, `_`, `-`; a letter first; at most 40"),
    "name": (artefact.Name, "lower-case letters, digits, `.`, `_`, `-`, `/`; at most 128"),
    "version": (artefact.Version, "letters, digits, `.`, `+`, `_`, `-`; at most 64"),
    "digest": (artefact.Digest, "`sha256:` and 64 digits, lower case"),
    "serial": (plant.Serial, "letters, digits, `.`, `_`, `-`; at most 63"),
}
PLAIN: dict[type[wire.Type], str] = {
    wire.StrType: "text",
    wire.BoolType: "true or false",
    wire.StructType: "table",
    wire.DateTimeType: "date and time with zone",
}


def pattern_of(kind: Any) -> str:  # an Annotated alias has no type of its own
    """The pattern of an annotated text type."""
    found = wire.type_info(kind)
    assert isinstance(found, wire.StrType)
    return found.pattern or ""


FORM_OF = {pattern_of(kind): name for name, (kind, _) in FORMS.items()}


def sections(
    config: type[Struct], path: str = "", *, many: bool = False, made: Struct | None = None
) -> Iterator[str]:
    """One section a table of the TOML file, outer tables first.

    Args:
        config: what the table is decoded into.
        path: of the table, empty at the top.
        many: whether the table may stand there several times.
        made: what holds if the table is left out, None if it must be there or nothing holds.
    """
    title = f"[[{path}]]" if many else f"[{path}]"
    yield section(config, title if path else "", made)
    for field in msgspec.structs.fields(config):
        inner = f"{path}.{field.encode_name}" if path else field.encode_name
        kind = wire.type_info(field.type)
        found = default(field, made)
        for part in structs(kind):
            yield from sections(
                part,
                inner,
                many=isinstance(kind, wire.ListType | wire.VarTupleType),
                made=found if isinstance(found, part) else None,
            )


def section(config: type[Struct], table: str, made: Struct | None) -> str:
    """The heading, the duty and the settings of one `Struct`."""
    tagged = config.__struct_config__.tag
    kind = f' with `{config.__struct_config__.tag_field} = "{tagged}"`' if tagged else ""
    title = f"### `{table}`{kind}" if table else "### Top level"
    rows = [
        f"| `{field.encode_name}` | {written(wire.type_info(field.type))} | "
        f"{otherwise(field, made)} | {meanings(config).get(field.name, '')} |"
        for field in msgspec.structs.fields(config)
    ]
    duty = re.split(r"\n\n\w+:\n", inspect.getdoc(config) or "")[0]
    head = "| setting | value | default | meaning |\n|---|---|---|---|"
    return "\n".join([title, "", duty, "", head, *rows, ""])


def structs(kind: wire.Type) -> Iterator[type[Struct]]:
    """The tables that *kind* holds, in order."""
    match kind:
        case wire.StructType(cls=cls):
            yield cls
        case wire.ListType(item_type=item) | wire.VarTupleType(item_type=item):
            yield from structs(item)
        case wire.UnionType(types=types):
            for each in types:
                yield from structs(each)


def written(kind: wire.Type) -> str:
    """A type in an engineer's words."""
    match kind:
        case wire.IntType() | wire.FloatType():
            words = _number(kind)
        case wire.StrType(pattern=str(pattern)):
            words = FORM_OF.get(pattern) or f"text like `{_cell(pattern)}`"
        case wire.EnumType(cls=cls):
            words = " or ".join(f"`{member.value}`" for member in cls)
        case wire.LiteralType(values=values):
            words = " or ".join(f"`{value}`" for value in values)
        case wire.ListType(item_type=item) | wire.VarTupleType(item_type=item):
            words = "one table each" if any(structs(item)) else f"list of: {written(item)}"
        case wire.DictType(key_type=key, value_type=value):
            words = f"table: {written(key)} = {written(value)}"
        case wire.UnionType(types=types):
            known = [each for each in types if not isinstance(each, wire.NoneType)]
            words = " or ".join(dict.fromkeys(written(each) for each in known))
        case wire.CustomType(cls=cls):
            words = cls.__name__.lower()
        case _:
            words = PLAIN[type(kind)]
    return words


def _number(kind: wire.IntType | wire.FloatType) -> str:
    words = "integer" if isinstance(kind, wire.IntType) else "number"
    bounds = (
        ("from", kind.ge),
        ("above", kind.gt),
        ("to", kind.le),
        ("below", kind.lt),
    )
    said = [f"{word} {bound:_}" for word, bound in bounds if bound is not None]
    return ", ".join([words, " ".join(said)]) if said else words


def default(field: msgspec.structs.FieldInfo, made: Struct | None) -> Any:  # any value there is
    """What holds when the file does not name the field; NODEFAULT where it must."""
    if made is not None:
        return getattr(made, field.name)
    if field.default_factory is not msgspec.NODEFAULT:
        assert callable(field.default_factory)
        return field.default_factory()
    return field.default


def otherwise(field: msgspec.structs.FieldInfo, made: Struct | None) -> str:
    """The default in words."""
    found = default(field, made)
    if found is msgspec.NODEFAULT:
        return "must be given"
    if isinstance(found, Struct):
        return "as below"
    said = "none" if found is None else f"`{_cell(_toml(found, field.encode_name))}`"
    return f"{said}; must be given if the table is" if field.required else said


def _toml(value: Any, name: str = "") -> str:  # any default there is
    match value:
        case bool():
            written = str(value).lower()
        case Enum() | str() | Path():
            written = f'"{value.value if isinstance(value, Enum) else value}"'
        case int() if BYTES.search(name) and value and value % MIB == 0:
            written = f"{value} ({value // MIB} MiB)"
        case list() | tuple():
            written = "[" + ", ".join(_toml(each) for each in value) + "]"
        case Struct():
            pairs = (f"{name} = {_toml(each)}" for name, each in _differing(value))
            written = "{" + ", ".join(pairs) + "}"
        case dict():
            pairs = (f"{key} = {_toml(each)}" for key, each in value.items())
            written = "{" + ", ".join(pairs) + "}"
        case _:
            written = str(value)
    return written


def _differing(made: Struct) -> Iterator[tuple[str, Any]]:  # any value a field may have
    for field in msgspec.structs.fields(made):
        if getattr(made, field.name) != default(field, None):
            yield field.encode_name, getattr(made, field.name)


def meanings(config: type[Struct]) -> dict[str, str]:
    """What the class says of its fields: under `Attributes:`, else in the comment on the line."""
    parts = [part for part in reversed(config.__mro__) if part.__module__.startswith("edge_")]
    found = {name: words for part in parts for name, words in _comments(part).items()}
    _, _, listed = (inspect.getdoc(config) or "").partition("Attributes:\n")
    for entry in re.split(r"\n(?=    \w+: )", "\n" + listed):
        name, _, words = entry.strip().partition(": ")
        if words:
            found[name] = _cell(" ".join(words.split()).rstrip("."))
    return found


def _comments(config: type) -> dict[str, str]:
    source = textwrap.dedent(inspect.getsource(config))
    lines = source.splitlines()
    (body,) = ast.parse(source).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            assert node.end_lineno is not None
            assert node.end_col_offset is not None
            rest = lines[node.end_lineno - 1][node.end_col_offset :]
            if "#" in rest and "noqa" not in rest:
                found[node.target.id] = _cell(rest.partition("#")[2].strip())
    return found


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
