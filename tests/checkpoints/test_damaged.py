"""Checkpoints with damaged descriptions: one line that names the file, never a traceback."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from cn.checkpoints.read.contents import Contents
from cn.checkpoints.read.inspection import inspect
from cn.checkpoints.read.load import open_base, open_control
from cn.checkpoints.read.recognize import recognize
from cn.checkpoints.write.native import save_base, save_control
from cn.errors import CnError, InputError, WeightsError
from cn.model.base import Base
from cn.model.controlnet import ControlNet
from tests.helpers.layouts import SMALL, convert, refusal

RAW = (
    "",
    "[]",
    "5",
    "{",
    "[" * 20000,
    "2001-99-99",
    "!!int ''",
    "!!bool x",
    "!!timestamp x",
    "a: *b",
    "\0",
    "- [",
    "{a",
)
VALUES = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1, 7, 24, 2**31, 10**30, 0.5, 1e308, float("nan"), float("inf"), "", "x", "32"),
        *("a\nb", "\x1b[31m", "\ud800", "..", [], [1], [[]], {}, {"a": 1}, [32] * 50, ["a"], [64, 10], [1, None]),
    ]
).map(copy.deepcopy)


def places(value: Any, here: tuple = ()) -> list[tuple]:
    """The path to every value in nested dictionaries and lists."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here] + [place for key, item in inside for place in places(item, (*here, key))]


