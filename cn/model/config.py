"""Every size and choice that tells one latent-diffusion model from another, and the presets.

The networks take plain parameters; nothing else in the package knows what "SD 1.5" means.
Sources: v1-inference.yaml, v2-inference.yaml and v2-inference-v.yaml of the published models.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

Prediction = Literal["eps", "v"]
Links = Literal["full", "middle"]
ConditionEncoderKind = Literal["paper", "released"]

DEFAULT_PROMPT = "a professional, detailed, high-quality image"
"""Section 4.1 (2): the prompt for when nothing is known of the content."""


@dataclass(frozen=True)
class UNetConfig:
    """The denoising U-Net. Exactly one of `heads` and `head_dim` is set: SD 1 fixes the number, SD 2 the width."""

    in_channels: int = 4
    out_channels: int = 4
    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    strides: tuple[int, ...] = (2, 2, 2)
    res_blocks: int = 2
    attention_levels: tuple[int, ...] = (0, 1, 2)
    transformer_depth: int = 1
    heads: int | None = 8
    head_dim: int | None = None
    context_dim: int = 768
    linear_projection: bool = False
    groups: int = 32

    def __post_init__(self) -> None:
        if len(self.strides) != len(self.channels) - 1:
            raise ValueError(f"{len(self.channels)} levels need {len(self.channels) - 1} strides, not {self.strides}")
        if (self.heads is None) == (self.head_dim is None):
            raise ValueError("set exactly one of heads and head_dim")

    @property
    def stride(self) -> int:
        """How many latent cells a side one cell of the middle block covers (8 for SD)."""
        total = 1
        for s in self.strides:
            total *= s
        return total

    def heads_at(self, width: int) -> int:
        """The number of attention heads in a transformer of `width` channels."""
        return self.heads if self.heads is not None else width // (self.head_dim or width)


@dataclass(frozen=True)
class VAEConfig:
    """The KL autoencoder (f8: three halvings, four latent channels)."""

    channels: tuple[int, ...] = (128, 256, 512, 512)
    res_blocks: int = 2
    latent_channels: int = 4
    scale: float = 0.18215
    groups: int = 32

    @property
    def factor(self) -> int:
        """Pixels a side per latent cell."""
        return 2 ** (len(self.channels) - 1)


@dataclass(frozen=True)
class TextConfig:
    """CLIP's text tower. `run_layers` < `layers` is SD 2's penultimate layer; `pad_id` fills after the end token."""

    width: int = 768
    heads: int = 12
    layers: int = 12
    run_layers: int = 12
    quick_gelu: bool = True
    pad_id: int = 49407
    vocab_size: int = 49408
    context_length: int = 77


@dataclass(frozen=True)
class ScheduleConfig:
    """Noise levels: scaled-linear betas; optionally rescaled to end in pure noise (Lin et al. 2023, Algorithm 1)."""

    steps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    prediction: Prediction = "eps"
    zero_terminal_snr: bool = False
    spacing: Literal["leading", "trailing"] = "leading"
    guidance_rescale: float = 0.0

    def __post_init__(self) -> None:
        if self.zero_terminal_snr and (self.prediction != "v" or self.spacing != "trailing"):
            raise ValueError("a schedule that ends in pure noise needs v-prediction and trailing timesteps")


@dataclass(frozen=True)
class ModelConfig:
    """A whole base model. `image_size` is the side it was trained at, in pixels; `train_lr` suits its width."""

    name: str
    unet: UNetConfig = field(default_factory=UNetConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)
    text: TextConfig = field(default_factory=TextConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    image_size: int = 512
    train_lr: float = 1e-5

    @property
    def size_multiple(self) -> int:
        """A picture's sides must be multiples of this many pixels."""
        return self.vae.factor * self.unet.stride

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ModelConfig":
        """Rebuild a configuration; unknown or missing fields raise TypeError, bad combinations ValueError."""
        parts = {"unet": UNetConfig, "vae": VAEConfig, "text": TextConfig, "schedule": ScheduleConfig}
        return cls(**{k: _build(parts[k], v) if k in parts else v for k, v in data.items()})


def _build(kind: type, data: Mapping[str, Any]) -> Any:
    names = {f.name for f in fields(kind)}
    if unknown := set(data) - names:
        raise TypeError(f"{kind.__name__} has no field {', '.join(sorted(unknown))}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})


_SD2_UNET = UNetConfig(heads=None, head_dim=64, context_dim=1024, linear_projection=True)
_SD2_TEXT = TextConfig(width=1024, heads=16, layers=24, run_layers=23, quick_gelu=False, pad_id=0)

PRESETS: dict[str, ModelConfig] = {
    "sd15": ModelConfig(name="sd15"),
    "sd21": ModelConfig(name="sd21", unet=_SD2_UNET, text=_SD2_TEXT),
    "sd21-v": ModelConfig(
        name="sd21-v", unet=_SD2_UNET, text=_SD2_TEXT, schedule=ScheduleConfig(prediction="v"), image_size=768
    ),
    # The bundled base. Strides 2, 2, 1 leave the middle block 8×8 cells at 256 pixels, as Stable Diffusion's has
    # at 512: with 2×2 cells a control through the middle alone (small-scale training) had nothing to hold on to.
    "scenes": ModelConfig(
        name="scenes",
        unet=UNetConfig(
            channels=(64, 96, 96, 128),
            strides=(2, 2, 1),
            attention_levels=(1, 2),
            heads=None,
            head_dim=32,
            context_dim=192,
            linear_projection=True,
        ),
        vae=VAEConfig(channels=(32, 64, 96, 96), scale=1.0),
        text=TextConfig(width=192, heads=3, layers=4, run_layers=4, quick_gelu=False, pad_id=0),
        schedule=ScheduleConfig(prediction="v", zero_terminal_snr=True, spacing="trailing", guidance_rescale=0.7),
        image_size=256,
        train_lr=5e-4,
    ),
}
