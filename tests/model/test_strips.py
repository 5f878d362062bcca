"""Decoding in strips gives the image that decoding at once gives, up to rounding."""

import copy

import pytest
import torch

from cn.checkpoints.read.load import open_base
from cn.model.strips import _strips, decode_in_strips
from cn.weights import bundled
from tests.helpers.model_helpers import TINY_V, relative, tiny_base, uniform


def latents(batch: int, height: int, width: int, channels: int = 4) -> torch.Tensor:
    return uniform(f"z {batch} {height} {width}", (batch, channels, height, width))


@pytest.mark.parametrize("rows", [2, 5, 16, None])
@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 5, 3), (1, 1, 1)])
def test_the_image_is_the_same_up_to_rounding(shape, rows):
    vae, z = tiny_base().vae, latents(*shape)
    whole = vae.decode(z)
    strips = decode_in_strips(vae, z, rows=rows)
    assert strips.dtype == whole.dtype
    assert relative(strips, whole) < 1e-5


def test_without_the_statistics_of_the_whole_it_would_not_be():
    """The bound can fail: a half that is decoded by itself differs by a hundred thousand times more."""
    vae, z = tiny_base().vae, latents(1, 8, 8)
    assert relative(vae.decode(z[:, :, :4]), vae.decode(z)[:, :, :32]) > 0.05


def test_the_latents_and_the_weights_stay_as_they_are():
    vae, z = tiny_base(TINY_V).vae, latents(1, 4, 4)
    before, state = z.clone(), {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    decode_in_strips(vae, z, rows=3)
    assert torch.equal(z, before)
    assert all(torch.equal(tensor, state[name]) for name, tensor in vae.state_dict().items())


def test_half_precision():
    """Statistics are in float32: strips are no further from the exact image than decoding at once."""
    vae, z = tiny_base().vae, latents(1, 8, 8)
    exact = vae.decode(z)
    half = copy.deepcopy(vae).bfloat16()
    at_once, strips = half.decode(z.bfloat16()), decode_in_strips(half, z.bfloat16(), rows=8)
    assert strips.dtype == torch.bfloat16
    assert relative(strips.float(), exact) < 1.5 * relative(at_once.float(), exact)


def test_the_bundled_autoencoder():
    """Far below the 1/255 at which a seam could be seen."""
    base = open_base(bundled.find("base", role="base"))
    z = latents(1, 12, 8, base.vae.config.latent_channels)
    with torch.inference_mode():
        difference = (base.vae.decode(z) - decode_in_strips(base.vae, z, rows=8)).abs()
    assert float(difference.max()) < 1e-4


def test_strips_cover_every_row_once_and_have_two_at_least():
    for height in range(1, 40):
        for rows in range(2, 9):
            edges = list(_strips((4, height, 4), rows))
            assert [row for first, last in edges for row in range(first, last)] == list(range(height))
            assert height < 2 or min(last - first for first, last in edges) >= 2
