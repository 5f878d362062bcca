"""The inputs behind the golden arrays, shared by make_golden.py and the tests; all are functions of names."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cn.model.config import Prediction
from cn.model.samplers.settings import SamplerName, Sigmas
from tests.helpers.model_helpers import TEXTS, UNETS, uniform

PROMPTS = [
    "a professional, detailed, high-quality image",
    "",
    "A Dancer in a RED coat on snow, at dusk!!",
    "naïve café, 12:45 — 東京 🙂  it's   we'll",
    "supercalifragilisticexpialidocious & <b>",
    "very " * 75,
    "very " * 76,
    "snowman, " * 60,
]

WEIGHTED_PROMPTS = [
    "a red house",
    "",
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
    r"a \(literal\] \\ (very \(nested\):1.2) [[weak]] word",
    "(unbalanced [both) kinds",
    "closed) too] early:1.5)",
    "(zero:0), (negative:-0.5), ( spaced : 1.25 ), (.5:.5)",
    "a forest BREAK (a lake:1.4)\nBREAK",
    "BREAK BREAK night",
    "un(believ:1.5)able, DAY!!",
    "snowman, " * 60,
    "very " * 76 + "(long:1.5)",
    "very " * 70 + "cold, white (snow on the old roof of a house:1.1), far away",
    "very " * 50 + "cold, " + "white " * 40,
    "very " * 75 + ", " + "(late:1.3) " * 90,
]
"""Weights, brackets, escapes and breaks, one chunk and several, commas near and far from the end of a chunk."""


def unet_inputs(layout: str) -> dict[str, Tensor]:
    """Two images of 6×10 latent cells (an odd number after one halving) at an early and a late timestep."""
    return {
        "z": uniform("z", (2, 4, 6, 10)),
        "t": torch.tensor([981, 3]),
        "text": uniform("text", (2, 77, UNETS[layout].context_dim)),
        "hint": uniform("hint", (2, 3, 48, 80)).sigmoid(),
    }


def vae_inputs() -> dict[str, Tensor]:
    return {"images": uniform("images", (1, 3, 48, 32)).tanh(), "latents": uniform("latents", (1, 4, 5, 4))}


def tokens(layout: str) -> Tensor:
    """A prompt of three tokens and an empty one, with the layout's padding."""
    pad = TEXTS[layout].pad_id
    rows = [[49406, 320, 2368, 537, 49407], [49406, 49407]]
    return torch.tensor([row + [pad] * (77 - len(row)) for row in rows])


def thin(residual: Tensor) -> Tensor:
    """About 24 numbers of a residual, from all over it."""
    return residual.flatten()[:: residual.numel() // 24]


def thin_text(encoded: Tensor) -> Tensor:
    return encoded[:, ::7, ::8]


@dataclass(frozen=True)
class DDIMCase:
    name: str
    prediction: Prediction
    spacing: Literal["leading", "trailing"]
    zero_snr: bool
    steps: int
    eta: float = 0.0
    seed: int = 9


DDIM = [
    DDIMCase("eps", "eps", "leading", False, 20),
    DDIMCase("eps-7", "eps", "leading", False, 7),
    DDIMCase("eps-600", "eps", "leading", False, 600),
    DDIMCase("eps-eta", "eps", "leading", False, 30, eta=1.0),
    DDIMCase("v", "v", "leading", False, 20),
    DDIMCase("v-eta", "v", "leading", False, 20, eta=0.5),
    DDIMCase("v-zero", "v", "trailing", True, 20),
    DDIMCase("v-zero-eta", "v", "trailing", True, 10, eta=0.7),
]


@dataclass(frozen=True)
class SamplerCase:
    sampler: SamplerName
    sigmas: Sigmas
    prediction: Prediction
    spacing: Literal["leading", "trailing"]
    steps: int
    seed: int = 9

    @property
    def name(self) -> str:
        return f"{self.sampler}.{self.sigmas}.{self.prediction}.{self.steps}"

    @property
    def zero_snr(self) -> bool:
        return self.spacing == "trailing"


SAMPLERS = [
    SamplerCase(sampler, sigmas, prediction, spacing, steps)
    for sampler in ("euler", "euler-a", "dpm++2m")
    for sigmas, prediction, spacing, steps in (
        ("default", "eps", "leading", 7),
        ("karras", "eps", "leading", 20),
        ("default", "v", "trailing", 10),
        ("karras", "v", "trailing", 5),
    )
    # diffusers has no ancestral sampler with these noise levels.
    if (sampler, sigmas) != ("euler-a", "karras")
]


def ddim_start() -> Tensor:
    return uniform("start", (1, 4, 4, 6))


def network(z: Tensor, t: float) -> Tensor:
    """A smooth stand-in for the U-Net."""
    return 0.6 * z + 0.3 * torch.sin(2 * z + t / 300)


@dataclass(frozen=True)
class PictureCase:
    steps: int = 5
    scale: float = 9.0
    strength: float = 0.8
    end: float = 0.6
    eta: float = 0.5
    seed: int = 12


PICTURE = PictureCase()


def picture_hint() -> Tensor:
    return uniform("condition", (1, 3, 48, 40)).sigmoid()


def picture_tokens() -> Tensor:
    """The prompt, then the negative prompt."""
    return tokens("sd1")
