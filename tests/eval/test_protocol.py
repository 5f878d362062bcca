"""The protocol's hash: frozen, and different for every difference."""

import json
from dataclasses import fields, replace

import pytest

from cn.errors import InputError
from cn.eval.protocol import Protocol, SamplingProtocol, differences

SAMPLING = SamplingProtocol(
    kind="canny",
    data_sha256="d" * 64,
    count=64,
    size=256,
    prompts="captions",
    base_sha256="b" * 64,
    steps=20,
    scale=9.0,
    strength=1.0,
    precision="fp32",
)
MEASURE = {"against": "map", "detector": "canny (OpenCV)", "params": {"low": 100.0}, "weights_sha256": None}
PROTOCOL = Protocol(SAMPLING, {"edge F1": MEASURE})


def test_the_hash_is_the_one_that_published_figures_state():
    """If this fails, figures of before and after are not comparable: raise VERSION and say so in the changelog."""
    assert SAMPLING.hash == "f5d212faf59bd29c466046facc10cd4626c821c8c013ab5f5ef1fd0901962ce6"
    assert PROTOCOL.hash == "d5a5c5d40041ee15e23d772c5d342863330e6d99ebfe58950bcbb7648eb0884f"


@pytest.mark.parametrize("name", [field.name for field in fields(SamplingProtocol)])
def test_every_field_decides(name):
    value = getattr(SAMPLING, name)
    more = {int: 1, float: 1, str: "x", tuple: ("x:1",)}[type(value)]
    other = replace(SAMPLING, **{name: value + more})
    assert Protocol.from_record(json.loads(json.dumps(Protocol(other, {}).record()))).sampling == other
    assert other.hash != SAMPLING.hash
    assert replace(PROTOCOL, sampling=other).hash != PROTOCOL.hash
    (difference,) = differences(SAMPLING, other)
    assert difference.startswith(f"{name}: ")


def test_measures_decide_and_their_order_does_not():
    other = Protocol(SAMPLING, {"edge F1": {**MEASURE, "params": {"low": 50.0}}})
    assert other.hash != PROTOCOL.hash
    assert differences(PROTOCOL, other) == ["edge F1 params low: 100.0 there, 50.0 here"]
    two = Protocol(SAMPLING, {"edge F1": MEASURE, "CLIP score": {"detector": "ViT"}})
    assert two.hash == Protocol(SAMPLING, {"CLIP score": {"detector": "ViT"}, "edge F1": MEASURE}).hash
    assert differences(PROTOCOL, two) == ["CLIP score detector: nothing there, ViT here"]
    assert differences(PROTOCOL, PROTOCOL) == []


def test_it_is_read_as_it_was_written():
    assert Protocol.from_record(json.loads(json.dumps(PROTOCOL.record()))) == PROTOCOL
    for wrong in (None, {}, {"sampling": {}}, {**PROTOCOL.record(), "measures": [1]}, [1]):
        with pytest.raises(InputError, match="holds no protocol"):
            Protocol.from_record(wrong)
