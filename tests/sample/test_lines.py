"""Prompts and options, a line each: what a line may say, and what is wrong with it."""

import re
from dataclasses import replace

import numpy as np
import pytest

from cn import images
from cn.errors import CnError, InputError, WeightsError
from cn.sample.lines import read_requests, request_of
from cn.sample.request import Condition, SampleRequest
from cn.sample.start_image import read_start
from cn.weights import bundled
from tests.helpers.sampling import blocks, write_condition

BASE = SampleRequest(prompts=("default",), steps=7, seed=3, negative="blur", base="b")
CONTROLLED = replace(
    BASE,
    conditions=(
        Condition(blocks(), "a.png", "canny", control="canny"),
        Condition(blocks(seed=1), "b.png", "depth", control="depth", strength=0.5),
    ),
)


def requests_of(tmp_path, text: str, base: SampleRequest = BASE) -> list[SampleRequest]:
    path = tmp_path / "prompts.txt"
    path.write_text(text, encoding="utf-8")
    return read_requests(base, str(path))


def test_a_prompt_on_each_line(tmp_path):
    found = requests_of(tmp_path, "\ufeffa house\r\n\n  # a comment\n a tree\u2028in one line  \n#\n")
    assert found == [replace(BASE, prompts=(p,)) for p in ("a house", "a tree\u2028in one line")]


def test_options_of_a_line(tmp_path):
    """Named like their flags; what a line does not say is as given for all."""
    lines = (
        '{"prompt": "# 1", "steps": 2, "scale": 4, "seed": 9, "count": 2, "size": "128x64", "negative": ""}\n'
        'plain\n{"eta": 1, "prompt_syntax": "a1111", "size": 64}\n'
    )
    first, second, third = requests_of(tmp_path, lines)
    assert first == replace(BASE, prompts=("# 1",), steps=2, scale=4.0, seed=9, count=2, size=(64, 128), negative="")
    assert second == replace(BASE, prompts=("plain",))
    assert third == replace(BASE, eta=1.0, prompt_syntax="a1111", size=(64, 64))


def test_options_of_conditions():
    """One value is for all conditions, a list has one for each; the others stay."""
    one = request_of(CONTROLLED, {"strength": 2, "control-end": [0.5, 1]}, "line 1")
    assert [(c.strength, c.end, c.control) for c in one.conditions] == [(2, 0.5, "canny"), (2, 1, "depth")]
    assert one.conditions[0].image is CONTROLLED.conditions[0].image
    assert request_of(CONTROLLED, {"steps": 3}, "line 1").conditions is CONTROLLED.conditions


def test_a_line_has_its_own_conditions(tmp_path):
    path = str(write_condition(tmp_path / "own.png", height=80, seed=5))
    one = request_of(CONTROLLED, {"cond": path, "control": "x", "strength": 0.25}, "line 1")
    (condition,) = one.conditions
    assert (condition.name, condition.kind, condition.control, condition.strength) == (path, "canny", "x", 0.25)
    assert np.array_equal(condition.image, blocks(80, seed=5))
    assert len(request_of(BASE, {"cond": [path, path], "control": ["x", "y"]}, "line 1").conditions) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"stesp": 3}', "unknown option 'stesp'; 'steps' may be meant"),
        ('{"base": "x"}', "'base' is the same for all lines: give it as an option, --base"),
        ('{"start": 0.5}', "unknown option 'start'"),
        ('{"steps": 0}', "--steps must be between 1 and 1000, not 0"),
        ('{"steps": "3"}', "--steps must be a whole number, not '3'"),
        ('{"steps": true}', "--steps must be a whole number, not True"),
        ('{"seed": null}', "--seed must be a whole number, not None"),
        ('{"seed": true}', "--seed must be a whole number, not True"),
        ('{"seed": "x"}', "--seed must be a whole number or random, not 'x'"),
        ('{"size": [64, 64]}', r"'size' must be a string, not \[64, 64\]"),
        ('{"size": "x"}', "--size must be WIDTHxHEIGHT"),
        ('{"prompt": ["a"]}', "'prompt' must be a string"),
        ('{"prompt_syntax": "x"}', "--prompt-syntax must be plain or a1111, not 'x'"),
        ('{"guess": true}', "--guess lets a control guess"),
        ('{"strength": 1}', "'strength': there is no condition; give 'cond'"),
        ('{"cond": "-"}', "'cond' must be a file"),
        ('{"cond": 3}', "'cond' must be a string, not 3"),
        ('{"cond": "missing.png"}', "missing.png: "),
        ('{"prompt": "a"', "invalid JSON"),
        ('{"prompt": "\\ud800"}', "invalid JSON: a string holds half"),
        ("{}x", "invalid JSON"),
        ('--prompt "a castle" --negative_prompt trees', "begins with '--': options go into a JSON object"),
    ],
)
def test_what_is_wrong_is_said_with_the_line(tmp_path, line, message):
    with pytest.raises(InputError, match=rf"prompts\.txt, line 3: {message}"):
        requests_of(tmp_path, f"a house\n\n{line}\n")


