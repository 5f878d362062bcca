"""The forward process: the noise schedule, and the target of the network's prediction."""

import torch
from torch import Tensor

from cn.model.config import ScheduleConfig


def zero_terminal_snr(alphas_cumprod: Tensor) -> Tensor:
    """Shift and scale √ᾱ so that the last is 0 and the first stays (Lin et al. 2023, Algorithm 1)."""
    root = alphas_cumprod.sqrt()
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])).square()


def _shaped(values: Tensor, t: Tensor, like: Tensor) -> Tensor:
    return values.to(like.device)[t].to(like.dtype).reshape(-1, *[1] * (like.ndim - 1))


class Schedule:
    """ᾱ_t of a scaled-linear schedule in float32.

    It is always computed and never read from a file, because fp16 checkpoints hold it rounded.
    """

    def __init__(self, config: ScheduleConfig):
        self.config = config
        self.steps = config.steps
        betas = torch.linspace(config.beta_start**0.5, config.beta_end**0.5, config.steps) ** 2
        alphas_cumprod = torch.cumprod(1.0 - betas, dim=0)
        self.alphas_cumprod = zero_terminal_snr(alphas_cumprod) if config.zero_terminal_snr else alphas_cumprod

    def to(self, device: torch.device) -> "Schedule":
        """The same schedule with ᾱ on `device`, where it costs no copy at each use. Returns itself."""
        self.alphas_cumprod = self.alphas_cumprod.to(device)
        return self

    def add_noise(self, z0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """z_t = √ᾱ_t z_0 + √(1-ᾱ_t) ε, all (B, 4, H, W), for timesteps t (B,) in 0 … 999."""
        a = _shaped(self.alphas_cumprod, t, z0)
        return a.sqrt() * z0 + (1 - a).sqrt() * noise

    def target(self, z0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """The target of the prediction at z_t: ε (Eq. 10), or v = √ᾱ ε - √(1-ᾱ) z_0 (Salimans & Ho 2022)."""
        if self.config.prediction == "eps":
            return noise
        a = _shaped(self.alphas_cumprod, t, z0)
        return a.sqrt() * noise - (1 - a).sqrt() * z0

    def split(self, prediction: Tensor, z: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
        """The (z_0, ε) that the network's prediction at ᾱ = alpha implies."""
        signal, sigma = alpha**0.5, (1 - alpha) ** 0.5
        if self.config.prediction == "eps":
            return (z - sigma * prediction) / signal, prediction
        return signal * z - sigma * prediction, signal * prediction + sigma * z
