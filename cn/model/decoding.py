"""Latents → images in the memory that there is, and without the black images of an autoencoder in half precision."""

import contextlib
import copy
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cn.errors import CnWarning, is_memory_error
from cn.model.config import VAEConfig
from cn.model.strips import decode_in_strips
from cn.model.transfers import Download
from cn.model.vae import AutoencoderKL

SHARE = 4
"""An image is decoded at once if that takes at most this fraction (1/4) of the device's memory: the rest is for the
networks. The whole memory counts and not what is free, so that the same machine makes the same image."""

_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_UNKNOWN = 1 << 40


@torch.no_grad()
def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Scaled latents (B, 4, H, W) → images (B, 3, 8H, 8W), about [-1, 1], not clamped.

    Images that are too large for the device's memory are decoded in strips (`decode_in_strips`), which changes them by
    rounding only. Of an autoencoder that overflows in half precision, the images that are not finite are decoded again
    in float32, each by itself, with a CnWarning. Raises what torch raises where memory does not suffice for strips.
    """
    decoded = _decode_fitting(vae, latents)
    if decoded.dtype == torch.float32:
        return decoded
    return _repaired(vae, latents, decoded, ~_finite_rows(decoded))


@dataclass(frozen=True)
class Decoding:
    """`decode` for pixels on the CPU, begun: a GPU is not waited for."""

    vae: AutoencoderKL
    latents: Tensor
    arriving: Download
    finite: Download | None

    @classmethod
    @torch.no_grad()
    def of(cls, vae: AutoencoderKL, latents: Tensor) -> "Decoding":
        """Begin."""
        decoded = _decode_fitting(vae, latents)
        finite = None if decoded.dtype == torch.float32 else Download.of(_finite_rows(decoded))
        return cls(vae, latents, Download.of(to_pixels(decoded)), finite)

    def pixels(self) -> Tensor:
        """(B, 8H, 8W, 3) uint8, once they have arrived; what overflowed is decoded again then."""
        pixels = self.arriving.wait()
        if self.finite is None or bool(self.finite.wait().all()):
            return pixels
        return to_pixels(decode(self.vae, self.latents)).cpu()


def to_pixels(decoded: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] → uint8 (B, H, W, 3), rounded half to even (diffusers' postprocessing)."""
    scaled = (decoded.float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1) * 255
    return scaled.round().to(torch.uint8)


def _repaired(vae: AutoencoderKL, latents: Tensor, decoded: Tensor, broken: Tensor) -> Tensor:
    if not bool(broken.any()):
        return decoded
    name = str(decoded.dtype).removeprefix("torch.")
    again = broken & _finite_rows(latents)
    if not bool(again.any()):
        warnings.warn(
            f"the U-Net overflowed in {name}: the image is empty; sample it with another --precision (bf16 or fp32)",
            CnWarning,
            stacklevel=2,
        )
        return decoded
    warnings.warn(f"the VAE overflowed in {name}: images are decoded again in float32", CnWarning, stacklevel=2)
    decoded = decoded.float()
    # A copy for this call only: so each image is the same whichever were decoded before it.
    precise = copy.deepcopy(vae).float()
    with torch.autocast(latents.device.type, enabled=False):
        for row in again.nonzero().flatten().tolist():
            decoded[row : row + 1] = _decode_fitting(precise, latents[row : row + 1].float())
    return decoded


def _finite_rows(tensor: Tensor) -> Tensor:
    """(B,), which items have neither NaN nor infinity."""
    return tensor.isfinite().flatten(1).all(dim=1)


def _decode_fitting(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    count, _, height, width = latents.shape
    budget = memory_of(latents.device) // SHARE
    per_image = bytes_at_once(vae.config, height, width, latents.element_size())
    if per_image > budget:
        return torch.cat([decode_in_strips(vae, one) for one in latents.split(1)])
    try:
        return torch.cat([vae.decode(some) for some in latents.split(min(count, budget // per_image))])
    except RuntimeError as error:
        if not is_memory_error(error):
            raise
    # Outside the handler: the error holds the tensors of the failed attempt.
    if latents.device.type == "cuda":
        torch.cuda.empty_cache()
    return torch.cat([decode_in_strips(vae, one) for one in latents.split(1)])


def bytes_at_once(config: VAEConfig, height: int, width: int, item_size: int) -> int:
    """What decoding an image of height × width latent cells at once takes, besides the weights.

    The peak is in the first convolution of the last level: the block's input, the same normalized and after SiLU, a
    copy of that in the layout of the CPU's kernels, and the output.
    """
    pixels = height * width * config.factor**2
    return (3 * max(config.channels[:2]) + config.channels[0]) * pixels * item_size


def memory_of(device: torch.device) -> int:
    """All memory of a device in bytes; for the CPU, what the system or a container's limit allows."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    found = [_UNKNOWN]
    with contextlib.suppress(AttributeError, OSError, ValueError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for file in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):
            found.append(int(Path(file).read_text()))
    return min(found)
