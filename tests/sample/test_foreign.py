"""Images of other programs, as those write them: `--from` says whose they are."""

import json

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from cn import images
from cn.conditions import ConditionInfo
from cn.errors import InputError
from cn.sample import png_metadata

A1111 = "a house\nNegative prompt: blurry\nSteps: 20, Sampler: LMS, CFG scale: 7, Seed: 1, Size: 512x512"
COMFYUI = json.dumps({"3": {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 20}}})

PNGS = [
    ({"parameters": "a house, nothing else"}, "AUTOMATIC1111's web UI or one like it", "'parameters'"),
    ({"prompt": COMFYUI, "workflow": "{}"}, "ComfyUI", "'workflow'"),
    ({"prompt": COMFYUI}, "ComfyUI", "'prompt'"),
    ({"invokeai_metadata": "{}", "invokeai_graph": "{}"}, "InvokeAI", "'invokeai_metadata'"),
    ({"sd-metadata": "{}", "Dream": '"a house" -s 50'}, "InvokeAI", "'sd-metadata'"),
    ({"parameters": "{}", "fooocus_scheme": "fooocus"}, "Fooocus", "'fooocus_scheme'"),
    ({"parameters": '{"sui_image_params": {"prompt": "x"}}'}, "SwarmUI", "'parameters'"),
    ({"Software": "NovelAI", "Comment": "{}"}, "NovelAI", "'Software'"),
]


@pytest.mark.parametrize(("chunks", "program", "where"), PNGS)
def test_pngs(tmp_path, chunks, program, where):
    text = PngImagePlugin.PngInfo()
    for key, value in chunks.items():
        text.add_itxt(key, value)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=text)
    with pytest.raises(InputError) as caught:
        png_metadata.from_file(str(tmp_path / "a.png"))
    assert f"a.png: was written by {program} (it says so in its text chunk {where})" in str(caught.value)
    assert "\n" not in str(caught.value)


def comment(text: str, encoding: str) -> Image.Exif:
    exif = Image.Exif()
    code = b"UNICODE\0" if encoding.startswith("utf-16") else b"ASCII\0\0\0"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = code + text.encode(encoding)
    return exif


def entry(tag: int, text: str) -> Image.Exif:
    exif = Image.Exif()
    exif[tag] = text
    return exif


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
@pytest.mark.parametrize(
    ("exif", "program"),
    [
        (entry(ExifTags.Base.Make, f"workflow:{COMFYUI}"), "ComfyUI"),
        (entry(ExifTags.Base.Model, f"prompt:{COMFYUI}"), "ComfyUI"),
        (comment('{"sui_image_params": {}}', "ascii"), "SwarmUI"),
        (comment('{"base_model": "x", "version": "Fooocus v2.5"}', "ascii"), "Fooocus"),
    ],
)
def test_jpegs_and_webps(tmp_path, name, exif, program):
    Image.new("RGB", (8, 8)).save(tmp_path / name, exif=exif)
    with pytest.raises(InputError, match=f"was written by {program}.*EXIF"):
        png_metadata.from_file(str(tmp_path / name))


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le", "ascii"])
@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_the_web_ui_in_exif(tmp_path, name, encoding):
    """Prompt and settings are used, and what is missing is said."""
    Image.new("RGB", (8, 8)).save(tmp_path / name, exif=comment(A1111, encoding))
    recipe = png_metadata.from_file(str(tmp_path / name))
    assert (recipe.request.prompts, recipe.request.negative, recipe.request.seed) == (("a house",), "blurry", 1)
    assert recipe.warnings == (
        "was not written by cn sample: only prompt, steps, scale, seed, size and sampler are used, from its text "
        "'parameters'; without sampler LMS",
    )


def test_images_that_say_nothing(tmp_path):
    """A photograph, with the make and model of a camera, and a PNG that was edited."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=entry(ExifTags.Base.Make, "Canon"))
    with pytest.raises(InputError, match=r"a\.jpg: is a JPEG file and has no sampling metadata"):
        png_metadata.from_file(str(tmp_path / "a.jpg"))
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "gimp")
    text.add_text("prompt", "a house")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=text)
    with pytest.raises(InputError, match=r"a\.png: has no sampling metadata"):
        png_metadata.from_file(str(tmp_path / "a.png"))


def test_a_condition_map(tmp_path):
    images.write(tmp_path / "a.png", np.zeros((8, 8), np.uint8), ConditionInfo("hed", "x").to_text())
    with pytest.raises(InputError, match=r"is a condition map \(hed\).*--cond"):
        png_metadata.from_file(str(tmp_path / "a.png"))


def test_damaged_exif_data_says_nothing(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    with pytest.raises(InputError, match="has no sampling metadata"):
        png_metadata.from_file(str(tmp_path / "a.jpg"))
