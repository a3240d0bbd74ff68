"""OpenVINO pairs (`.xml` with `.bin`) that nobody should load, and the good one behind them."""

from dataclasses import dataclass

import numpy as np

HUGE = 10_000_000_000


@dataclass(frozen=True, slots=True)
class BadModel:
    """The files, and a part of the line that refuses them."""

    files: dict[str, bytes]
    says: str


TOPOLOGY = """<?xml version="1.0"?>
<net name="pump" version="11">
  <layers>
    <layer id="0" name="x" type="Parameter" version="opset1">
      <data shape="1,8" element_type="f32"/>
      <output><port id="0" precision="FP32" names="x"><dim>1</dim><dim>8</dim></port></output>
    </layer>
    <layer id="1" name="w" type="Const" version="opset1">
      <data element_type="f32" shape="8, 3" offset="0" size="96"/>
      <output><port id="0" precision="FP32"><dim>8</dim><dim>3</dim></port></output>
    </layer>
    <layer id="2" name="scores" type="MatMul" version="opset1">
      <data transpose_a="false" transpose_b="false"/>
      <input>
        <port id="0" precision="FP32"><dim>1</dim><dim>8</dim></port>
        <port id="1" precision="FP32"><dim>8</dim><dim>3</dim></port>
      </input>
      <output><port id="2" precision="FP32" names="scores"><dim>1</dim><dim>3</dim></port></output>
    </layer>
    <layer id="3" name="scores/sink_port_0" type="Result" version="opset1" output_names="scores">
      <input><port id="0" precision="FP32"><dim>1</dim><dim>3</dim></port></input>
    </layer>
  </layers>
  <edges>
    <edge from-layer="0" from-port="0" to-layer="2" to-port="0"/>
    <edge from-layer="1" from-port="0" to-layer="2" to-port="1"/>
    <edge from-layer="2" from-port="2" to-layer="3" to-port="0"/>
  </edges>
  <rt_info><Runtime_version value="any"/></rt_info>
</net>
"""
WEIGHTS = (np.arange(24, dtype=np.float32) / 24).tobytes()


def good_pair() -> dict[str, bytes]:
    """The OpenVINO pair that the bad ones are made from."""
    return {"model.xml": TOPOLOGY.encode(), "model.bin": WEIGHTS}


def _pair(old: str, new: str, says: str, weights: bytes = WEIGHTS) -> BadModel:
    assert old in TOPOLOGY
    topology = TOPOLOGY.replace(old, new, 1)
    return BadModel({"model.xml": topology.encode(), "model.bin": weights}, says)


def bad_pairs() -> dict[str, BadModel]:
    """All bad pairs, by what is wrong."""
    head = '<?xml version="1.0"?>\n'
    laughs = '<!DOCTYPE net [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    outside = '<!DOCTYPE net SYSTEM "file:///etc/passwd">'
    nan = np.full(24, np.nan, np.float32).tobytes()
    multiply = 'name="scores" type="MatMul" version="opset1"'
    return {
        "entities that grow": _pair(head, head + laughs, "document type"),
        "an entity from outside": _pair(head, head + outside, "document type"),
        "a processing instruction": _pair(head, head + "<?php 1 ?>", "instruction"),
        "no XML at all": BadModel({"model.xml": b"\0\1\2", "model.bin": b""}, "well-formed"),
        "XML that is not a network": BadModel(
            {"model.xml": b"<html/>", "model.bin": b""}, "expected <net>"
        ),
        "a network without layers": BadModel(
            {"model.xml": b'<net version="11"/>', "model.bin": b""}, "found none"
        ),
        "XML nested a thousand deep": _pair("<edges>", "<a>" * 1000 + "<edges>", "levels"),
        "a vendor's layer": _pair(multiply, multiply.replace("MatMul", "Own"), "not admitted"),
        "a layer of an extension": _pair(
            multiply, multiply.replace("opset1", "extension"), "opset1 to opset16"
        ),
        "a loop in a pair": _pair(
            multiply, multiply.replace("MatMul", "TensorIterator"), "not admitted"
        ),
        "a graph inside a layer": _pair("<edges>", "<body/><edges>", "nested graph"),
        "a constant beyond the weights": _pair('offset="0"', 'offset="1000"', "expected within"),
        "a constant at a negative place": _pair('offset="0"', 'offset="-4"', "expected a number"),
        "a constant of another length": _pair('size="96"', 'size="960"', "expects 96 bytes"),
        "a constant that is not a number": _pair("pump", "pump", "NaN", nan),
        "weights cut short": _pair("pump", "pump", "expected within", WEIGHTS[:-1]),
        "an open dimension": _pair(
            "<dim>8</dim></port></output>", "<dim>-1</dim></port></output>", "fixed"
        ),
        "a tensor of terabytes": _pair(
            '<port id="2" precision="FP32" names="scores"><dim>1</dim>',
            '<port id="2" precision="FP32" names="scores"><dim>999999999999</dim>',
            "expected at most",
        ),
        "a pair with another input": BadModel(
            {"model.xml": TOPOLOGY.replace('"x"', '"y"').encode(), "model.bin": WEIGHTS},
            "the signature expects",
        ),
        "a terminal escape in a layer's name": _pair('name="w"', 'name="w&#x9b;31m"', "printable"),
        "a port outside of a layer": _pair("<edges>", "<port/><edges>", "outside"),
    }


def bomb_pair() -> dict[str, bytes]:
    """A pair whose declared shapes are small, while a constant asks for forty gigabytes.

    The static gate lets it pass, since OpenVINO computes shapes anew; the child's limits hold.
    """
    topology = (
        TOPOLOGY.replace('element_type="f32" shape="8, 3"', 'element_type="i64" shape="2"')
        .replace('size="96"', 'size="16"')
        .replace('type="MatMul"', 'type="Tile"')
        .replace('<data transpose_a="false" transpose_b="false"/>', "")
        .replace("<dim>8</dim><dim>3</dim>", "<dim>2</dim>")
        .replace(
            '<port id="0" precision="FP32"><dim>2</dim>',
            '<port id="0" precision="I64"><dim>2</dim>',
        )
        .replace(
            '<port id="1" precision="FP32"><dim>2</dim>',
            '<port id="1" precision="I64"><dim>2</dim>',
        )
    )
    weights = np.array([1, HUGE // 8], np.int64).tobytes()
    return {"model.xml": topology.encode(), "model.bin": weights}
