"""When images are decoded in strips, and what becomes of an autoencoder that overflows."""

import copy
import warnings

import pytest
import torch
from torch import Tensor

from cn.errors import CnWarning
from cn.model import decoding
from cn.model.config import VAEConfig
from cn.model.decoding import bytes_at_once, decode, memory_of
from cn.model.vae import AutoencoderKL
from tests.helpers.model_helpers import TINY, relative, tiny_base, uniform


def overflowing(dtype: torch.dtype = torch.float16) -> AutoencoderKL:
    """An autoencoder whose numbers leave the range of float16 in the middle, and come back."""
    vae = copy.deepcopy(tiny_base().vae)
    # What the first convolution makes is normalized before use: the image is the same in float32.
    vae.decoder.conv_in.weight.data *= 4e4
    vae.decoder.conv_in.bias.data *= 4e4
    return vae.to(dtype)


def latents(count: int = 1) -> Tensor:
    return uniform("decoding", (3, 4, 4, 4))[:count].half()


def test_an_overflow_decodes_again_in_float32():
    vae, z = overflowing(), latents()
    assert not vae.decode(z).isfinite().all(), "the weights overflow"
    with pytest.warns(CnWarning, match="the VAE overflowed in float16: images are decoded again in float32") as caught:
        made = decode(vae, z)
    assert len(caught) == 1
    assert made.isfinite().all()
    assert relative(made, copy.deepcopy(vae).float().decode(z.float())) < 1e-6
    assert next(vae.parameters()).dtype == torch.float16, "the networks stay as they are"


def test_the_images_beside_it_do_not_change(monkeypatch):
    """Only what overflowed is decoded again: an image does not depend on the others of its batch."""
    vae = copy.deepcopy(tiny_base().vae).half()
    z = latents(3)
    plain = decode(vae, z)
    original = AutoencoderKL.decode

    def broken(self: AutoencoderKL, given: Tensor) -> Tensor:
        made = original(self, given)
        if made.dtype == torch.float16:
            made[1] = torch.nan
        return made

    monkeypatch.setattr(AutoencoderKL, "decode", broken)
    with pytest.warns(CnWarning):
        made = decode(vae, z)
    assert torch.equal(made[0], plain[0].float())
    assert torch.equal(made[2], plain[2].float())
    assert torch.equal(made[1:2], original(copy.deepcopy(vae).float(), z[1:2].float()))


def test_latents_that_are_not_finite_are_said_to_be_so():
    z = latents()
    z[0, 0, 0, 0] = torch.nan
    with pytest.warns(CnWarning, match="the U-Net overflowed in float16"):
        decode(copy.deepcopy(tiny_base().vae).half(), z)


def test_nothing_is_said_without_an_overflow():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            vae = copy.deepcopy(tiny_base().vae).to(dtype)
            assert torch.equal(decode(vae, latents().to(dtype)), vae.decode(latents().to(dtype)))


@pytest.fixture
def counted(monkeypatch) -> list[str]:
    """How images are decoded, in order."""
    ways: list[str] = []
    at_once, strips = AutoencoderKL.decode, decoding.decode_in_strips
    monkeypatch.setattr(AutoencoderKL, "decode", lambda v, z: (ways.append(f"once {len(z)}"), at_once(v, z))[1])
    monkeypatch.setattr(decoding, "decode_in_strips", lambda v, z: (ways.append("strips"), strips(v, z))[1])
    return ways


@pytest.mark.parametrize(
    ("images", "ways"), [(100, ["once 3"]), (2.5, ["once 2", "once 1"]), (1, ["once 1"] * 3), (0.9, ["strips"] * 3)]
)
def test_the_way_depends_on_the_memory_of_the_machine(monkeypatch, counted, images, ways):
    vae, z = tiny_base().vae, latents(3).float()
    needed = bytes_at_once(TINY.vae, 4, 4, 4)
    monkeypatch.setattr(decoding, "memory_of", lambda device: int(images * needed) * decoding.SHARE)
    made = decode(vae, z)
    assert counted == ways
    assert relative(made, vae.decode(z)) < 2e-6


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")])
def test_memory_that_runs_out_leads_to_strips(monkeypatch, error):
    expected = tiny_base().vae.decode(latents(2).float())

    def fails(*given: object) -> Tensor:
        raise error

    monkeypatch.setattr(AutoencoderKL, "decode", fails)
    assert relative(decode(tiny_base().vae, latents(2).float()), expected) < 2e-6


def test_other_errors_are_not_swallowed(monkeypatch):
    def fails(*given: object) -> Tensor:
        raise RuntimeError("something else")

    monkeypatch.setattr(AutoencoderKL, "decode", fails)
    with pytest.raises(RuntimeError, match="something else"):
        decode(tiny_base().vae, latents().float())


def test_sizes():
    """2048×2048 of Stable Diffusion takes 15 GB at once in float32: strips on 8 GB, and on 48."""
    needed = bytes_at_once(VAEConfig(), 256, 256, 4)
    assert needed == (3 * 256 + 128) * 2048**2 * 4
    assert 0 < memory_of(torch.device("cpu")) <= 1 << 40