def test_lines_that_start_from_images_of_their_own(tmp_path, monkeypatch):
    """Lines that name the same files share them, so that they can be sampled at once."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png", "mask.png"):
        images.write(tmp_path / name, blocks())
    own = read_start("a.png")
    base = replace(BASE, start_image=own)
    lines = (
        '{"image": "b.png", "denoise": 0.5}\n{"image": "b.png", "mask": "mask.png"}\nplain\n'
        '{"mask": "mask.png", "image": "b.png", "mask-feather": 3}\n'
    )
    first, masked, plain, again = (request.start_image for request in requests_of(tmp_path, lines, base))
    assert (first.name, first.mask, plain) == ("b.png", None, own)
    assert (masked.name, masked.mask_name) == ("b.png", "mask.png")
    assert again is masked
    for line, message in (
        ('{"mask": "mask.png"}', "line 1: 'mask' needs an 'image' beside it"),
        ('{"image": "-"}', "line 1: 'image' and 'mask' must be files"),
        ('{"image": 3}', "line 1: 'image' must be a string"),
        ('{"image": "none.png"}', "line 1: none.png: "),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            requests_of(tmp_path, line, base)


@pytest.mark.parametrize("seed", [-1, "random", "-1"])
def test_seeds_that_are_drawn(seed):
    assert len({request_of(BASE, {"seed": seed}, "line 1").seed for _ in range(3)}) == 3


def test_values_for_another_number_of_conditions():
    with pytest.raises(InputError, match="line 1: --strength is given 3 times for 2 --cond"):
        request_of(CONTROLLED, {"strength": [1, 2, 3]}, "line 1")


def test_a_condition_without_a_control(tmp_path, monkeypatch):
    """The same messages, and exit codes, as on the command line."""
    without = [weights for weights in bundled.files() if weights.name != "hed"]
    monkeypatch.setattr(bundled, "files", lambda: without)
    unknown, other = str(write_condition(tmp_path / "u.png", None)), str(write_condition(tmp_path / "o.png", "hed"))
    with pytest.raises(InputError, match=r"line 1: .*u\.png: this image does not state its kind"):
        request_of(BASE, {"cond": unknown}, "line 1")
    with pytest.raises(WeightsError, match=r"line 1: .*o\.png: needs a control for hed maps"):
        request_of(BASE, {"cond": other}, "line 1")


@pytest.mark.parametrize(("data", "message"), [(b"\n# x\n", "holds no prompts"), (b"\xff\xfea\0", "UTF-16")])
def test_files_without_prompts(tmp_path, data, message):
    (tmp_path / "p.txt").write_bytes(data)
    with pytest.raises(InputError, match=rf"p\.txt: .*{message}"):
        read_requests(BASE, str(tmp_path / "p.txt"))
    with pytest.raises(CnError, match="missing"):
        read_requests(BASE, str(tmp_path / "missing.txt"))
