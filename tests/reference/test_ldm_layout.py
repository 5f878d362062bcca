"""The writer of original files against the golden lists: every name and shape, at full size."""

import pytest
import torch

from tests.golden.keys import keys
from tests.reference import ldm_layout as ldm

VERSIONS = ("sd15", "sd21")


def state(group: str) -> dict[str, torch.Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in keys(group).items()}


def shapes(tensors: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_whole_checkpoint_has_exactly_the_published_names_and_shapes(version):
    parts = (state(f"diffusers/{version}/{part}") for part in ("unet", "vae", "text_encoder"))
    assert shapes(ldm.base_state(*parts)) == keys(f"ldm/{version}")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_control_has_exactly_the_published_names_and_shapes(version):
    control = ldm.unet_state(state(f"diffusers/{version}/controlnet"), ldm.CONTROL)
    assert shapes(control) == keys(f"control/{version}")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_control_is_a_copy_of_the_encoder_by_name(version):
    """tool_add_control.py fills `control_model.X` from `model.diffusion_model.X`: only hint and zero layers are new."""
    control = {k.removeprefix(ldm.CONTROL): v for k, v in keys(f"control/{version}").items()}
    unet = {k.removeprefix(ldm.UNET): v for k, v in keys(f"ldm/{version}").items()}
    new = {k for k in control if k not in unet}
    assert {k.split(".")[0] for k in new} == {"input_hint_block", "zero_convs", "middle_block_out"}
    assert all(unet[k] == shape for k, shape in control.items() if k not in new)


def test_sizes_are_the_published_ones():
    """Parameters as diffusers and the official release print them."""
    count = {g: sum(torch.Size(s).numel() for s in keys(g).values()) for g in ("control/sd15", "diffusers/sd21/unet")}
    assert count == {"control/sd15": 361_279_120, "diffusers/sd21/unet": 865_910_724}
