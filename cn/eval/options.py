"""The options of an evaluation, each declared once. No torch and no NumPy, so that help is instant."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cn import options
from cn.options import COMPUTE_PANEL, PRECISION, Option
from cn.precision import PrecisionChoice
from cn.sample.options import COMPILE, LORA, SAMPLING, VAE, checked_loras

DATA, MEASURES = "Data", "Measures"
MAX_COUNT = 100_000


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """What decides the figures, besides the controls. Raises UsageError for values out of range."""

    data: Annotated[
        str | None,
        Option(
            "A dataset that the controls were not trained on: anything that cn train reads.",
            panel=DATA,
            metavar="SET",
            default="held-out scenes of the built-in ones",
        ),
    ] = None
    cond: Annotated[
        str | None,
        Option("The condition, where neither the controls nor the dataset state it.", panel=DATA, metavar="KIND"),
    ] = None
    count: Annotated[
        int,
        Option(
            "Pairs, evenly spread over the dataset; all that it has, where these are fewer.",
            panel=DATA,
            flags=("--count", "-n"),
            metavar="N",
            min=2,
            max=MAX_COUNT,
        ),
    ] = 64
    prompts: Annotated[
        Literal["captions", "none"], Option("The captions of the pairs, or the empty prompt.", panel=DATA)
    ] = "captions"
    base: Annotated[
        str | None,
        Option(
            "The base that the controls were trained on.",
            panel=SAMPLING,
            metavar="NAME|PATH",
            default="the bundled one",
        ),
    ] = None
    lora: Annotated[tuple[str, ...], LORA] = ()
    vae: Annotated[str | None, VAE] = None
    size: Annotated[
        int | None,
        Option(
            "Images are squares with this side in pixels.",
            panel=SAMPLING,
            metavar="PIXELS",
            min=64,
            max=4096,
            default="that of the base",
        ),
    ] = None
    steps: Annotated[int, Option("DDIM steps.", panel=SAMPLING, min=1, max=1000)] = 20
    scale: Annotated[
        float | None,
        Option("Classifier-free guidance scale; 1 is none.", panel=SAMPLING, default="that of the base, mostly 9"),
    ] = None
    strength: Annotated[float, Option("Factor on the controls' residuals.", panel=SAMPLING)] = 1.0
    method: Annotated[
        str | None,
        Option(
            "How the condition is detected again, as for cn detect KIND.",
            panel=MEASURES,
            metavar="NAME",
            default="as the dataset's maps were made, or the first that is possible",
        ),
    ] = None
    weights: Annotated[
        str | None, Option("Weights of the detector, as for cn detect KIND.", panel=MEASURES, metavar="FILE")
    ] = None
    clip_weights: Annotated[
        str | None, Option("Weights of a CLIP, for the CLIP score.", panel=MEASURES, metavar="FILE")
    ] = None
    clip_model: Annotated[
        str, Option("What open_clip calls the model of these weights.", panel=MEASURES, metavar="NAME")
    ] = "ViT-B-32-quickgelu"
    inception_weights: Annotated[
        str | None,
        Option("Weights of torch-fidelity's Inception v3, for FID and KID.", panel=MEASURES, metavar="FILE"),
    ] = None
    precision: Annotated[PrecisionChoice, PRECISION] = "auto"
    batch_size: Annotated[
        int, Option("Images that are sampled at once.", panel=COMPUTE_PANEL, metavar="N", min=1, max=4096)
    ] = 4

    compile: Annotated[bool | None, COMPILE] = None

    def __post_init__(self) -> None:
        options.check(self)
        object.__setattr__(self, "lora", checked_loras(self.lora))
