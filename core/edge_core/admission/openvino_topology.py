"""Reads the XML of an OpenVINO IR into plain layers, with every door shut that XML has.

No document type, no entities, no processing instructions; depth, count and names are bounded;
nested graphs and open dimensions are refused. What `rt_info` says is skipped: it is remarks.
"""

import re
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

from edge_core.admission.errors import ModelRefusedError
from edge_core.admission.model import GateLimits

DEPTH_MAX = 24
_PRINTABLE = re.compile(r"[\x20-\x7e]*\Z")
_NESTED = frozenset({"body", "then_body", "else_body", "port_map", "back_edges"})


@dataclass(slots=True)
class Port:
    """One tensor that a layer takes or makes; `names` are the tensor's."""

    precision: str
    names: list[str]
    dims: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Layer:
    """One operator as written."""

    name: str
    kind: str
    version: str
    names: list[str]
    facts: dict[str, str] = field(default_factory=dict)
    takes: list[Port] = field(default_factory=list)
    makes: list[Port] = field(default_factory=list)


def read_topology(name: str, topology: bytes, limits: GateLimits) -> list[Layer]:
    """The layers of the network in *topology*, in the order written.

    Raises:
        ModelRefusedError: not plain XML of an IR, or beyond the bounds.
    """
    reader = _Reader(name, limits)
    reader.read(topology)
    return reader.layers


class _Reader:
    """Where the parser is, and the layers so far."""

    def __init__(self, name: str, limits: GateLimits) -> None:
        self.layers: list[Layer] = []
        self._name = name
        self._limits = limits
        self._path: list[str] = []
        self._elements = 0
        self._text = ""

    def read(self, topology: bytes) -> None:
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._shut
        parser.EntityDeclHandler = self._shut
        parser.ProcessingInstructionHandler = self._shut
        parser.ExternalEntityRefHandler = self._shut
        try:
            parser.Parse(topology, True)  # noqa: FBT003 - expat's own signature
        except expat.ExpatError as error:
            self._refuse(f"expected well-formed XML: {error}")
        if not self.layers:
            self._refuse("expected layers, found none")

    def _refuse(self, what: str) -> NoReturn:
        raise ModelRefusedError(f"{self._name}: {what}")

    def _shut(self, *_: object) -> NoReturn:
        self._refuse("has a document type, an entity or a processing instruction, expected none")

    def _start(self, tag: str, facts: dict[str, str]) -> None:
        self._path.append(tag)
        self._elements += 1
        self._text = ""
        if len(self._path) > DEPTH_MAX or self._elements > self._limits.entries_max:
            self._refuse(
                f"expected at most {DEPTH_MAX} levels and {self._limits.entries_max} elements"
            )
        if len(self._path) == 1 and (tag != "net" or facts.get("version") not in {"10", "11"}):
            self._refuse(f"expected <net> of IR version 10 or 11, found {tag[:40]!a}")
        if "rt_info" not in self._path:
            self._element(tag, facts)

    def _element(self, tag: str, facts: dict[str, str]) -> None:
        if tag in _NESTED:
            self._refuse(f"holds a nested graph ({tag}), expected none")
        if tag == "layer":
            self._layer(facts)
        elif tag == "data" and self.layers:
            self.layers[-1].facts = facts
        elif tag == "port":
            self._ports().append(Port(facts.get("precision", ""), _split(facts.get("names", ""))))

    def _layer(self, facts: dict[str, str]) -> None:
        if self._path != ["net", "layers", "layer"]:
            self._refuse("a layer stands outside the list of layers")
        if len(self.layers) >= self._limits.nodes_max:
            self._refuse(f"expected at most {self._limits.nodes_max} layers")
        texts = [facts.get(key, "") for key in ("name", "type", "version", "output_names")]
        for text in texts:
            if len(text) > self._limits.name_chars_max or not _PRINTABLE.match(text):
                self._refuse(
                    f"name {text[:80]!a}: expected at most {self._limits.name_chars_max} "
                    "printable ASCII characters"
                )
        self.layers.append(Layer(texts[0], texts[1], texts[2], _split(texts[3])))

    def _ports(self) -> list[Port]:
        """Where a port belongs that stands at this place."""
        sides = self._path[3:4]
        if self._path[:3] != ["net", "layers", "layer"] or sides not in (["input"], ["output"]):
            self._refuse("a port stands outside a layer's input or output")
        return self.layers[-1].takes if sides == ["input"] else self.layers[-1].makes

    def _end(self, tag: str) -> None:
        if tag == "dim" and "rt_info" not in self._path:
            ports = self._ports()
            text = self._text.strip()
            if not ports or not re.fullmatch(r"[0-9]{1,15}", text):
                self._refuse(f"dimension {text[:40]!a}: expected a number, since shapes are fixed")
            ports[-1].dims.append(int(text))
        self._path.pop()

    def _characters(self, text: str) -> None:
        if self._path[-1] == "dim":
            self._text = (self._text + text)[:64]


def _split(names: str) -> list[str]:
    """Tensor names as IR writes them: joined by commas, a comma inside a name escaped."""
    return [part.replace("\\,", ",") for part in re.split(r"(?<!\\),", names) if part]
