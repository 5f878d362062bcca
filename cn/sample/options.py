"""The options of sampling, each declared once: `cn sample`'s flags, the checks, what a PNG stores and --from restores.

No torch and no NumPy, so that help is instant.
"""

from dataclasses import dataclass
from typing import Annotated

from cn import options
from cn.errors import UsageError
from cn.model.config import PREDICTION_HELP, Prediction
from cn.options import PRECISION, Option, parse_size
from cn.precision import PrecisionChoice
from cn.sample.lora_choice import Lora
from cn.text import shown
from cn.weights.bundled import BASE_NAME

CONTROL, PROMPT, SAMPLING = "Control", "Prompt", "Sampling"
MAX_SEED = 2**63 - 1
MAX_COUNT = 100_000
VAE_NAME = "vae"
"""What metadata calls the hash of a VAE in place of the base's own."""
MIN_SIDE, SIDE_MULTIPLE = 64, 8


@dataclass(frozen=True, kw_only=True)
class ConditionOptions:
    """The control of one condition image, its strength, and when it acts. Raises UsageError for values out of range."""

    control: Annotated[
        str,
        Option(
            "The ControlNet of each condition: a bundled name, a file, a diffusers folder, or a training run.",
            panel=CONTROL,
            metavar="NAME|PATH",
            default="the bundled one for the kind that the image states",
        ),
    ]
    strength: Annotated[float, Option("Factor on the control's residuals.", panel=CONTROL)] = 1.0
    start: Annotated[
        float,
        Option("Share of the steps before the control acts.", panel=CONTROL, flags=("--control-start",), min=0, max=1),
    ] = 0.0
    end: Annotated[
        float,
        Option(
            "Share of the steps after which the control stops (0.5: coarse control, Fig. 27 of the paper).",
            panel=CONTROL,
            flags=("--control-end",),
            min=0,
            max=1,
        ),
    ] = 1.0

    def __post_init__(self) -> None:
        options.check(self)
        if not self.start < self.end:
            raise UsageError(f"--control-start {self.start:g} must be below --control-end {self.end:g}")


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """What decides the images besides prompts and conditions. Raises UsageError for values out of range."""

    guess: Annotated[
        bool,
        Option(
            "Let the control guess the content: it acts on the conditional half only, weaker in earlier layers.",
            panel=CONTROL,
            flags=("--guess",),
        ),
    ] = False
    negative: Annotated[str, Option("What to steer away from.", panel=PROMPT)] = ""
    base: Annotated[
        str,
        Option(
            "The base: Stable Diffusion 1.x or 2.x, as a file or diffusers folder.",
            panel=SAMPLING,
            metavar="NAME|PATH",
            default="the bundled one",
        ),
    ] = BASE_NAME
    lora: Annotated[
        tuple[str, ...],
        Option(
            "A LoRA that is added to the base, times a weight (default: 1). Repeat it for several, which add up.",
            panel=SAMPLING,
            metavar="FILE[:WEIGHT]",
        ),
    ] = ()
    vae: Annotated[
        str | None,
        Option(
            "A VAE in place of the base's own: a file, a diffusers folder, or another base.",
            panel=SAMPLING,
            metavar="FILE",
        ),
    ] = None
    prediction: Annotated[Prediction | None, Option(PREDICTION_HELP, panel=SAMPLING)] = None
    steps: Annotated[int, Option("DDIM steps.", panel=SAMPLING, min=1, max=1000)] = 20
    scale: Annotated[float, Option("Classifier-free guidance scale; 1 is none.", panel=SAMPLING)] = 9.0
    eta: Annotated[float, Option("Noise in each step; 0 is none.", panel=SAMPLING, min=0, max=1)] = 0.0
    size: Annotated[
        tuple[int, int] | None,
        Option(
            f"Size in pixels, multiples of {SIDE_MULTIPLE}.",
            panel=SAMPLING,
            metavar="WxH",
            parse=parse_size,
            default="the condition's size, scaled near to what the base was trained at",
        ),
    ] = None
    """(height, width)"""
    count: Annotated[
        int,
        Option("Images per prompt.", panel=SAMPLING, flags=("--count", "-n"), metavar="N", min=1, max=MAX_COUNT),
    ] = 1
    seed: Annotated[int, Option("Image i has seed S + i, whatever the count.", panel=SAMPLING, metavar="S", min=0)] = 0
    precision: Annotated[PrecisionChoice, PRECISION] = "auto"

    def __post_init__(self) -> None:
        options.check(self)
        if not all(isinstance(text, str) for text in self.lora):
            raise UsageError(f"--lora must be FILE or FILE:WEIGHT, not {shown(self.lora)}")
        object.__setattr__(self, "lora", tuple(str(Lora.parse(text)) for text in self.lora))
        if self.seed > MAX_SEED - self.count:
            raise UsageError(f"--seed must be between 0 and {MAX_SEED - self.count}, not {self.seed}")
        if self.size is not None and (any(side % SIDE_MULTIPLE for side in self.size) or min(self.size) < MIN_SIDE):
            raise UsageError(
                f"--size {self.size[1]}x{self.size[0]}: both sides must be multiples of {SIDE_MULTIPLE}, "
                f"and at least {MIN_SIDE}"
            )
