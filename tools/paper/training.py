"""The training of a run by `cn train`, phase by phase, resumed where it was stopped; and what its folder says."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from cn.errors import InputError
from cn.files import sha256
from cn.train.config import TrainConfig
from cn.train.evaluation.records import read_evaluations
from cn.train.evaluation.verdict import verdict
from cn.train.metrics import METRICS
from cn.train.run_folder import CONTROL, find_state
from tools.paper.settings import Settings
from tools.paper.spec import VALIDATION, Run, Words, steps_of
from tools.paper.workplace import SD_SIZE, OutOfTimeError, Workplace

IN_MEMORY = 4000
"""Scenes of which latents (of 8 channels at most) and maps stay in memory (`cn.train.latent_batches.CACHE_BYTES`):
processes that read them ahead are not worth their start."""
MAX_LOST = 500
"""Steps that a training loses where it is killed: half a minute on a GPU."""
_CURVE_POINTS = 200
_TIMED_SHARE = 0.5
"""The last steps of a run, which its time is measured by: the first ones include what is done once."""


def train(run: Run, place: Workplace, folder: Path) -> None:
    """Train all phases of a run in a folder. Raises OutOfTimeError when the session is over before it is done."""
    arm = run.arm
    for number, words in enumerate(arm.phases):
        reached = _step(folder)
        if reached is not None and reached >= steps_of(words):
            continue
        place.check_time()
        workers = place.workers if int(arm.data.rpartition("-")[2]) > IN_MEMORY else 0
        common: Words = ("--device", place.device, "--workers", str(workers), "-q")
        # Always given, because a run keeps the limit of the session before.
        hours = max(place.seconds_left, 1) / 3600 if place.deadline < float("inf") else 0
        common += ("--max-hours", f"{hours:.5f}")
        if reached is not None and TrainConfig.load(folder).steps == steps_of(words):
            # This phase was stopped: all of its options are those of the run by now.
            place.cn("train", "--resume", folder, *common)
        elif number:
            place.cn("train", "--resume", folder, *words, *common)
        else:
            place.cn("train", "--out", folder, "--overwrite", *_new(run, place, words), *common)
        if (_step(folder) or 0) < steps_of(words):
            raise OutOfTimeError


def _new(run: Run, place: Workplace, words: Words) -> list[str]:
    """The options of a new run."""
    arm, settings = run.arm, place.settings
    given = ["--cond", arm.kind, "--data", str(place.data_path(arm.data, arm.kind)), "--seed", str(run.seed)]
    given += ["--base", str(place.base_path(arm.base)), "--preview-every", "0", *words]
    if settings.size and arm.base != SD_SIZE:
        given += ["--size", str(settings.size)]
    if any(one.states for one in arm.evaluations):
        # A state is saved at each best evaluation, too, and the oldest ones would go for them.
        most = settings.states + 1 + steps_of(words) // max(1, int(words[words.index("--eval-every") + 1]))
        given += ["--save-every", str(_every(words, settings)), "--keep", str(most)]
    else:
        given += ["--save-every", str(min(steps_of(words), MAX_LOST))]
    if not arm.alone:
        given += ["--eval-data", str(place.data_path(VALIDATION, arm.kind))]
        given += ["--eval-images", str(settings.eval_images)]
    return given


def _step(folder: Path) -> int | None:
    """How many steps the run in a folder has saved; None where there is none that can be resumed."""
    try:
        return find_state(folder).step
    except InputError:
        return None


def _every(words: Words, settings: Settings) -> int:
    """Steps between the states that are looked at."""
    return max(1, steps_of(words) // settings.states)


def states(run: Run, settings: Settings, folder: Path) -> dict[int, Path]:
    """Step → the weights of each saved state at even distances, from the untrained ones to the last."""
    found = sorted((folder / "state").glob("step-*"))
    steps = {int(state.name.partition("-")[2]): state / CONTROL for state in found}
    every, last = _every(run.arm.phases[0], settings), max(steps)
    return {step: path for step, path in steps.items() if step % every == 0 or step == last}


def facts(folder: Path) -> dict[str, Any]:
    """What a finished run says of itself: its losses, times, evaluations and when it converged."""
    metrics = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    seconds = np.array([one["seconds"] for one in metrics], np.float64)
    thinned = metrics[:: max(1, len(metrics) // _CURVE_POINTS)]
    evaluations, config = read_evaluations(folder), TrainConfig.load(folder)
    found = verdict(evaluations, config)
    return {
        "steps": metrics[-1]["step"],
        "loss": [[one["step"], round(one["smoothed"], 5)] for one in thinned],
        "step_seconds": float(np.median(seconds[-max(1, int(_TIMED_SHARE * len(seconds))) :])),
        "evaluations": [
            {"step": one.step, "with_control": one.with_control, "mean": round(one.mean, 5)} for one in evaluations
        ],
        "measure": evaluations[0].measure if evaluations else None,
        "better": evaluations[0].better if evaluations else None,
        "converged_at": found.converged_at if found is not None else None,
        "weights_sha256": sha256(folder / CONTROL),
        "lr": config.lr,
    }


def remove_states(folder: Path) -> None:
    """Remove what only a resumed run needs; its weights stay."""
    for name in ("state", "best", "events"):
        shutil.rmtree(folder / name, ignore_errors=True)
