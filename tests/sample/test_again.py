"""A recipe with something changed: what is given replaces what is stored, the rest stays."""

from dataclasses import replace

import numpy as np
import pytest

from cn.errors import InputError, UsageError
from cn.sample.again import again
from cn.sample.request import Condition, SampleRequest
from tests.helpers.sampling import blocks, write_condition

ONE = Condition(blocks(), "a.png", "canny", control="x", strength=0.5, start=0.25, end=0.75)
TWO = Condition(blocks(seed=1), "b.png", "depth", control="y")
STORED = SampleRequest(
    ("a house",), (ONE, TWO), steps=7, seed=3, negative="blur", base="b", size=(64, 64), precision="fp32"
)


def test_nothing_changed():
    assert again(STORED, {}, {}) == STORED


def test_options_and_prompts():
    changed = again(STORED, {"seed": 5, "count": 4, "scale": 3.0, "base": "c"}, {}, prompts=["a", "b"])
    assert changed == replace(STORED, seed=5, count=4, scale=3.0, base="c", prompts=("a", "b"))


def test_options_of_conditions():
    changed = again(STORED, {}, {"strength": [2.0], "control": ["canny", "depth"]})
    assert [(c.control, c.strength, c.end) for c in changed.conditions] == [("canny", 2, 0.75), ("depth", 2, 1)]
    assert changed.conditions[0].image is ONE.image
    with pytest.raises(UsageError, match="--strength is given 3 times for 2 --cond"):
        again(STORED, {}, {"strength": [1.0, 2.0, 3.0]})
    with pytest.raises(UsageError, match="--strength: this image was sampled without a condition"):
        again(replace(STORED, conditions=()), {}, {"strength": [1.0]})


def test_as_many_new_conditions_keep_their_settings(tmp_path):
    paths = [str(write_condition(tmp_path / f"{k}.png", seed=k + 5)) for k in range(2)]
    first, second = again(STORED, {}, {"end": [1.0]}, cond=paths).conditions
    assert (first.name, first.control, first.strength, first.start, first.end) == (paths[0], "x", 0.5, 0.25, 1)
    assert (second.name, second.control, second.strength) == (paths[1], "y", 1)
    assert np.array_equal(first.image, blocks(seed=5))


def test_another_number_of_conditions_begins_afresh(tmp_path):
    path = str(write_condition(tmp_path / "c.png"))
    (only,) = again(STORED, {}, {"control": ["canny"]}, cond=[path]).conditions
    assert (only.control, only.strength, only.start, only.end) == ("canny", 1, 0, 1)
    (inverted,) = again(STORED, {}, {"control": ["canny"]}, cond=[path], invert=True).conditions
    assert np.array_equal(inverted.image, 255 - blocks())
    with pytest.raises(UsageError, match="--detect and --invert need a --cond image"):
        again(STORED, {}, {}, invert=True)


def test_conditions_that_the_file_had_no_room_for(tmp_path):
    without = replace(STORED, conditions=(replace(ONE, image=np.zeros((0, 0, 3), np.uint8)),))
    with pytest.raises(InputError, match="did not fit into it; give them with --cond"):
        again(without, {}, {"strength": [1.0]})
    (given,) = again(without, {}, {}, cond=[str(write_condition(tmp_path / "c.png"))]).conditions
    assert (given.control, given.strength) == ("x", 0.5)
