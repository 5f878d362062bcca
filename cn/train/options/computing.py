"""Options of `cn train`: precision, memory, compilation."""

from dataclasses import dataclass
from typing import Annotated, get_args

from cn.options import COMPUTE_PANEL as PANEL
from cn.options import Option
from cn.precision import Precision, PrecisionChoice


@dataclass(frozen=True, kw_only=True)
class ComputingOptions:
    """How a run computes."""

    precision: Annotated[
        Precision,
        Option(
            "Precision of the forward and backward pass; weights and optimizer stay fp32.",
            panel=PANEL,
            choices=get_args(PrecisionChoice),
            default="auto",
        ),
    ] = "fp32"
    checkpoint_activations: Annotated[
        bool,
        Option(
            "Recompute activations in the backward pass: less memory, about a third slower.",
            panel=PANEL,
            flags=("--checkpoint-activations",),
        ),
    ] = False
    compile: Annotated[
        bool | None,
        Option(
            "Compile the step: minutes at the start, then faster. --no-compile: run it as it is, no CUDA graph either.",
            panel=PANEL,
            flags=("--compile/--no-compile",),
            default="on a GPU a CUDA graph, and compiled too where the run is long enough",
        ),
    ] = None
    kernels: Annotated[
        bool,
        Option(
            "Kernels for steps in half precision on one GPU, which keep fewer activations. New: off by default.",
            panel=PANEL,
            flags=("--kernels",),
        ),
    ] = False
    deterministic: Annotated[
        bool,
        Option(
            "Deterministic algorithms on a GPU: slower, and a resumed run has the same bits.",
            panel=PANEL,
            flags=("--deterministic",),
        ),
    ] = False
    shard_base: Annotated[
        bool,
        Option(
            "Distribute the base over the GPUs too (FSDP): less memory, slower.", panel=PANEL, flags=("--shard-base",)
        ),
    ] = False
