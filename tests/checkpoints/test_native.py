"""cn's own checkpoint files: exact round trips, and one-line errors that name the file."""

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from cn.archives.metadata import METADATA_KEY
from cn.checkpoints.read import sources
from cn.checkpoints.read.load import Control, check_fits, open_base, open_control
from cn.checkpoints.write.native import save_base, save_control
from cn.errors import CnError, InputError, WeightsError
from cn.files import sha256
from cn.model.config import PRESETS, ModelConfig
from cn.model.controlnet import ControlNet
from tests.helpers.model_helpers import TINY, TINY_V, fill, tiny_base

EMBEDDING, TOKEN_IDS = f"text.{sources.EMBEDDING}", f"text.{sources.TOKEN_IDS}"

VOCABULARY = TINY.text.vocab_size


@pytest.fixture(scope="module")
def base_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "base.safetensors"
    save_base(path, tiny_base(), tokens=[320, 2368, 49407], steps=7)
    return path


@pytest.fixture(scope="module")
def control_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "control.safetensors"
    save_control(path, fill(ControlNet(TINY.unet)), kind="canny", base_sha256="abc", prompt_drop=0.5)
    return path


def assert_same(loaded: nn.Module, other: nn.Module, *, half: bool = False) -> None:
    loaded_state, other_state = loaded.state_dict(), other.state_dict()
    assert list(loaded_state) == list(other_state)
    for name, value in other_state.items():
        assert torch.equal(loaded_state[name], value.half().float() if half else value), name


def header(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()[METADATA_KEY])


def failure(kind: type[CnError], path: Path, load=open_base) -> str:
    """The one-line message of a failed load, which names the file."""
    with pytest.raises(CnError) as caught:
        load(path)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def rewritten(source: Path, path: Path, change) -> Path:
    """A copy of a file of cn's own after `change(header, tensors)`."""
    tensors, text = load_file(source), header(source)
    change(text, tensors)
    save_file(tensors, path, {METADATA_KEY: json.dumps(text)})
    return path


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


def test_truncated(tmp_path: Path, base_file: Path, control_file: Path) -> None:
    """A file cut anywhere is broken input."""
    for source, load in ((base_file, open_base), (control_file, open_control)):
        data = source.read_bytes()
        for length in (0, 5, 100, len(data) // 2, len(data) - 1):
            path = tmp_path / "cut.safetensors"
            path.write_bytes(data[:length])
            failure(InputError, path, load)


@pytest.mark.parametrize(
    "data", [b"hello, I am a text file\n" * 20, b"\x89PNG\r\n\x1a\n" + bytes(500), b"PK\x03\x04" * 99]
)
def test_other_kinds_of_file(tmp_path: Path, data: bytes) -> None:
    """Text, an image, a zip: broken input."""
    path = tmp_path / "base.safetensors"
    path.write_bytes(data)
    failure(InputError, path)
    failure(InputError, path, open_control)


def test_no_file(tmp_path: Path) -> None:
    """A missing file means missing weights, and so does a folder without any."""
    assert "no such file" in failure(WeightsError, tmp_path / "none.safetensors")
    assert "no such file" in failure(WeightsError, tmp_path / "none.safetensors", open_control)
    assert "is an empty folder" in failure(WeightsError, tmp_path)


def test_wrong_role(base_file: Path, control_file: Path) -> None:
    """A base is not a control, and the message says what the file is."""
    assert failure(WeightsError, control_file).endswith("a base was expected, but this is a control")
    assert failure(WeightsError, base_file, open_control).endswith("a control was expected, but this is a base")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {METADATA_KEY: "[]"}, {METADATA_KEY: "{}"}])
def test_safetensors_of_other_tools(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    """An intact safetensors file that cn did not write."""
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, path, metadata)
    assert "holds neither a base nor a control" in failure(WeightsError, path)


def test_header_that_is_invalid_json(tmp_path: Path) -> None:
    """A damaged header is broken input."""
    path = tmp_path / "base.safetensors"
    save_file({"a": torch.zeros(2)}, path, {METADATA_KEY: "{role"})
    failure(InputError, path)


@pytest.mark.parametrize(
    "change",
    [
        lambda h, t: h["config"]["unet"].update(shape="round"),
        lambda h, t: h["config"]["unet"].update(head_dim=8),
        lambda h, t: h["config"].update(flavour="vanilla"),
        lambda h, t: h["config"].update(unet=None),
        lambda h, t: h.pop("config"),
        lambda h, t: t.pop(EMBEDDING),
        lambda h, t: t.update({TOKEN_IDS: torch.tensor([320, 2368, VOCABULARY])}),
    ],
)
def test_description_of_a_base(tmp_path: Path, base_file: Path, change) -> None:
    """Unknown, contradictory or missing settings, and token rows that match no token."""
    path = rewritten(base_file, tmp_path / "base.safetensors", change)
    assert "description" in failure(WeightsError, path)


@pytest.mark.parametrize(
    "change",
    [
        lambda h, t: h.update(condition_encoder="cubist"),
        lambda h, t: h["unet"].update(shape="round"),
        lambda h, t: h.pop("links"),
    ],
)
def test_description_of_a_control(tmp_path: Path, control_file: Path, change) -> None:
    """The same for a control."""
    path = rewritten(control_file, tmp_path / "control.safetensors", change)
    assert "its description is not valid in this version of cn" in failure(WeightsError, path, open_control)


@pytest.mark.parametrize(
    "change",
    [
        lambda h, t: t.pop("zero_middle.weight"),
        lambda h, t: t.update(surplus=torch.zeros(1)),
        lambda h, t: t.update({"zero_middle.bias": torch.zeros(3)}),
        lambda h, t: h["unet"].update(channels=[32, 32, 64, 96]),
    ],
)
def test_tensors_must_fit_the_description(tmp_path: Path, control_file: Path, change) -> None:
    """A missing, a surplus and a misshapen tensor, and a description of other widths."""
    path = rewritten(control_file, tmp_path / "control.safetensors", change)
    assert "do not match" in failure(WeightsError, path, open_control)


def test_surplus_tensor_in_a_base(tmp_path: Path, base_file: Path) -> None:
    """Nothing in a base goes unused, whatever its prefix."""
    for name in ("unet.surplus", "surplus"):
        path = rewritten(base_file, tmp_path / "b.safetensors", lambda h, t, n=name: t.update({n: torch.zeros(1)}))
        assert failure(WeightsError, path).endswith(
            (f"unexpected {name.split('.')[-1]}", f"unrecognized tensors: {name}")
        )


def test_control_for_another_base() -> None:
    """A control of other widths is refused by name; one of the same U-Net fits."""
    base = tiny_base()
    with torch.device("meta"):
        fits, other = (Control(ControlNet(c), "canny") for c in (TINY.unet, PRESETS["sd15"].unet))
    check_fits(fits, base, "control.safetensors")
    with pytest.raises(WeightsError, match=r"^dir/x\.safetensors: this control was made for another base") as caught:
        check_fits(other, base, "dir/x.safetensors")
    assert "text of width 768, the base 64" in str(caught.value)
    assert "\n" not in str(caught.value)


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
