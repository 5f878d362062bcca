"""Pretrain the bundled weights.

Stages run in the given order, and complete stages are skipped, so the same command resumes an unfinished pretraining.
A stage that has no saved state starts from the weights in the work folder, or from finished ones in another (--start).
With --gpus scenes are rendered while the base is trained by all these GPUs together, then ControlNets and judges are
trained side by side.
"""

# argparse, because Typer's features are not needed for a developer's tool.
import argparse
import math
import sys
from pathlib import Path

import torch

from cn.errors import CnError, ReportedError
from cn.parallel import available_cpus
from cn.pretrain.machine import run_on_machine
from cn.pretrain.runner import STAGES, StageRunner
from cn.train.distributed.group import joined


def positive(text: str) -> int:
    """A number of processes; ValueError, which argparse reports, below 1."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def parse() -> argparse.Namespace:
    """The command line; exits with status 2 for an unknown stage."""
    parser = argparse.ArgumentParser(prog="python -m cn.pretrain", description=__doc__)
    parser.add_argument("stages", nargs="+", metavar="STAGE[=MINUTES]", help=", ".join(STAGES))
    parser.add_argument("--work", type=Path, required=True, help="folder for rendered images, states and weights")
    parser.add_argument("--start", type=Path, help="folder of finished weights to go on from, such as cn/weights")
    parser.add_argument("--images", type=int, default=20_000, help="number of scenes to render and train on")
    parser.add_argument("--conditions", type=int, default=20_000, help="number of scenes that get condition maps")
    parser.add_argument("--pixels", type=int, default=100_000, help="most images that the autoencoder is trained on")
    parser.add_argument("--wait", type=int, default=1_000, help="scenes to wait for before training starts")
    parser.add_argument("--held-out", type=int, default=512, help="number of scenes that the weights are evaluated on")
    parser.add_argument("--workers", type=positive, help="rendering processes (default: as many as cores are free)")
    parser.add_argument("--gpus", type=positive, help="GPUs to use at once, or processes on the CPU")
    parser.add_argument(
        "--session-minutes", type=float, default=math.inf, help="stop after this time; the next session resumes"
    )
    parser.add_argument("--steps", type=int, help="steps of a stage without =MINUTES")
    parser.add_argument("--batch-size", type=int, help="batch size of the stages, of each process")
    parser.add_argument("--lr", type=float, help="peak learning rate of the stages")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="default: %(default)s")
    args = parser.parse_args()
    for stage in args.stages:
        if stage.partition("=")[0] not in STAGES:
            parser.error(f"{stage}: the stages are {', '.join(STAGES)}")
    return args


def main() -> None:
    """Run the stages that the command line names."""
    args = parse()
    if args.gpus is not None:
        sys.exit(run_on_machine(args))
    args.workers = args.workers or available_cpus()
    try:
        with joined(torch.device(args.device).type):
            runner = StageRunner(args)
            for word in args.stages:
                stage, _, minutes = word.partition("=")
                runner.run(stage, float(minutes) if minutes else None)
    except ReportedError as error:
        sys.exit(error.exit_code)
    except CnError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
