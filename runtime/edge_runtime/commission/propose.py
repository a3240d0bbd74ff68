"""Proposes which node plays which role of a model's contract; pure: nodes in, proposal out.

A name says most, a unit that cannot be converted rules a node out, and nodes of one machine belong
together: of two that sound alike the one beside the others wins. What is left undecided is said.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edge_core.contracts.artefact import ModelSignature
from edge_runtime.commission.nodes import Node
from edge_runtime.commission.similar import name_score
from edge_runtime.sources.opcua_units import linear

SCORE_MIN: Final = 0.5  # what sounds less alike is no candidate
MARGIN: Final = 0.05  # two candidates that are closer are not told apart
TOGETHER: Final = 0.3  # how much a place beside the other roles counts
OTHERS_MAX: Final = 5  # shown of those that fit as well
ADDRESS_CHARS_MAX: Final = 300  # what a tag's address may have


class UnitFit(StrEnum):
    """What a node's unit says of it; the value is for people."""

    SAME = "same unit"
    CONVERTED = "converted"
    NOT_SHOWN = "unit not shown"
    FOREIGN = "another quantity"


_UNIT_FACTOR: Final = {
    UnitFit.SAME: 1.0,
    UnitFit.CONVERTED: 0.97,
    UnitFit.NOT_SHOWN: 0.9,
    UnitFit.FOREIGN: 0.0,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One role of a contract; a regime may be a text, a feature is a number."""

    role: str
    unit: str
    feature: bool = True


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node for a role, and how well it fits: 0 not at all, 1 exactly."""

    node: Node
    score: float
    unit_fit: UnitFit


@dataclass(frozen=True, slots=True)
class Mapped:
    """What became of one role.

    Attributes:
        chosen: None where nothing fits.
        others: what fits as well, best first; not empty means that a person must decide.
        near: ids of nodes of the right quantity, where nothing is chosen.
    """

    wanted: Wanted
    chosen: Candidate | None = None
    others: tuple[Candidate, ...] = ()
    near: tuple[Node, ...] = ()

    @property
    def missing(self) -> bool:
        """Whether nothing fits."""
        return self.chosen is None

    @property
    def ambiguous(self) -> bool:
        """Whether something else fits as well."""
        return bool(self.others)


def wanted_by(signature: ModelSignature) -> list[Wanted]:
    """The roles of a contract, each once, in the order of its features; then the regime."""
    units = {feature.role: feature.unit for feature in signature.features}
    found = [Wanted(role, units[role]) for role in signature.roles]
    regime = signature.regime_role
    if regime is not None and regime not in units:
        found.append(Wanted(regime, "1", feature=False))
    return found


def unit_fit(have: str, want: str) -> UnitFit:
    """What the unit *have* of a node says, where *want* is needed."""
    if not have:
        return UnitFit.NOT_SHOWN
    if have == want:
        return UnitFit.SAME
    way = linear(have, want)
    if way is None:
        return UnitFit.FOREIGN
    return UnitFit.SAME if way == (1.0, 0.0) else UnitFit.CONVERTED


def score(wanted: Wanted, node: Node) -> Candidate:
    """How well *node* plays the role; 0 if it cannot."""
    fit = unit_fit(node.unit, wanted.unit) if wanted.feature else UnitFit.SAME
    fits = node.numeric or (not wanted.feature and node.type in {"String", "LocalizedText"})
    if not fits or (node.access and "r" not in node.access):
        return Candidate(node, 0.0, fit)
    if len(node.node) > ADDRESS_CHARS_MAX or not node.node.isprintable():
        return Candidate(node, 0.0, fit)
    alike = name_score(wanted.role, node.name, node.parent)
    return Candidate(node, alike * _UNIT_FACTOR[fit], fit)


def propose(wanted: Sequence[Wanted], nodes: Sequence[Node]) -> list[Mapped]:
    """A node for each role, at most one role a node, in the order of *wanted*."""
    variables = [node for node in nodes if node.kind == "variable"]
    fitting = {each.role: _fitting(each, variables) for each in wanted}
    beside = _beside(fitting)
    ranked: dict[str, list[tuple[float, Candidate]]] = {}
    for role, found in fitting.items():
        # Python's sort keeps the server's order among equals.
        ranked[role] = sorted(
            (
                (each.score + TOGETHER * beside[each.node.parent] / len(wanted), each)
                for each in found
            ),
            key=lambda pair: -pair[0],
        )
    taken: set[str] = set()
    mapped: dict[str, Mapped] = {}
    # Whoever is surest chooses first.
    for each in sorted(
        wanted, key=lambda one: -max((s for s, _ in ranked[one.role]), default=0.0)
    ):
        mapped[each.role] = _choose(each, ranked[each.role], taken, variables)
    return [mapped[each.role] for each in wanted]


def _fitting(wanted: Wanted, variables: Sequence[Node]) -> list[Candidate]:
    found = [score(wanted, node) for node in variables]
    return [each for each in found if each.score >= SCORE_MIN]


def _beside(fitting: dict[str, list[Candidate]]) -> dict[str, float]:
    """For each folder: the sum over all roles of the best candidate in it."""
    best: dict[tuple[str, str], float] = defaultdict(float)
    for role, found in fitting.items():
        for each in found:
            place = (each.node.parent, role)
            best[place] = max(best[place], each.score)
    total: dict[str, float] = defaultdict(float)
    for (folder, _), points in best.items():
        total[folder] += points
    return total


def _choose(
    wanted: Wanted,
    ranked: list[tuple[float, Candidate]],
    taken: set[str],
    variables: Sequence[Node],
) -> Mapped:
    free = [(points, each) for points, each in ranked if each.node.node not in taken]
    if not free:
        near = [
            node
            for node in variables
            if node.numeric and node.unit and unit_fit(node.unit, wanted.unit) != UnitFit.FOREIGN
        ]
        return Mapped(wanted, near=tuple(near[:OTHERS_MAX]) if wanted.unit != "1" else ())
    best, chosen = free[0]
    taken.add(chosen.node.node)
    others = tuple(each for points, each in free[1:] if points >= best - MARGIN)
    return Mapped(wanted, chosen, others)
