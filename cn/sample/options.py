"""The options of sampling, each declared once: `cn sample`'s flags, the checks, what a PNG stores and --from restores.

No torch and no NumPy, so that help is instant.
"""

import secrets
from dataclasses import dataclass
from typing import Annotated, Literal

from cn import options
from cn.errors import UsageError
from cn.model.config import PREDICTION_HELP, Prediction
from cn.model.emphasis import PromptSyntax
from cn.model.samplers.settings import SamplerName, Sigmas, why_not_together
from cn.options import COMPUTE_PANEL, PRECISION, Option, parse_size
from cn.precision import PrecisionChoice
from cn.sample.lora_choice import Lora
from cn.text import shown
from cn.weights.bundled import BASE_NAME

CONTROL, PROMPT, START, SAMPLING, OUTPUT = "Control", "Prompt", "Start image", "Sampling", "Output"
DENOISE, DENOISE_MASKED = 0.8, 1.0
"""diffusers' defaults for an image alone, and for one with a mask."""
MAX_SEED = 2**63 - 1
MAX_COUNT = 100_000
MAX_FEATHER = 1000
BASE_KEY = "base"
"""What metadata calls the hash of the base."""
VAE_NAME = "vae"
"""What metadata calls the hash of a VAE in place of the base's own."""
MIN_SIDE, SIDE_MULTIPLE = 64, 8
MAX_BATCH = 1024
Fit = Literal["crop", "pad", "stretch"]

DRAWN_SEEDS = 2**32
"""Seeds that are drawn are below this: short enough to type, and what other programs take."""


def parse_seed(text: str) -> int:
    """A seed as it is written; for "random" and "-1", as in other programs, one that is drawn."""
    if text in ("random", "-1"):
        return secrets.randbelow(DRAWN_SEEDS)
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--seed must be a whole number or random, not {shown(repr(text))}") from None


LORA = Option(
    "A LoRA that is added to the base, times a weight (default: 1). Repeat it for several, which add up.",
    panel=SAMPLING,
    metavar="FILE[:WEIGHT]",
)
VAE = Option(
    "A VAE in place of the base's own: a file, a diffusers folder, or another base.", panel=SAMPLING, metavar="FILE"
)
COMPILE = Option(
    "Compile the networks by torch: one to two minutes at the start. --no-compile: run them as they are, without "
    "our kernels and CUDA graphs.",
    panel=COMPUTE_PANEL,
    flags=("--compile/--no-compile",),
    default="our kernels on a GPU in half precision, small batches as CUDA graphs",
)
"""`--lora`, `--vae` and `--compile` of every command that samples."""


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
    prompt_syntax: Annotated[
        PromptSyntax,
        Option(
            "Of --prompt and --negative. a1111: (word:1.2), \\[word], BREAK and prompts beyond 75 tokens, as in "
            "AUTOMATIC1111's web UI.",
            panel=PROMPT,
        ),
    ] = "plain"
    base: Annotated[
        str,
        Option(
            "The base: Stable Diffusion 1.x or 2.x, as a file or diffusers folder.",
            panel=SAMPLING,
            metavar="NAME|PATH",
            default="the bundled one",
        ),
    ] = BASE_NAME
    lora: Annotated[tuple[str, ...], LORA] = ()
    vae: Annotated[str | None, VAE] = None
    prediction: Annotated[Prediction | None, Option(PREDICTION_HELP, panel=SAMPLING)] = None
    sampler: Annotated[
        SamplerName, Option("DDIM is the paper's; dpm++2m needs the fewest steps; euler-a adds noise.", panel=SAMPLING)
    ] = "ddim"
    sigmas: Annotated[
        Sigmas, Option("Noise levels of the steps: the base's, or those of Karras et al. (not ddim).", panel=SAMPLING)
    ] = "default"
    steps: Annotated[int, Option("Steps of the sampler.", panel=SAMPLING, min=1, max=1000)] = 20
    scale: Annotated[
        float | None,
        Option("Classifier-free guidance scale; 1 is none.", panel=SAMPLING, default="that of the base, mostly 9"),
    ] = None
    eta: Annotated[float, Option("Noise in each step of ddim; 0 is none.", panel=SAMPLING, min=0, max=1)] = 0.0
    denoise: Annotated[
        float | None,
        Option(
            "Share of the steps that the --image goes through: the more, the less of it is left.",
            panel=START,
            min=0,
            max=1,
            default=f"{DENOISE:g}, or {DENOISE_MASKED:g} with --mask",
        ),
    ] = None
    mask_feather: Annotated[
        int,
        Option(
            "Width of the transition from the image to what is redrawn, inside the mask.",
            panel=START,
            metavar="PIXELS",
            min=0,
            max=MAX_FEATHER,
        ),
    ] = 0
    size: Annotated[
        tuple[int, int] | None,
        Option(
            f"Size in pixels, multiples of {SIDE_MULTIPLE}.",
            panel=SAMPLING,
            metavar="WxH",
            parse=parse_size,
            default="that of --image, or of the condition, scaled near to what the base was trained at",
        ),
    ] = None
    """(height, width)"""
    resolution: Annotated[
        int | None,
        Option(
            "Short side in pixels, instead of --size; both sides become multiples of 64 (bundled base: 32).",
            panel=SAMPLING,
            metavar="N",
            min=MIN_SIDE,
        ),
    ] = None
    fit: Annotated[
        Fit | None,
        Option(
            "A condition of another shape than the image: crop it to its center, pad it with the background of its "
            "kind, or stretch it.",
            panel=SAMPLING,
            default="it is refused",
        ),
    ] = None
    count: Annotated[
        int,
        Option("Images per prompt.", panel=SAMPLING, flags=("--count", "-n"), metavar="N", min=1, max=MAX_COUNT),
    ] = 1
    seed: Annotated[
        int,
        Option(
            "Image i has seed S + i, whatever the count; random (or -1) draws one.",
            panel=SAMPLING,
            metavar="S",
            min=0,
            parse=parse_seed,
        ),
    ] = 0
    precision: Annotated[PrecisionChoice, PRECISION] = "auto"

    def __post_init__(self) -> None:
        options.check(self)
        if wrong := why_not_together(self.sampler, self.sigmas, self.eta):
            raise UsageError(f"--{wrong}")
        object.__setattr__(self, "lora", checked_loras(self.lora))
        if self.seed > MAX_SEED - self.count:
            raise UsageError(f"--seed must be between 0 and {MAX_SEED - self.count}, not {self.seed}")
        if self.size is not None and (any(side % SIDE_MULTIPLE for side in self.size) or min(self.size) < MIN_SIDE):
            raise UsageError(
                f"--size {self.size[1]}x{self.size[0]}: both sides must be multiples of {SIDE_MULTIPLE}, "
                f"and at least {MIN_SIDE}: give {' or '.join(_near(self.size))}"
            )
        if self.size is not None and self.resolution is not None:
            raise UsageError("--size and --resolution both say how large the images are: give one of them")


