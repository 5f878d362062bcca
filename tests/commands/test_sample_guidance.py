"""`cn sample` without --scale: the guidance scale is that of the base."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cn import images
from cn.checkpoints.read.load import describe_base
from cn.checkpoints.write.native import save_base
from cn.errors import CnError
from cn.sample import png_metadata
from tests.helpers.model_helpers import TINY_V, tiny_base

OWN = replace(TINY_V, guidance_scale=3.0)


@pytest.fixture
def own(tmp_path_factory):
    """A base whose guidance scale is 3."""
    path = tmp_path_factory.mktemp("own") / "own.safetensors"
    save_base(path, tiny_base(OWN))
    return str(path)


def scale_of(name):
    return png_metadata.from_file(name).request.scale


def test_the_guidance_is_that_of_the_base(sample, own):
    for base, words, out in ((own, (), "a"), (own, ("--scale", "3"), "b"), (own, ("--scale", "9"), "c")):
        code, _, err = sample("--seed", "1", "--size", "64x64", *words, "--out", f"out/{out}.png", base=base)
        assert code == 0, err
    assert [scale_of(f"out/{name}.png") for name in "abc"] == [3.0, 3.0, 9.0]
    first, second, third = (images.read(f"out/{name}.png") for name in "abc")
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


def test_bases_that_say_nothing_have_that_of_the_paper(sample):
    assert sample("--size", "64x64", "--out", "out/a.png")[0] == 0
    assert scale_of("out/a.png") == 9.0


def test_the_plan_says_it(sample, own):
    code, _, err = sample("--size", "64x64", "--out", "out/a.png", base=own)
    assert (code, "guidance 3," in err) == (0, True), err


def test_a_job_that_is_run_again_has_the_same_guidance(sample, own):
    words = ("--size", "64x64", "--count", "2", "--out", "out")
    assert sample(*words, "--scale", "9", base=own)[0] == 0
    code, _, err = sample(*words, base=own)
    assert (code, "was sampled with another scale, 9 and not 3; " in err) == (3, True), err
    assert sample(*words, "--scale", "9", base=own)[0] == 0


def test_an_image_is_made_again_with_its_own_guidance(sample, own):
    assert sample("--size", "64x64", "--scale", "4", "--out", "out/a.png", base=own)[0] == 0
    assert sample("--from", "out/a.png", "--out", "out/b.png", base=own, quick=False)[0] == 0
    assert scale_of("out/b.png") == 4.0


def test_a_wrong_scale_in_a_header_is_refused(tmp_path):
    path = tmp_path / "wrong.safetensors"
    save_base(path, tiny_base(OWN))
    data = path.read_bytes()
    header = json.dumps({"guidance_scale": 3.0})[1:-1].replace('"', '\\"').encode()
    assert header in data
    path.write_bytes(data.replace(header, header.replace(b"3.0", b"{ }")))
    with pytest.raises(CnError, match="guidance_scale"):
        describe_base(path)
