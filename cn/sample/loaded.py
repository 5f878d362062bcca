"""Networks that `cn.api` keeps in memory between calls. No torch, no NumPy."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cn.checkpoints.read.load import Control
    from cn.model.base import Base


@dataclass(frozen=True)
class LoadedBase:
    """A base in memory, and the name or path that images sampled with it state."""

    name: str
    base: "Base"
    lora: tuple[str, ...] = ()
    """The LoRA files in it, each as "FILE:WEIGHT"."""
    vae: str | None = None
    """The VAE in place of its own."""


@dataclass(frozen=True)
class LoadedControl:
    """A ControlNet in memory, and the name or path that images sampled with it state."""

    name: str
    control: "Control"

    @property
    def kind(self) -> str | None:
        """The condition that it was trained for, where its file states it."""
        return self.control.kind