def checked_loras(given: tuple[str, ...]) -> tuple[str, ...]:
    """Each as FILE:WEIGHT. UsageError for anything else."""
    if not all(isinstance(text, str) for text in given):
        raise UsageError(f"--lora must be FILE or FILE:WEIGHT, not {shown(given)}")
    return tuple(str(Lora.parse(text)) for text in given)


def _near(size: tuple[int, int]) -> list[str]:
    """The next smaller and the next larger size that is allowed, as they are given; one where both are the same."""
    found = []
    for up in (0, SIDE_MULTIPLE - 1):
        height, width = (max(MIN_SIDE, (side + up) // SIDE_MULTIPLE * SIDE_MULTIPLE) for side in size)
        found.append(f"{width}x{height}")
    return list(dict.fromkeys(found))


def parse_batch_size(text: str) -> int | None:
    """A number, or "auto" for None."""
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--batch-size must be a number or auto, not {text!r}") from None


@dataclass(frozen=True, kw_only=True)
class SpeedOptions:
    """How images are computed, and shown meanwhile; they differ by rounding only.

    Raises UsageError for values out of range.
    """

    batch_size: Annotated[
        int | None,
        Option(
            "Images that are sampled at once, fewer where memory runs out.",
            panel=COMPUTE_PANEL,
            metavar="N|auto",
            min=1,
            max=MAX_BATCH,
            parse=parse_batch_size,
            default="auto: on a GPU as many as fit and pay, else 1",
        ),
    ] = None
    compile: Annotated[bool | None, COMPILE] = None

    preview_every: Annotated[
        int | None,
        Option(
            "Every N steps, show what the image is going to be in OUT.preview.jpg, which goes once OUT.png is there; "
            "also on terminals that show images (with the extra preview).",
            panel=OUTPUT,
            metavar="N",
            min=1,
        ),
    ] = None

    def __post_init__(self) -> None:
        options.check(self)


AUTO = SpeedOptions()
