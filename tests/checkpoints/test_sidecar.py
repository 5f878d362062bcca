"""Sidecar files: a .yaml of the original code, the JSON files of a diffusers folder."""

import json
import re
from pathlib import Path

import pytest
import yaml

from cn.checkpoints.read.diffusers_settings import text_settings, unet_settings, vae_settings
from cn.checkpoints.read.original_yaml import read_yaml
from cn.checkpoints.read.settings import read_json
from cn.errors import CnError, InputError, WeightsError
from cn.model.config import TextConfig

SD1 = TextConfig()
SD2 = TextConfig(width=1024, heads=16, layers=23, run_layers=23)


def sidecar(folder: Path, text: str) -> Path:
    """Write a .yaml, and return the path of its weights."""
    (folder / "x.yaml").write_text(text)
    return folder / "x.safetensors"


def params(unet: dict | None = None, **values: object) -> str:
    return yaml.safe_dump({"model": {"params": values | ({"unet_config": {"params": unet}} if unet else {})}})


def fails(kind: type[CnError], path: Path, words: str, read) -> None:
    with pytest.raises(kind, match=rf"^{re.escape(str(path))}: .*{re.escape(words)}") as caught:
        read()
    assert str(caught.value).isprintable()


def test_settings_of_a_yaml(tmp_path):
    heads = {"num_heads": -1, "num_head_channels": 32}
    found = read_yaml(sidecar(tmp_path, params(heads, parameterization="v", scale_factor=0.2, linear_end=0.02)))
    assert (found.prediction, found.scale, found.schedule) == ("v", 0.2, {"beta_end": 0.02})
    assert found.heads_of((32,)) == {"heads": None, "head_dim": 32}
    assert read_yaml(sidecar(tmp_path, params({"num_heads": 4}))).heads_of((32,)) == {"heads": 4, "head_dim": None}
    assert read_yaml(sidecar(tmp_path, params(parameterization="eps"))).heads_of((32,)) == {}
    assert read_yaml(tmp_path / "y.safetensors").prediction is None


@pytest.mark.parametrize(
    "text",
    ["[" * 20000, "2001-99-99", "!!int ''", "!!bool x", "!!timestamp x", "a: *b", "\0", "{a", "? [a]\n: b", "1:99:e"],
    ids=lambda text: text[:9],
)
def test_an_invalid_yaml(tmp_path, text):
    """Whatever the library raises becomes one line; valid YAML without settings is ignored."""
    weights = sidecar(tmp_path, text)
    if text == "1:99:e":
        assert read_yaml(weights).prediction is None
    else:
        fails(InputError, tmp_path / "x.yaml", "invalid YAML", lambda: read_yaml(weights))


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        (params(parameterization=["v"]), WeightsError, "parameterization is ['v']; cn supports eps and v"),
        (params(parameterization="x0"), WeightsError, "parameterization is x0; cn supports eps and v"),
        (params(scale_factor="big"), InputError, "scale_factor is 'big', and should be a number above 0"),
        (params(linear_end=float("inf")), InputError, "linear_end is inf, and should be a number above 0"),
        (params(timesteps=10.5), InputError, "timesteps is 10.5, and should be a whole number above 0"),
        (params({"num_heads": 8.5}), InputError, "num_heads is 8.5, and should be a whole number above 0"),
        (params({"num_head_channels": True}), InputError, "num_head_channels is True"),
    ],
)
def test_a_yaml_with_impossible_values(tmp_path, text, kind, words):
    weights = sidecar(tmp_path, text)
    fails(kind, tmp_path / "x.yaml", words, lambda: read_yaml(weights))


def written(path: Path, **content: object) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100000, "5", '{"a": ' + "9" * 5000 + "}", "{'a': 1}"])
def test_invalid_json(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    fails(InputError, tmp_path / "x.json", "JSON", lambda: read_json(tmp_path / "x.json"))
    assert read_json(tmp_path / "missing.json") == {}


def test_heads_of_a_folder(tmp_path):
    path = written(tmp_path / "config.json", attention_head_dim=8)
    assert unet_settings(path, (320, 640)) == {"heads": 8, "head_dim": None}
    written(path, attention_head_dim=[5, 10], norm_num_groups=16)
    assert unet_settings(path, (320, 640)) == {"groups": 16, "heads": None, "head_dim": 64}
    written(path, attention_head_dim=[5, 5])
    assert unet_settings(path, (320, 640)) == {"heads": 5, "head_dim": None}
    assert unet_settings(tmp_path / "missing.json", (320, 640)) == {}


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"attention_head_dim": [5, 10, 20]}, WeightsError, "does not match 2 levels"),
        ({"attention_head_dim": [5, "a"]}, WeightsError, "does not match 2 levels"),
        ({"attention_head_dim": [5, 8]}, WeightsError, "neither the number nor the width"),
        ({"attention_head_dim": 0}, InputError, "attention_head_dim is 0, and should be a whole number"),
        ({"num_attention_heads": "8"}, InputError, "num_attention_heads is '8'"),
        ({"norm_num_groups": [32]}, InputError, "norm_num_groups is [32]"),
        ({"freq_shift": 1}, WeightsError, "freq_shift is 1; Stable Diffusion has 0"),
    ],
)
def test_impossible_settings_of_a_u_net(tmp_path, settings, kind, words):
    path = written(tmp_path / "config.json", **settings)
    fails(kind, path, words, lambda: unet_settings(path, (320, 640)))


def test_settings_of_an_autoencoder(tmp_path):
    path = written(tmp_path / "config.json", scaling_factor=1, norm_num_groups=None)
    assert vae_settings(path) == {"scale": 1.0}
    for value in ("x", 0, -1, [1], True):
        written(path, scaling_factor=value)
        fails(InputError, path, "scaling_factor is", lambda: vae_settings(path))
    written(path, shift_factor=0.1)
    fails(WeightsError, path, "shift factor", lambda: vae_settings(path))


@pytest.mark.parametrize(
    ("config", "tokenizer", "sd2", "expected"),
    [
        (None, None, False, (True, 49407)),
        (None, None, True, (False, 0)),
        ({"hidden_size": 768}, {"model_max_length": 77}, False, (True, 49407)),
        ({"hidden_size": 768}, {"model_max_length": 77}, True, (True, 49407)),
        ({"hidden_act": "gelu"}, {"pad_token": "!"}, True, (False, 0)),
        ({"hidden_act": "gelu"}, {"pad_token": {"content": "<|endoftext|>"}}, True, (False, 49407)),
        ({"hidden_act": "quick_gelu"}, None, True, (True, 0)),
    ],
)
def test_text_settings(tmp_path, config, tokenizer, sd2, expected):
    """Defaults for a missing file are the family's; defaults for a missing setting are those of transformers."""
    path = tmp_path / "text_encoder/config.json"
    if config is not None:
        written(path, **config)
    if tokenizer is not None:
        written(tmp_path / "tokenizer/tokenizer_config.json", **tokenizer)
    found = text_settings(SD2 if sd2 else SD1, path, tmp_path / "tokenizer", sd2=sd2)
    assert (found.quick_gelu, found.pad_id) == expected


def test_a_text_encoder_of_other_layers(tmp_path):
    """transformers builds as many layers as the file says, and rejects others."""
    path = written(tmp_path / "text_encoder/config.json", num_hidden_layers=12, layer_norm_eps=1e-5)
    assert text_settings(SD1, path, tmp_path, sd2=False).run_layers == 12
    fails(WeightsError, path, "is 12; but its weights have 23", lambda: text_settings(SD2, path, tmp_path, sd2=True))
