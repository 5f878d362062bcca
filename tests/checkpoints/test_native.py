"""cn's own checkpoint files: exact round trips, written atomically."""

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from cn.checkpoints.read.load import open_base, open_control
from cn.checkpoints.write.native import save_base, save_control
from cn.errors import InputError
from cn.files import sha256
from cn.model.config import ModelConfig
from cn.model.controlnet import ControlNet
from tests.helpers.model_helpers import TINY, TINY_V, fill, tiny_base
from tests.helpers.native_files import EMBEDDING, TOKEN_IDS, VOCABULARY, header


def assert_same(loaded: nn.Module, other: nn.Module, *, half: bool = False) -> None:
    loaded_state, other_state = loaded.state_dict(), other.state_dict()
    assert list(loaded_state) == list(other_state)
    for name, value in other_state.items():
        assert torch.equal(loaded_state[name], value.half().float() if half else value), name


@pytest.mark.parametrize("config", [TINY, TINY_V], ids=lambda c: c.name)
@pytest.mark.parametrize("half", [False, True])
def test_base_round_trip(tmp_path: Path, config: ModelConfig, half: bool) -> None:
    """Configuration and every tensor come back, exactly or as half precision rounds them; loaded bases are locked."""
    path, base = tmp_path / "base.safetensors", tiny_base(config)
    save_base(path, base, half=half)
    loaded = open_base(path)
    assert loaded.config == config
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() == sha256(path)
    for name, network in loaded.networks.items():
        assert_same(network, base.networks[name], half=half)
        assert not network.training
        assert not any(p.requires_grad for p in network.parameters())
    assert loaded.text.encode(["a cat"]).isfinite().all()
    expected = torch.float16 if half else torch.float32
    assert {v.dtype for v in load_file(path).values()} == {expected}


def test_half_is_the_default_for_a_base(base_file: Path) -> None:
    """Bases are stored in half precision unless said otherwise; what else is given goes into the header."""
    assert load_file(base_file)["unet.decoder.conv_out.weight"].dtype == torch.float16
    assert header(base_file)["steps"] == 7
    assert header(base_file)["role"] == "base"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_asked_precision(base_file: Path, control_file: Path, dtype: torch.dtype) -> None:
    """Weights come in the type that was asked for, whatever the file has."""
    base, control = open_base(base_file, dtype=dtype), open_control(control_file, dtype=dtype)
    networks = [*base.networks.values(), control.model]
    assert {p.dtype for n in networks for p in n.parameters()} == {dtype}
    assert (base.dtype, base.device) == (dtype, torch.device("cpu"))


def test_packed_tokens(tmp_path: Path) -> None:
    """Trained rows are kept, all others share one: the first that was not trained; order and repeats do not matter."""
    base, trained = tiny_base(), [2368, 49407, 0, 320, 320]
    save_base(tmp_path / "packed.safetensors", base, half=False, tokens=trained)
    save_base(tmp_path / "whole.safetensors", base, half=False)
    stored = load_file(tmp_path / "packed.safetensors")
    assert stored[TOKEN_IDS].tolist() == [0, 320, 2368, 49407]
    assert stored[EMBEDDING].shape == (5, TINY.text.width)
    rows = open_base(tmp_path / "packed.safetensors").text.tower.token_embedding.weight
    full = base.text.tower.token_embedding.weight
    assert rows.shape == full.shape
    others = torch.ones(VOCABULARY, dtype=torch.bool)
    others[trained] = False
    assert torch.equal(rows[~others], full[~others])
    assert torch.equal(rows[others], full[1].expand(VOCABULARY - 4, -1))
    sizes = [os.path.getsize(tmp_path / f"{n}.safetensors") for n in ("whole", "packed")]
    assert sizes[0] - sizes[1] > 0.99 * 4 * VOCABULARY * TINY.text.width


def test_packing_every_token(tmp_path: Path) -> None:
    """Where all tokens were trained nothing is shared."""
    path, base = tmp_path / "base.safetensors", tiny_base()
    save_base(path, base, half=False, tokens=range(VOCABULARY))
    assert_same(open_base(path).text, base.text)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("links", ["full", "middle"])
@pytest.mark.parametrize(("encoder", "channels"), [("paper", 3), ("released", 4)])
def test_control_round_trip(tmp_path: Path, half: bool, links: Any, encoder: Any, channels: int) -> None:
    """Tensors, condition encoder, links, kind, base and whatever else was said come back."""
    path = tmp_path / "control.safetensors"
    model = ControlNet(TINY_V.unet, condition_encoder=encoder, condition_channels=channels, links=links)
    save_control(path, fill(model), kind="depth", base_sha256="abc", half=half, prompt_drop=0.5)
    loaded = open_control(path)
    assert_same(loaded.model, model, half=half)
    assert loaded.model.config == TINY_V.unet
    assert loaded.model.condition_encoder_kind == encoder
    assert (loaded.model.condition_channels, loaded.model.links) == (channels, links)
    assert (loaded.kind, loaded.base_sha256, loaded.sha256) == ("depth", "abc", sha256(path))
    assert loaded.meta["prompt_drop"] == 0.5
    assert not loaded.model.training


def test_control_of_no_known_kind(tmp_path: Path) -> None:
    """A control need not say its kind; it is stored in full precision by default."""
    path, model = tmp_path / "control.safetensors", fill(ControlNet(TINY.unet))
    save_control(path, model, kind=None, base_sha256="")
    assert open_control(path).kind is None
    assert_same(open_control(path).model, model)


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_writing_is_atomic(tmp_path: Path, control_file: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    """When the disk fills up, the old file stays as it was and nothing else is left behind."""
    path = tmp_path / "control.safetensors"
    path.write_bytes(control_file.read_bytes())

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, function, full)
    with pytest.raises(InputError, match="No space left on device"):
        save_control(path, fill(ControlNet(TINY_V.unet)), kind="pose", base_sha256="")
    monkeypatch.undo()
    assert path.read_bytes() == control_file.read_bytes()
    assert os.listdir(tmp_path) == ["control.safetensors"]


def test_writing_into_no_folder(tmp_path: Path) -> None:
    """A missing folder is bad input."""
    path = tmp_path / "none" / "base.safetensors"
    with pytest.raises(InputError, match="none") as caught:
        save_base(path, tiny_base())
    assert "\n" not in str(caught.value)


def test_saving_leaves_the_model_alone(tmp_path: Path) -> None:
    """Writing in half precision does not touch the weights in memory, and the same model gives the same bytes."""
    model = fill(ControlNet(TINY.unet))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for name in ("a", "b"):
        save_control(tmp_path / name, model, kind="canny", base_sha256="", half=True)
    assert all(torch.equal(v, before[k]) and v.dtype == torch.float32 for k, v in model.state_dict().items())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
