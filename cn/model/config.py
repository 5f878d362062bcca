"""The configuration of latent-diffusion models (all sizes and variants), and the presets.

Only this module knows the sizes of a named model such as "SD 1.5".
Sources: v1-inference.yaml, v2-inference.yaml and v2-inference-v.yaml of the published models.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

Prediction = Literal["eps", "v"]
PREDICTION_HELP = (
    "What the base's U-Net predicts, where its file does not say (Stable Diffusion 2: eps at 512 pixels, v at 768)."
)
Spacing = Literal["leading", "linspace", "trailing", "trailing_stride"]
Links = Literal["full", "middle"]
ConditionEncoderKind = Literal["paper", "released"]
ControlArchitecture = Literal["controlnet", "concat"]
"""A ControlNet, or the baseline that it is compared with in Fig. 20 (`cn.model.concat`)."""

PAPER_LR = 1e-5
"""Fig. 21: AdamW at 1e-5, without tricks like EMA."""
PAPER_SCALE = 9.0
"""§4.1: of classifier-free guidance."""

START_TOKEN, END_TOKEN = 49406, 49407
"""The last two of CLIP's tokens."""
VOCABULARY_SIZE = 49408

DEFAULT_PROMPT = "a professional, detailed, high-quality image"
"""The prompt when nothing is known about the content (§4.1, case 2)."""

_MAX_WIDTH, _MAX_DEPTH, _MAX_LAYERS = 1 << 20, 32, 128
"""Far beyond any model: unbounded sizes in a file would take all memory before a tensor is read."""


def _is_count(value: object, maximum: int) -> bool:
    return type(value) is int and 0 < value <= maximum


def _check_counts(config: object, maximum: int, *names: str) -> None:
    for name in names:
        if not _is_count(value := getattr(config, name), maximum):
            raise ValueError(f"{name} is {value!r}, and should be a whole number from 1 to {maximum}")


def _check_widths(channels: object, groups: object) -> None:
    if not isinstance(channels, tuple) or not 0 < len(channels) <= _MAX_DEPTH:
        raise ValueError(f"channels are {channels!r}, and should be a list of whole numbers")
    if not all(_is_count(width, _MAX_WIDTH) for width in channels):
        raise ValueError(f"channels are {channels!r}, and should be whole numbers from 1 to {_MAX_WIDTH}")
    if not (type(groups) is int and groups > 0) or any(width % groups for width in channels):
        raise ValueError(f"{groups!r} normalization groups do not divide channels of {channels}")


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
        """Raises ValueError for impossible values: they may come from a damaged file."""
        _check_widths(self.channels, self.groups)
        _check_counts(self, _MAX_DEPTH, "res_blocks", "transformer_depth")
        _check_counts(self, _MAX_WIDTH, "in_channels", "out_channels", "context_dim")
        if not isinstance(self.strides, tuple) or not all(_is_count(stride, _MAX_DEPTH) for stride in self.strides):
            raise ValueError(f"strides are {self.strides!r}, and should be whole numbers")
        if len(self.strides) != len(self.channels) - 1:
            raise ValueError(f"{len(self.channels)} levels need {len(self.channels) - 1} strides, not {self.strides}")
        levels = range(len(self.channels))
        if not isinstance(self.attention_levels, tuple) or not all(
            type(n) is int and n in levels for n in self.attention_levels
        ):
            raise ValueError(f"attention_levels are {self.attention_levels!r}, but there are {len(levels)} levels")
        if (self.heads is None) == (self.head_dim is None):
            raise ValueError("set exactly one of heads and head_dim")
        _check_counts(self, _MAX_WIDTH, "heads" if self.heads is not None else "head_dim")
        if not isinstance(self.linear_projection, bool):
            raise ValueError(f"linear_projection is {self.linear_projection!r}, and should be true or false")
        for width in self.attention_widths:
            if width % (self.heads or self.head_dim or 1):
                kind = f"{self.heads} heads" if self.heads is not None else f"heads of width {self.head_dim}"
                raise ValueError(f"{width} channels cannot be divided into {kind}")

    @property
    def has_mask(self) -> bool:
        """Whether it is an inpainting U-Net: a mask and the latents of the rest are five more input channels."""
        return self.in_channels == 2 * self.out_channels + 1

    @property
    def stride(self) -> int:
        """The side, in latent cells, of one cell of the middle block (8 for SD)."""
        total = 1
        for s in self.strides:
            total *= s
        return total

    @property
    def connections(self) -> int:
        """Skip connections and the middle block: where a ControlNet adds its residuals (13 for SD)."""
        return 1 + len(self.channels) * self.res_blocks + len(self.strides) + 1

    @property
    def attention_widths(self) -> tuple[int, ...]:
        """The channels of the transformers, level by level and in the middle block."""
        return (*(self.channels[level] for level in self.attention_levels), self.channels[-1])

    def heads_at(self, width: int) -> int:
        """The number of attention heads in a transformer of `width` channels."""
        return self.heads if self.heads is not None else width // (self.head_dim or width)


@dataclass(frozen=True)
class VAEConfig:
    """The KL autoencoder (f8: three downsamplings, four latent channels)."""

    channels: tuple[int, ...] = (128, 256, 512, 512)
    res_blocks: int = 2
    latent_channels: int = 4
    scale: float = 0.18215
    groups: int = 32

    def __post_init__(self) -> None:
        """Raises ValueError for impossible values."""
        _check_widths(self.channels, self.groups)
        _check_counts(self, _MAX_DEPTH, "res_blocks")
        _check_counts(self, _MAX_WIDTH, "latent_channels")
        if type(self.scale) not in (int, float) or not 0 < self.scale < math.inf:
            raise ValueError(f"scale is {self.scale!r}, and should be a number above 0")

    @property
    def factor(self) -> int:
        """Pixels a side per latent cell."""
        return 2 ** (len(self.channels) - 1)


