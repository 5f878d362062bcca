"""`RUN/best/`: the weights with the best score so far, beside the last ones, with their score.

A score is written before its weights, under the number of their step, which the weights carry too: so a process that is
killed at any instant leaves weights whose score is known. Where the base is trained as well, both files are replaced
together, as a folder; killed between two renames, that leaves it under a temporary name, and resuming the run gives it
its name back.
"""

import json
from pathlib import Path

from cn.errors import InputError
from cn.files import make_folder, write_atomic
from cn.temporaries import link_or_copy, replace_folder, sweep, temporary_folder
from cn.train.evaluation.records import Evaluation
from cn.train.run_folder import BASE, CONTROL
from cn.weights.bundled import describe

BEST = "best"


def find_best(run: Path) -> Evaluation | None:
    """The evaluation of the weights in RUN/best; None where there are none."""
    folder = run / BEST
    sweep(folder)
    if not (folder / CONTROL).exists():
        return None
    try:
        step = int(describe(folder / CONTROL).metadata["step"])
        return Evaluation.of(json.loads(_score_file(folder, step).read_bytes()))
    except (OSError, InputError, ValueError, KeyError, TypeError, RecursionError):
        return None


def keep_best(run: Path, evaluation: Evaluation) -> Path:
    """Make the run's weights, which were saved after `evaluation.step` steps, those of RUN/best."""
    folder = run / BEST
    score = json.dumps(evaluation.record()).encode()
    if not (run / BASE).exists():
        make_folder(folder)
        write_atomic(_score_file(folder, evaluation.step), score)
        link_or_copy(run / CONTROL, folder / CONTROL)
    else:
        with temporary_folder(run) as new:
            write_atomic(_score_file(new, evaluation.step), score)
            for name in (CONTROL, BASE):
                link_or_copy(run / name, new / name)
            replace_folder(new, folder)
    for file in folder.glob("step-*.json"):
        if file != _score_file(folder, evaluation.step):
            file.unlink(missing_ok=True)
    return folder


def _score_file(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.json"