@st.composite
def damaged(draw: st.DrawFn, content: Any) -> Any:
    """JSON with one or two values replaced, left out or put in."""
    content = {"": json.loads(json.dumps(content))}
    for _ in range(draw(st.integers(1, 2))):
        *path, last = draw(st.sampled_from(places(content)[1:]))
        holder = content
        for key in path:
            holder = holder[key]
        how = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"]))
        if how == "remove" and path:
            del holder[last]
        elif how == "add" and isinstance(holder[last], dict):
            holder[last][draw(st.sampled_from(["", "x", "a\nb", "control", "config", "role"]))] = draw(VALUES)
        else:
            holder[last] = draw(VALUES)
    return content[""]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow base and control in every layout, the U-Net's weights of one folder in a shard with an index."""
    folder = tmp_path_factory.mktemp("small")
    base, control = folder / "base.safetensors", folder / "control.safetensors"
    save_base(base, Base.create(SMALL))
    save_control(control, ControlNet(SMALL.unet, condition_encoder="released"), kind="pose", base_sha256="ab")
    for source in (base, control):
        convert(source, folder / f"{source.stem}-ldm.safetensors", "ldm")
        convert(source, folder / f"{source.stem}-folder", "diffusers")
    weights = folder / "base-folder/unet/diffusion_pytorch_model.safetensors"
    index = {"metadata": {}, "weight_map": dict.fromkeys(load_file(weights), "shard.safetensors")}
    weights.rename(weights.with_name("shard.safetensors"))
    weights.with_name("diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    parts = {"params": {"num_heads": -1, "num_head_channels": 64}}
    params = {"parameterization": "v", "scale_factor": 0.2, "unet_config": parts, "timesteps": 1000}
    sidecar = {"model": {"params": params | {"linear_start": 0.001, "linear_end": 0.01, "only_mid_control": False}}}
    for name in ("base-ldm", "control-ldm"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(sidecar))
    return folder


def with_header(path: Path, change: Callable[[Any], Any]) -> bytes:
    """A safetensors file with cn's header changed; a string is written as it is."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header_text = change(json.loads(header["__metadata__"]["cn"]))
    header["__metadata__"]["cn"] = header_text if isinstance(header_text, str) else json.dumps(header_text)
    changed = json.dumps(header).encode()
    return len(changed).to_bytes(8, "little") + changed + data[8 + length :]


CHANGED = (
    *(f"{stem}{kind}.safetensors" for stem in ("base", "control") for kind in ("", "-ldm")),
    *("base-ldm.yaml", "control-ldm.yaml", "control-folder/config.json"),
    "control-folder/diffusion_pytorch_model.safetensors",
    *(f"base-folder/{part}/config.json" for part in ("unet", "vae", "text_encoder")),
    *(f"base-folder/tokenizer/{name}.json" for name in ("special_tokens_map", "tokenizer_config")),
    *("base-folder/model_index.json", "base-folder/scheduler/scheduler_config.json"),
    "base-folder/unet/diffusion_pytorch_model.safetensors.index.json",
)


def survives(path: Path) -> None:
    """Every use of a damaged checkpoint works or ends in one line that names a file of it."""
    opened: Callable[[Path], Any] = open_control if "control" in path.name else open_base
    for use in (lambda path: Contents.of(recognize(path)), inspect, opened):
        message = str(path)
        try:
            use(path)
        except CnError as error:
            message = str(error)
        assert message.isprintable()
        assert message.startswith(str(path.with_suffix("")))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_descriptions_give_a_checkpoint_or_one_line(small, data):
    file = small / data.draw(st.sampled_from(CHANGED))
    before = file.read_bytes()
    checkpoint = small / file.relative_to(small).parts[0]
    if raw := data.draw(st.sampled_from([*[""] * 30, *RAW])):
        changed = with_header(file, lambda header: raw) if file.suffix == ".safetensors" else raw.encode()
    elif file.suffix == ".safetensors":
        changed = with_header(file, lambda header: data.draw(damaged(header)))
    elif file.suffix == ".yaml":
        changed = yaml.safe_dump(data.draw(damaged(yaml.safe_load(before)))).encode()
    else:
        changed = json.dumps(data.draw(damaged(json.loads(before)))).encode()
    file.write_bytes(changed)
    try:
        survives(checkpoint.with_suffix(".safetensors") if checkpoint.suffix == ".yaml" else checkpoint)
    finally:
        file.write_bytes(before)


HEADERS = [
    ("base-ldm", lambda h: h | {"config": 5}, "its description is not valid in this version of cn"),
    (
        "base-ldm",
        lambda h: h["config"]["unet"].update(groups=7),
        "7 normalization groups do not divide channels",
    ),
    (
        "base-ldm",
        lambda h: h["config"]["unet"].update(channels=[10, 10]),
        "do not divide channels of (10, 10)",
    ),
    ("base", lambda h: h["config"]["unet"].update(groups=7), "7 normalization groups do not divide channels"),
    ("base", lambda h: h["config"]["vae"].update(channels=[16, 16]), "32 normalization groups do not divide"),
    ("base", lambda h: h["config"]["vae"].update(scale="x"), "scale is 'x', and should be a number above 0"),
    ("base", lambda h: h["config"]["text"].update(heads="a"), "heads is 'a', and should be a whole number"),
    (
        "base",
        lambda h: h["config"]["unet"].update(res_blocks=10**9),
        "res_blocks is 1000000000, and should be",
    ),
    ("base", lambda h: h["config"].update(name=[1]), "its name is [1]"),
    ("control-ldm", lambda h: h | {"control": {}}, "'unet' is missing"),
    ("control", lambda h: h | {"links": "left"}, "links is 'left', and should be full or middle"),
    ("control", lambda h: h | {"condition_encoder": [1]}, "condition_encoder is [1], and should be paper or"),
    ("control", lambda h: h | {"kind": 5}, "kind is 5, and should be a string"),
    ("control-folder/diffusion_pytorch_model", lambda h: h | {"control": 5}, "its description is not valid"),
]


@pytest.mark.parametrize(("name", "change", "words"), HEADERS)
def test_impossible_headers(tmp_path, small, name, change, words):
    path = tmp_path / "x.safetensors"
    path.write_bytes(with_header(small / f"{name}.safetensors", lambda header: change(header) or header))
    load = open_control if "control" in name else open_base
    assert refusal(path, words, load=load).startswith(f"{path}: ")
    assert not inspect(path).usable


SETTINGS = [
    (
        "unet/config.json",
        {"norm_num_groups": "32"},
        InputError,
        "norm_num_groups is '32', and should be a whole number",
    ),
    ("unet/config.json", {"norm_num_groups": 24}, WeightsError, "24 normalization groups do not divide channels"),
    ("unet/config.json", {"attention_head_dim": 7}, WeightsError, "64 channels cannot be divided into 7 heads"),
    ("vae/config.json", {"scaling_factor": "x"}, InputError, "scaling_factor is 'x', and should be a number above 0"),
    ("text_encoder/config.json", {"num_attention_heads": "a"}, InputError, "num_attention_heads is 'a', and should be"),
    (
        "text_encoder/config.json",
        {"num_attention_heads": 7},
        WeightsError,
        "64 channels cannot be divided into 7 heads",
    ),
    (
        "text_encoder/config.json",
        {"num_hidden_layers": 9},
        WeightsError,
        "num_hidden_layers is 9; but its weights have 1",
    ),
    ("text_encoder/config.json", {"layer_norm_eps": 1e-6}, WeightsError, "layer_norm_eps is 1e-06; CLIP has 1e-05"),
    ("text_encoder/config.json", {"use_attention_mask": True}, WeightsError, "use_attention_mask is True; CLIP has"),
    ("text_encoder/config.json", {"hidden_act": [1]}, WeightsError, "hidden_act is [1]"),
    ("tokenizer/special_tokens_map.json", {"pad_token": [1]}, WeightsError, "pad_token is [1]"),
    ("unet/diffusion_pytorch_model.safetensors.index.json", {"weight_map": {}}, InputError, "has no weight_map"),
    (
        "unet/diffusion_pytorch_model.safetensors.index.json",
        {"weight_map": {"a": ""}},
        InputError,
        "outside its folder",
    ),
    (
        "unet/diffusion_pytorch_model.safetensors.index.json",
        {"weight_map": {"a": ".."}},
        InputError,
        "outside its fold",
    ),
    (
        "unet/diffusion_pytorch_model.safetensors.index.json",
        {"weight_map": {"a": "\n"}},
        InputError,
        "unprintable name",
    ),
]


@pytest.mark.parametrize(("file", "change", "kind", "words"), SETTINGS)
def test_impossible_settings_of_a_folder(tmp_path, small, file, change, kind, words):
    folder = shutil.copytree(small / "base-folder", tmp_path / "x")
    (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | change))
    message = refusal(folder, words, kind)
    if kind is InputError:
        assert message.startswith(f"{folder / file}: ")
