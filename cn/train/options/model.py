"""Options of `cn train`: the networks, and what is trained of them."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cn.model.config import PREDICTION_HELP, ConditionEncoderKind, Links
from cn.options import Option, Switch
from cn.train.options.defaults import PAPER_STEPS

PANEL = "Model"


Unlock = Literal["none", "decoder", "all"]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Networks of a run.

    `base_sha256` and `init_sha256` say which files `base` and `init_from` were; `prediction` is "" where the base's
    file says it.
    """

    base: Annotated[str, Option("The base model.", panel=PANEL, metavar="NAME|PATH", default="the bundled one")]
    base_sha256: str
    prediction: Annotated[
        Literal["", "eps", "v"],
        Option(PREDICTION_HELP, panel=PANEL),
    ] = ""
    init_from: Annotated[
        str,
        Option(
            "Start from another control, as the paper's Hough lines start from Canny.", panel=PANEL, metavar="CONTROL"
        ),
    ] = ""
    init_sha256: str = ""
    links: Annotated[
        Links,
        Switch(
            "--small-scale",
            "middle",
            "Connect the middle block only (§3.4): hardly faster, and too little for the bundled base. "
            "--reconnect adds the other connections later.",
            PANEL,
        ),
    ] = "full"
    unlock: Annotated[
        Unlock,
        Option("What --large-scale unlocks of the U-Net.", panel=PANEL, choices=("all", "decoder"), default="all"),
        Switch(
            "--large-scale",
            "all",
            f"Train the base too (§3.4), usually after {PAPER_STEPS:,} steps; the run then writes base.safetensors. "
            "With --resume: from now on.",
            PANEL,
            implied_by="large_scale_after",
        ),
    ] = "none"
    large_scale_after: Annotated[
        int,
        Option(
            "Start as usual, and train the base too after this many steps (§3.4): --large-scale later in the run.",
            panel=PANEL,
            metavar="STEPS",
            min=0,
            default="at once with --large-scale, else never",
        ),
    ] = 0
    baseline: Annotated[
        Literal["none", "concat"],
        Option(
            "Instead of a ControlNet: the condition as more input channels of the U-Net, which is trained (Fig. 20).",
            panel=PANEL,
            choices=("concat",),
            default="",
        ),
    ] = "none"
    zero_init: Annotated[
        Literal["zero", "gaussian"],
        Option("How the zero convolutions start: at zero, or with Gaussian weights (ablation).", panel=PANEL),
    ] = "zero"
    condition_encoder: Annotated[
        ConditionEncoderKind,
        Option(
            "The condition encoder: four layers as in the paper, or eight as released (other tools can read it).",
            panel=PANEL,
            flags=("--cond-encoder",),
        ),
    ] = "paper"
