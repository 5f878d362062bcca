"""A base model in memory: the three networks and their configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from cn.model.config import ModelConfig
from cn.model.schedule import Schedule
from cn.model.text import TextEncoder
from cn.model.unet import UNet
from cn.model.vae import AutoencoderKL


@dataclass(frozen=True)
class Base:
    """The locked copy.

    `sha256` identifies the file it came from ("" when it was created in memory), `source_sha256` the file that this one
    was converted from. `added` are files that changed the networks after loading (LoRA, VAE): name → SHA-256.
    """

    config: ModelConfig
    unet: UNet
    vae: AutoencoderKL
    text: TextEncoder
    sha256: str = ""
    source_sha256: str = ""
    added: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def create(cls, config: ModelConfig, device: torch.device | str = "cpu") -> "Base":
        """New networks of the configured sizes with torch's initial weights (none on the meta device)."""
        with torch.device(device):
            return cls(config, UNet(config.unet), AutoencoderKL(config.vae), TextEncoder(config.text))

    @property
    def schedule(self) -> Schedule:
        """The noise schedule of the configuration."""
        return Schedule(self.config.schedule)

    @property
    def device(self) -> torch.device:
        return self.unet.decoder.conv_out.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.unet.decoder.conv_out.weight.dtype

    @property
    def networks(self) -> dict[str, torch.nn.Module]:
        """The parts by the names that files use as prefixes."""
        return {"unet": self.unet, "vae": self.vae, "text": self.text}

    def lock(self) -> "Base":
        """No gradients, evaluation mode: the locked copy of §3.1. Returns itself."""
        for network in self.networks.values():
            network.requires_grad_(False).eval()
        return self
