"""Options of `cn train`: what a run saves and shows, and when it ends."""

from dataclasses import dataclass
from typing import Annotated

from cn.options import Option
from cn.train.options.defaults import SAVE_EVERY, SMALL_BASE_SAVE_EVERY

PANEL = "Run"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Saves, previews and evaluations of a run."""

    save_every: Annotated[
        int,
        Option(
            "Steps between saves.",
            panel=PANEL,
            min=1,
            default=f"{SMALL_BASE_SAVE_EVERY} for the bundled base, {SAVE_EVERY} for one of Stable Diffusion's size",
        ),
    ] = SAVE_EVERY
    keep: Annotated[
        int,
        Option("Saved states that are kept.", panel=PANEL, metavar="N", min=1),
    ] = 1
    max_hours: Annotated[
        float,
        Option("Save and stop after this time, with exit code 0; 0: no limit.", panel=PANEL, metavar="HOURS", min=0),
    ] = 0.0
    preview_every: Annotated[int, Option("Steps between previews; 0: none.", panel=PANEL, min=0)] = 100
    preview_cond: Annotated[
        tuple[str, ...],
        Option(
            "Condition maps of your own for the previews, instead of those of the data. Repeatable.",
            panel=PANEL,
            metavar="IMAGE",
        ),
    ] = ()
    preview_prompt: Annotated[
        tuple[str, ...],
        Option(
            "Their prompts. Repeatable: the k-th belongs to the k-th --preview-cond; one serves all.",
            panel=PANEL,
            metavar="TEXT",
            default="that of the PNG, where cn sample wrote it, or the paper's default prompt",
        ),
    ] = ()
    eval_every: Annotated[
        int,
        Option(
            "Steps between evaluations: the condition is detected again in sampled images. 0: none.",
            panel=PANEL,
            metavar="STEPS",
            min=0,
            default="so that they take a tenth of the time at most",
        ),
    ] = 0
    eval_images: Annotated[
        int,
        Option(
            "Images that an evaluation samples.", panel=PANEL, metavar="N", min=0, default="as many as fit, 32 at most"
        ),
    ] = 0
    eval_data: Annotated[
        str,
        Option(
            "A dataset to evaluate on, which is not trained on.",
            panel=PANEL,
            metavar="PATH",
            default="held-out scenes, or pairs of --data",
        ),
    ] = ""
    wandb: Annotated[
        str,
        Option("Also log to Weights & Biases, into this project (needs wandb).", panel=PANEL, metavar="PROJECT"),
    ] = ""
