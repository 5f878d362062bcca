"""Options of `cn train`: steps, optimizer, loss."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cn.options import Option
from cn.train.options.defaults import PAPER_LR, PAPER_STEPS, SMALL_BASE_STEPS

PANEL = "Training"


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Optimization of a run."""

    steps: Annotated[
        int,
        Option(
            "Optimizer steps in total, including those before --resume. 0 writes the untrained control.",
            panel=PANEL,
            min=0,
            default=f"{SMALL_BASE_STEPS} for the bundled base, {PAPER_STEPS:,} for one of Stable Diffusion's size",
        ),
    ]
    batch_size: Annotated[int, Option("Images per batch.", panel=PANEL, min=1)] = 4
    accumulate: Annotated[int, Option("Gradient accumulation: batches per optimizer step.", panel=PANEL, min=1)] = 1
    global_batch: Annotated[
        int,
        Option(
            "Images per optimizer step over all GPUs; --accumulate follows from it.",
            panel=PANEL,
            metavar="IMAGES",
            min=0,
            default="batch size × accumulation × GPUs",
        ),
    ] = 0
    lr: Annotated[
        float,
        Option(
            "AdamW's learning rate.",
            panel=PANEL,
            metavar="RATE",
            above=0,
            default=f"the paper's {PAPER_LR:g}, or what suits a smaller base",
        ),
    ]
    schedule: Annotated[
        Literal["constant", "cosine", "linear"],
        Option(
            "The learning rate after the warm-up: constant, or falling to zero at the end (cosine, linear).",
            panel=PANEL,
            metavar="NAME",
        ),
    ] = "constant"
    warmup: Annotated[
        int,
        Option("Steps in which the learning rate rises linearly.", panel=PANEL, metavar="STEPS", min=0),
    ] = 0
    optimizer: Annotated[
        Literal["adamw", "adamw8bit"],
        Option("AdamW, or AdamW with moments of 8 bits (needs bitsandbytes).", panel=PANEL),
    ] = "adamw"
    betas: Annotated[
        tuple[float, float],
        Option("AdamW's decay rates of the two moments.", panel=PANEL, metavar="B1 B2", default="0.9 0.999"),
    ] = (0.9, 0.999)
    adam_eps: Annotated[
        float,
        Option("AdamW's epsilon.", panel=PANEL, above=0),
    ] = 1e-8
    weight_decay: Annotated[
        float,
        Option("AdamW's weight decay.", panel=PANEL, min=0),
    ] = 0.01
    max_grad_norm: Annotated[
        float,
        Option("Clip the gradient to this norm; 0: never, as in the paper.", panel=PANEL, metavar="NORM", min=0),
    ] = 0.0
    min_snr: Annotated[
        float,
        Option(
            "Weight the loss by min-SNR with this γ (5 is usual); 0: not, as in the paper.",
            panel=PANEL,
            metavar="GAMMA",
            min=0,
        ),
    ] = 0.0
    noise_offset: Annotated[
        float,
        Option("Shift the noise of each channel by a random amount of this size; 0: not.", panel=PANEL, min=0),
    ] = 0.0
    ema: Annotated[
        float,
        Option(
            "Decay of a moving average of the trained weights, which the run then writes (0.9999 is usual); 0: none.",
            panel=PANEL,
            metavar="DECAY",
            min=0,
            max=0.999999,
        ),
    ] = 0.0
    prompt_drop: Annotated[
        float,
        Option("Share of the prompts replaced by the empty string (§3.3).", panel=PANEL, min=0, max=1),
    ] = 0.5
    seed: Annotated[int, Option("Seed of everything random.", panel=PANEL, min=0)] = 0
