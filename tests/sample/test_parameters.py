"""The text `parameters` for other programs: what is written, and what is read of others."""

from dataclasses import replace

import pytest

from cn import __version__
from cn.errors import InputError
from cn.sample.parameters import from_parameters, to_parameters
from cn.sample.request import Condition, SampleRequest
from tests.helpers.sampling import blocks

REQUEST = SampleRequest(
    prompts=("a (red) house\nat dusk",),
    negative="[blur]",
    conditions=(
        Condition(blocks(), "a.png", "canny", control="models/control_v11p_sd15_canny.pth", strength=0.5, end=0.5),
    ),
    base="models/v1-5-pruned.safetensors",
    size=(64, 128),
    scale=7.5,
    eta=0.5,
)
HASHES = {"base": "6ce0161689b3", "models/control_v11p_sd15_canny.pth": "d14c016b9f00"}
EXAMPLE = """girl with an artist's beret, blue eyes, ((eyeshadow)), (coquettish)
Negative prompt: ugly, (((deformed))), [blurry]
Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 965400086, Size: 512x768, Model hash: 45dee52b"""
"""From the source of AUTOMATIC1111's web UI (parse_generation_parameters), shortened, with another size."""


def test_what_is_written():
    assert to_parameters(REQUEST, REQUEST.prompts[0], 9, HASHES) == (
        "a \\(red\\) house\nat dusk\nNegative prompt: \\[blur\\]\n"
        "Steps: 20, Sampler: DDIM, CFG scale: 7.5, Seed: 9, Size: 128x64, Model hash: 6ce0161689, Model: v1-5-pruned, "
        "RNG: CPU, Eta DDIM: 0.5, "
        'ControlNet 0: "Module: none, Model: control_v11p_sd15_canny [d14c016b], Weight: 0.5, '
        "Resize Mode: Just Resize, "
        'Guidance Start: 0.0, Guidance End: 0.5, Pixel Perfect: False, Control Mode: Balanced", '
        f"Version: cn {__version__}"
    )


def test_what_is_left_out():
    """Nothing that has no value; weights of prompts in the web UI's own syntax stay."""
    plain = SampleRequest(prompts=("",), size=(64, 64), scale=9.0, prompt_syntax="a1111")
    text = to_parameters(plain, "(a:1.2)", 0, {"base": ""})
    assert text.startswith(
        "(a:1.2)\nSteps: 20, Sampler: DDIM, CFG scale: 9.0, Seed: 0, Size: 64x64, Model: base, RNG: CPU"
    )
    assert to_parameters(plain, "", 0, {"base": ""}).startswith("Steps: 20")


def test_round_trip():
    """Read again, it is the same prompt in the other syntax."""
    request, others = from_parameters(to_parameters(REQUEST, REQUEST.prompts[0], 9, HASHES))
    assert (request.steps, request.scale, request.seed, request.size) == (20, 7.5, 9, (64, 128))
    assert (request.prompts, request.negative) == ((r"a \(red\) house" + "\nat dusk",), r"\[blur\]")
    assert others == ["model v1-5-pruned", "its condition images"]


def test_an_image_of_the_web_ui():
    request, others = from_parameters(EXAMPLE)
    expected = SampleRequest(
        prompts=("girl with an artist's beret, blue eyes, ((eyeshadow)), (coquettish)",),
        negative="ugly, (((deformed))), [blurry]",
        prompt_syntax="a1111",
        steps=20,
        scale=7.0,
        seed=965400086,
        size=(768, 512),
        sampler="euler-a",
    )
    assert request == expected
    assert others == []


@pytest.mark.parametrize(
    ("fields", "sampler", "sigmas"),
    [
        ("Sampler: DPM++ 2M Karras", "dpm++2m", "karras"),
        ("Sampler: DPM++ 2M, Schedule type: Karras", "dpm++2m", "karras"),
        ("Sampler: DPM++ 2M, Schedule type: Automatic", "dpm++2m", "karras"),
        ("Sampler: DPM++ 2M", "dpm++2m", "default"),
        ("Sampler: Euler, Schedule type: Automatic", "euler", "default"),
        ("Sampler: DDIM, Schedule type: Uniform", "ddim", "default"),
    ],
)
def test_samplers_of_the_web_ui(fields, sampler, sigmas):
    """Of version 1.9 and later, and before."""
    request, others = from_parameters(f"a\nSteps: 20, {fields}, CFG scale: 7, Seed: 1, Size: 512x512")
    assert (request.sampler, request.sigmas, others) == (sampler, sigmas, [])


@pytest.mark.parametrize("fields", ["Sampler: UniPC", "Sampler: Euler, Schedule type: SGM Uniform"])
def test_samplers_that_are_not_ours(fields):
    request, others = from_parameters(f"a\nSteps: 20, {fields}, CFG scale: 7, Seed: 1, Size: 512x512")
    assert (request.sampler, request.sigmas) == ("ddim", "default")
    assert others == [
        fields.split(",")[0].lower().replace(": ", " ").replace("unipc", "UniPC").replace("euler", "Euler")
    ]


@pytest.mark.parametrize("given", [{"sampler": "euler-a"}, {"sampler": "dpm++2m", "sigmas": "karras"}])
def test_samplers_survive_a_round_trip(given):
    request = SampleRequest(prompts=("a",), size=(64, 64), scale=9.0, **given)
    found, _ = from_parameters(to_parameters(request, "a", 1, {"base": ""}))
    assert (found.sampler, found.sigmas) == (request.sampler, request.sigmas)


def test_without_prompts_or_with_one_only():
    settings = EXAMPLE.splitlines()[-1]
    assert from_parameters(settings)[0].prompts == ("",)
    only_negative, _ = from_parameters(f"Negative prompt: a\nb\n{settings}")
    assert (only_negative.prompts, only_negative.negative) == (("",), "a\nb")
    assert from_parameters("a: b, c: d\n" + settings)[0] == replace(
        from_parameters(EXAMPLE)[0], prompts=("a: b, c: d",), negative=""
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a house", "holds no settings"),
        ("Steps: 20", "holds no settings"),
        ("Steps: x, Seed: 1", "cannot be used: invalid literal"),
        ("Steps: 0, Seed: 1", "cannot be used: --steps must be between 1 and 1000, not 0"),
        ("Steps: 2, Seed: -1", "cannot be used: --seed"),
        ("Steps: 2, Seed: 1, CFG scale: nan", "cannot be used: --scale must be a finite number"),
    ],
)
def test_what_cannot_be_read(text, message):
    with pytest.raises(InputError, match=message):
        from_parameters(text)