@dataclass(frozen=True)
class TextConfig:
    """CLIP's text encoder. `run_layers` < `layers` is SD 2's penultimate layer; `pad_id` pads prompts."""

    width: int = 768
    heads: int = 12
    layers: int = 12
    run_layers: int = 12
    quick_gelu: bool = True
    pad_id: int = END_TOKEN
    vocab_size: int = VOCABULARY_SIZE
    context_length: int = 77

    def __post_init__(self) -> None:
        """Raises ValueError for impossible values."""
        _check_counts(self, _MAX_WIDTH, "width", "heads", "vocab_size", "context_length")
        _check_counts(self, _MAX_LAYERS, "layers", "run_layers")
        if self.width % self.heads:
            raise ValueError(f"{self.width} channels cannot be divided into {self.heads} heads")
        if self.run_layers > self.layers:
            raise ValueError(f"{self.run_layers} of {self.layers} layers cannot be run")
        if not isinstance(self.quick_gelu, bool):
            raise ValueError(f"quick_gelu is {self.quick_gelu!r}, and should be true or false")
        if type(self.pad_id) is not int or self.pad_id < 0:
            raise ValueError(f"pad_id is {self.pad_id!r}, and should be a token id")


@dataclass(frozen=True)
class ScheduleConfig:
    """Noise levels: scaled-linear betas; optionally rescaled to end in pure noise (Lin et al. 2023, Algorithm 1).

    `spacing` selects the timesteps of a run of n steps; see `ddim_steps`. A wrong type or value raises ValueError.
    """

    steps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    prediction: Prediction = "eps"
    zero_terminal_snr: bool = False
    spacing: Spacing = "leading"
    guidance_rescale: float = 0.0
    steps_offset: int = 1
    """The offset that "leading" adds to the multiples of 1000 // n."""
    final_alpha_one: bool = False
    """Whether a step below timestep 0 ends at a clean image instead of ᾱ_0. "trailing" always ends at a clean image."""

    def __post_init__(self) -> None:
        for name, choices in (("prediction", get_args(Prediction)), ("spacing", get_args(Spacing))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}, not {' or '.join(choices)}")
        for name in ("zero_terminal_snr", "final_alpha_one"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}, and should be true or false")
        _check_counts(self, _MAX_WIDTH, "steps")
        if type(self.steps_offset) is not int or not 0 <= self.steps_offset < self.steps:
            raise ValueError(f"steps_offset is {self.steps_offset!r}, not a whole number from 0 to {self.steps - 1}")
        for name in ("beta_start", "beta_end", "guidance_rescale"):
            if type(getattr(self, name)) not in (int, float):
                raise ValueError(f"{name} is {getattr(self, name)!r}, and should be a number")
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise ValueError(f"betas must increase within 0 to 1, not from {self.beta_start} to {self.beta_end}")
        if not 0 <= self.guidance_rescale <= 1:
            raise ValueError(f"guidance_rescale is {self.guidance_rescale}, not a number from 0 to 1")
        if self.zero_terminal_snr and (self.prediction != "v" or self.spacing == "leading"):
            raise ValueError("a schedule that ends in pure noise needs v-prediction and trailing timesteps")


@dataclass(frozen=True)
class ModelConfig:
    """A base model. `image_size` is the side of its training images in pixels; `train_lr` the default learning rate;
    `guidance_scale` that of sampling (§4.1: 9).

    `middle_controls` says whether its decoder listens to the middle block, so that small-scale training (§3.4) can
    control anything; docs/train.md says how that is measured.
    """

    name: str
    unet: UNetConfig = field(default_factory=UNetConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)
    text: TextConfig = field(default_factory=TextConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    image_size: int = 512
    guidance_scale: float = PAPER_SCALE
    train_lr: float = PAPER_LR
    middle_controls: bool = True

    @property
    def size_multiple(self) -> int:
        """An image's sides must be multiples of this many pixels."""
        return self.vae.factor * self.unet.stride

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ModelConfig":
        """Rebuild a configuration; unknown or missing fields raise TypeError, bad combinations ValueError."""
        # Headers of version 0.1 do not say it: all bases with a rate of their own were the bundled one then.
        data = {"middle_controls": data.get("train_lr", PAPER_LR) == PAPER_LR, **data}
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
    # at 512: with 2×2 cells a control of the middle block alone (small-scale training) has too little resolution.
    "scenes": ModelConfig(
        name="scenes",
        unet=UNetConfig(
            in_channels=8,
            out_channels=8,
            channels=(96, 96, 128, 128),
            strides=(2, 2, 1),
            attention_levels=(1, 2),
            heads=None,
            head_dim=32,
            context_dim=192,
            linear_projection=True,
        ),
        vae=VAEConfig(channels=(32, 64, 96, 96), latent_channels=8, scale=1.0),
        text=TextConfig(width=192, heads=3, layers=4, run_layers=4, quick_gelu=False, pad_id=0),
        schedule=ScheduleConfig(prediction="v", zero_terminal_snr=True, spacing="trailing", guidance_rescale=0.7),
        image_size=256,
        # At 9 fewer edges of a sample are in its condition, for the same share of what the prompt names.
        guidance_scale=5.0,
        train_lr=5e-4,
        middle_controls=False,
    ),
}
