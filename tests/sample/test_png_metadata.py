"""The metadata of a sampled PNG: it survives a round trip, and damaged metadata is a one-line error."""

import json
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest

from cn import images, options
from cn.errors import InputError
from cn.options import Option
from cn.sample import png_metadata
from cn.sample.options import ConditionOptions, SampleOptions
from cn.sample.request import Condition, SampleRequest
from tests.helpers.sampling import blocks

REQUEST = SampleRequest(
    prompts=("a 🏠 – “red”\nhouse", "another"),
    conditions=(
        Condition(blocks(128, 128), "c.png", "canny", control="canny", strength=0.5, start=0.25, end=0.75),
        Condition(blocks(64, 64, 1), "standard input", control="runs/x"),
    ),
    base="base",
    negative="blur",
    count=3,
    seed=7,
    steps=5,
    scale=3.5,
    sampler="euler-a",
    sigmas="karras",
    guess=True,
    size=(64, 64),
    precision="fp32",
)
HINTS = (blocks(64, 64, 2), blocks(64, 64, 1))
HASHES = {"base": "ab", "canny": "cd", "runs/x": "ef"}


def written(tmp_path, text):
    images.write(tmp_path / "made.png", blocks(), text)
    return str(tmp_path / "made.png")


def text_of(**changes):
    record = json.loads(png_metadata.to_text(REQUEST, HINTS, "another", 8, HASHES)[png_metadata.TEXT_KEY])
    record |= changes
    return {png_metadata.TEXT_KEY: json.dumps({k: v for k, v in record.items() if v is not ...})}


def test_round_trip(tmp_path):
    recipe = png_metadata.from_file(written(tmp_path, png_metadata.to_text(REQUEST, HINTS, "another", 8, HASHES)))
    request = recipe.request
    assert (recipe.hashes, recipe.warnings) == (HASHES, ())
    assert (request.prompts, request.seed, request.count) == (("another",), 8, 1)
    for name in options.declared(SampleOptions).keys() - {"seed", "count"}:
        assert getattr(request, name) == getattr(REQUEST, name)
    for condition, original, hint in zip(request.conditions, REQUEST.conditions, HINTS, strict=True):
        assert np.array_equal(condition.image, hint)
        for name in ("name", "kind", *options.declared(ConditionOptions)):
            assert getattr(condition, name) == getattr(original, name)


def test_words_of_any_kind_survive(tmp_path):
    path = written(tmp_path, png_metadata.to_text(REQUEST, HINTS, REQUEST.prompts[0], 7, HASHES))
    assert png_metadata.from_file(path).request.prompts == REQUEST.prompts[:1]


@pytest.mark.parametrize("text", [{}, {"other": "text"}])
def test_an_image_without_metadata(tmp_path, text):
    with pytest.raises(InputError, match=r"made\.png: has no sampling metadata"):
        png_metadata.from_file(written(tmp_path, text))


@pytest.mark.parametrize(("name", "format"), [("a.jpg", "JPEG"), ("a.webp", "WEBP")])
def test_exif_carries_it_too(tmp_path, name, format):
    """The same request, with its condition images and words of any kind."""
    text = png_metadata.to_text(REQUEST, HINTS, REQUEST.prompts[0], 8, HASHES)
    images.write(tmp_path / name, blocks(), exif=png_metadata.to_exif(text, format))
    recipe = png_metadata.from_file(str(tmp_path / name))
    expected = png_metadata.from_file(written(tmp_path, text))
    assert recipe.hashes == HASHES
    for ours, theirs in zip(recipe.request.conditions, expected.request.conditions, strict=True):
        assert np.array_equal(ours.image, theirs.image)
        assert (ours.control, ours.strength, ours.end) == (theirs.control, theirs.strength, theirs.end)
    assert recipe.request.prompts == REQUEST.prompts[:1]


def test_a_jpeg_without_room_for_its_conditions(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    text = png_metadata.to_text(REQUEST, (noise, noise), "a house", 8, HASHES)
    assert not png_metadata.fits_jpeg(text)
    images.write(tmp_path / "a.jpg", blocks(), exif=png_metadata.to_exif(text, "JPEG"))
    images.write(tmp_path / "a.webp", blocks(), exif=png_metadata.to_exif(text, "WEBP"))
    left_out = png_metadata.from_file(str(tmp_path / "a.jpg")).request
    assert [c.image.size for c in left_out.conditions] == [0, 0]
    assert (left_out.steps, left_out.conditions[0].strength) == (REQUEST.steps, 0.5)
    assert np.array_equal(png_metadata.from_file(str(tmp_path / "a.webp")).request.conditions[0].image, noise)
    with pytest.raises(InputError, match="too long for the metadata of a JPEG"):
        png_metadata.to_exif(png_metadata.to_text(REQUEST, HINTS, "very " * 20_000, 8, HASHES), "JPEG")


CONDITION = {"name": "a", "control": "canny", "kind": None, "strength": 1, "start": 0, "end": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": ...},
        {"seed": ...},
        {"size": ...},
        {"sha256": ...},
        {"conditions": ...},
        {"steps": "20"},
        {"steps": 0},
        {"scale": None},
        {"seed": -1},
        {"seed": 1.5},
        {"prompt": ["x"]},
        {"size": 64},
        {"size": [64]},
        {"size": ["64", "64"]},
        {"size": [65, 64]},
        {"sha256": []},
        {"conditions": {}},
        {"conditions": ["x"]},
        {"conditions": [CONDITION]},
        {"conditions": [CONDITION | {"png": "!!"}]},
        {"conditions": [CONDITION | {"png": "aGVsbG8="}]},
        {"conditions": [CONDITION | {"png": 3}]},
    ],
)
def test_damaged_metadata(tmp_path, changes):
    with pytest.raises(InputError, match=r"made\.png: its sampling metadata is damaged: \S+"):
        png_metadata.from_file(written(tmp_path, text_of(**changes)))


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "null", "[" * 100_000])
def test_text_that_is_no_metadata(tmp_path, content):
    with pytest.raises(InputError, match=r"made\.png: its sampling metadata is damaged"):
        png_metadata.from_file(written(tmp_path, {png_metadata.TEXT_KEY: content}))


def test_images_of_earlier_versions(tmp_path):
    """They name the chunk otherwise, and lack the options that came later, which then have their defaults."""
    text = {"cn.recipe": text_of(sampler=..., sigmas=...)[png_metadata.TEXT_KEY]}
    request = png_metadata.from_file(written(tmp_path, text)).request
    assert (request.steps, request.sampler, request.sigmas) == (REQUEST.steps, "ddim", "default")


def test_a_new_option_is_stored_and_restored(tmp_path, monkeypatch):
    """The stored names are those that are declared (`_STORED` is computed from them when the module is imported)."""

    @dataclass(frozen=True)
    class Longer(SampleRequest):
        color: Annotated[str, Option("A color.")] = "red"

    monkeypatch.setattr(png_metadata, "_STORED", [*png_metadata._STORED, "color"])
    monkeypatch.setattr(png_metadata, "SampleRequest", Longer)
    longer = Longer(**options.values(REQUEST), color="blue")
    request = png_metadata.from_file(written(tmp_path, png_metadata.to_text(longer, HINTS, "x", 8, HASHES))).request
    assert request.color == "blue"
