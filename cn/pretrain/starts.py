"""What the stages of pretraining start from: weights of the work folder, or finished ones of another folder."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cn.checkpoints.read.load import open_base, open_control
from cn.errors import CnError
from cn.model.base import Base
from cn.model.config import ModelConfig
from cn.model.controlnet import ControlNet
from cn.pretrain.control import STARTS


@dataclass(frozen=True)
class Starts:
    """`start` is the folder of finished weights, if any; `model` describes the base that is trained."""

    work: Path
    start: Path | None
    device: torch.device
    model: ModelConfig

    def base(self) -> Base:
        """The base to go on from, or a new one; of a base of other sizes only the VAE, where that has the same."""
        base = Base.create(self.model, self.device)
        for path in self._autoencoders():
            if path.exists():
                earlier = open_base(path, self.device)
                if earlier.config.unet == self.model.unet:
                    return earlier
                if earlier.config.vae == self.model.vae:
                    base.vae.load_state_dict(earlier.vae.state_dict())
                break
        return base

    def _autoencoders(self) -> list[Path]:
        """Where there may be a VAE to go on from, the latest first."""
        return [
            self.work / "base.safetensors",
            self.work / "autoencoder.safetensors",
            *([] if self.start is None else [self.start / "base.safetensors"]),
        ]

    def with_autoencoder(self) -> Base:
        """The base that `denoiser` trains, described as it is now: a header may be of earlier defaults."""
        path = next((path for path in self._autoencoders() if path.exists()), None)
        if path is None:
            raise CnError("there is no autoencoder: run the stage autoencoder first, or give --start", path=self.work)
        base = open_base(path, self.device)
        if (base.config.unet, base.config.vae, base.config.text) != (self.model.unet, self.model.vae, self.model.text):
            raise CnError("is a base of other sizes: run the stage autoencoder first", path=path)
        return replace(base, config=self.model)

    def control(self, kind: str) -> ControlNet | None:
        """What training starts from: weights of this kind, earlier ones for another base, or those of another kind."""
        if (self.work / f"{kind}.safetensors").exists():
            return self._opened(self.work / f"{kind}.safetensors")
        if self.start is not None and (self.start / f"{kind}.safetensors").exists():
            return self._moved(self.start / f"{kind}.safetensors")
        other = self.work / f"{STARTS.get(kind, kind)}.safetensors"
        return self._opened(other) if other.exists() else None

    def _opened(self, path: Path) -> ControlNet:
        model = open_control(path, self.device).model
        assert isinstance(model, ControlNet)
        return model

    @torch.no_grad()
    def _moved(self, path: Path) -> ControlNet:
        """A ControlNet of the base beside it, moved to the base of this folder as `cn transfer` does."""
        control = self._opened(path)
        before, now = (open_base(folder / "base.safetensors", self.device) for folder in (path.parent, self.work))
        encoders = (network.parameters() for network in (control.encoder, before.unet.encoder, now.unet.encoder))
        for own, old, new in zip(*encoders, strict=True):
            own += new - old
        return control
