"""A proposal as text: `[[tags]]` for a gateway's configuration, and what people must look at."""

from collections.abc import Iterator, Sequence

from edge_core.command import one_line
from edge_runtime.commission.exports import toml_text, toml_value
from edge_runtime.commission.nodes import Node
from edge_runtime.commission.propose import OTHERS_MAX, Candidate, Mapped, Wanted
from edge_runtime.sources.opcua_units import linear


def as_tags(mapped: Sequence[Mapped], source: str, title: str) -> Iterator[str]:
    """The tag map as TOML; what is missing or open is a comment at its place."""
    found = sum(not each.missing for each in mapped)
    yield f"# {one_line(title)}"
    yield f"# {len(mapped)} roles, {found} found; check each before you run it"
    for each in mapped:
        yield ""
        if each.chosen is None:
            yield from _comments(missing_words(each))
            continue
        node = each.chosen.node
        yield "[[tags]]"
        yield f"role = {toml_text(each.wanted.role)}"
        yield f"unit = {toml_text(each.wanted.unit)}{_unit_remark(each.wanted, node)}"
        yield f"source = {toml_text(source)}"
        yield f"address = {toml_text(node.node)}"
        yield from _limits(each.wanted, node)
        yield from _comments(
            *(f"fits as well: {other.node.node}" for other in each.others[:OTHERS_MAX])
        )


def _limits(wanted: Wanted, node: Node) -> Iterator[str]:
    """The range that the server promises, in the tag's unit."""
    way = linear(node.unit, wanted.unit) if node.unit and wanted.feature else (1.0, 0.0)
    if node.low is None or node.high is None or way is None:
        return
    factor, offset = way
    low, high = sorted(round(factor * end + offset, 6) for end in (node.low, node.high))
    yield f"low = {toml_value(low)}  # the server's EURange"
    yield f"high = {toml_value(high)}"


def missing_words(mapped: Mapped) -> str:
    """What a role lacks, in one line."""
    role, unit = mapped.wanted.role, mapped.wanted.unit
    words = (
        f"{role}: expected a variable that sounds like it and is in {unit} or convertible to it"
    )
    if not mapped.near:
        return f"{words}, found none"
    near = ", ".join(f"{node.path} ({node.unit})" for node in mapped.near)
    return f"{words}, found none; of that quantity are {near}"


def ambiguous_words(mapped: Mapped) -> str:
    """Between what a person must decide, in one line."""
    paths = [each.node.path for each in (mapped.chosen, *mapped.others) if each is not None]
    others = ", ".join(paths[1 : OTHERS_MAX + 1])
    more = f" and {len(paths) - OTHERS_MAX - 1} more" if len(paths) > OTHERS_MAX + 1 else ""
    return (
        f"{mapped.wanted.role}: {paths[0]} is proposed, but {others}{more} fit as well; "
        "narrow it with --filter"
    )


def as_json(mapped: Sequence[Mapped], source: str) -> dict[str, object]:
    """The proposal for a program."""
    return {
        "tags": [_tag(each, each.chosen, source) for each in mapped if each.chosen is not None],
        "missing": [each.wanted.role for each in mapped if each.missing],
        "ambiguous": [each.wanted.role for each in mapped if each.ambiguous],
    }


def _tag(mapped: Mapped, chosen: Candidate, source: str) -> dict[str, object]:
    return {
        "role": mapped.wanted.role,
        "unit": mapped.wanted.unit,
        "source": source,
        "address": chosen.node.node,
        **_fit(chosen),
        "others": [
            {"address": each.node.node, **_fit(each)} for each in mapped.others[:OTHERS_MAX]
        ],
    }


def _fit(candidate: Candidate) -> dict[str, object]:
    return {
        "path": candidate.node.path,
        "score": round(candidate.score, 3),
        "unit_fit": candidate.unit_fit.value,
    }


def _unit_remark(wanted: Wanted, node: Node) -> str:
    if not wanted.feature or linear(node.unit, wanted.unit) == (1.0, 0.0):
        return ""
    if not node.unit:
        return "  # the server shows no unit: check it"
    return f"  # the server has {one_line(node.unit)}, which is converted"


def _comments(*lines: str) -> Iterator[str]:
    for line in lines:
        yield f"# {one_line(line)}"
