"""cn's own checkpoint files, damaged or wrong: one-line errors that name the file."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cn.archives.metadata import METADATA_KEY
from cn.checkpoints.read.load import Control, check_fits, open_base, open_control
from cn.errors import CnError, InputError, WeightsError
from cn.model.config import PRESETS
from cn.model.controlnet import ControlNet
from tests.helpers.model_helpers import TINY, tiny_base
from tests.helpers.native_files import EMBEDDING, TOKEN_IDS, VOCABULARY, rewritten


def failure(kind: type[CnError], path: Path, load=open_base) -> str:
    """The one-line message of a failed load, which names the file."""
    with pytest.raises(CnError) as caught:
        load(path)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


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
    assert "a context width of 768, the base 64" in str(caught.value)
    assert "\n" not in str(caught.value)
