"""A whole training run: begun or reopened, planned, trained, kept in its folder.

task = begin(run, given, device)            # or reopen(run, given, device)
rows = plan(task)                           # what will happen, nothing is written yet
result = train(task, workers=2, listener=…)
"""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from cn import conditions
from cn.checkpoints.read.load import Control, open_base, open_control
from cn.data.examples import Source
from cn.data.folder import FolderPairs
from cn.data.maps import scene_kind
from cn.data.scenes import ScenePairs, check_training_seed
from cn.errors import InputError, UsageError, WeightsError
from cn.files import make_folder, reason
from cn.model.config import Prediction
from cn.train.config import FILE, TrainConfig, changed, default_lr, default_save_every, default_steps
from cn.train.feed import micro_batches
from cn.train.loop import Listener, StepResult, make_scaler, steps
from cn.train.parts import Parts, assemble, choose_precision, continued_control, fresh_control, make_optimizer
from cn.train.plan import check_space, plan_rows
from cn.train.preview import BEFORE, Preview
from cn.train.state import BASE, CONTROL, Metrics, State, find_state, load_optimizer, publish, save_state
from cn.train.stop import StopRequest, stop_requests
from cn.weights.bundled import BASE_NAME, find, lasting

_CHECKED_PAIRS = 256


@dataclass(frozen=True)
class Task:
    """A run that is ready to go: its folder, options, networks and data; `state` where it goes on from one."""

    run: Path
    config: TrainConfig
    parts: Parts
    source: Source
    state: State | None = None

    @property
    def step(self) -> int:
        return self.state.step if self.state is not None else 0


@dataclass(frozen=True)
class Result:
    """What a run left: the control's file, and how many steps it has had."""

    control: Path
    step: int


def begin(run: Path, given: Mapping[str, Any], device: torch.device, *, overwrite: bool = False) -> Task:
    """Set up a new run with the options `given` (fields of TrainConfig; what is not given gets its default).

    Nothing is written yet. Raises UsageError for a folder that is not empty (unless it is to be overwritten) and for
    options that do not go together, InputError for bad data, WeightsError for weights that are missing or do not fit.
    """
    _check_folder(run, overwrite)
    given = dict(given)
    base_name = lasting(given.pop("base", BASE_NAME), role="base")
    base = open_base(find(base_name, role="base"), device, prediction=given.get("prediction") or None)
    init = open_control(find(given["init_from"], role="control"), device) if given.get("init_from") else None
    if init is not None:
        given["init_from"] = lasting(given["init_from"], role="control")
    size = given.pop("size", base.config.image_size)
    if size % base.config.size_multiple:
        raise UsageError(f"--size must be a multiple of {base.config.size_multiple} for this base, not {size}")
    kind = _kind(given.pop("cond", None), given.get("data", ""), init)
    if init is not None:
        encoder = init.model.condition_encoder_kind
        if given.setdefault("condition_encoder", encoder) != encoder:
            raise UsageError(
                f"{given['init_from']} has the {encoder} condition encoder; --cond-encoder cannot change it"
            )
    config = TrainConfig(
        cond=kind,
        base=base_name,
        base_sha256=base.sha256,
        init_sha256=init.sha256 if init is not None else "",
        size=size,
        steps=given.pop("steps", default_steps(base.config)),
        lr=given.pop("lr", default_lr(base.config)),
        save_every=given.pop("save_every", default_save_every(base.config)),
        precision=choose_precision(given.pop("precision", "auto"), device),
        **given,
    )
    control = fresh_control(base, config) if init is None else continued_control(init, base, config)
    return Task(run, config, assemble(base, control.to(device), config), open_source(config))


def reopen(run: Path, given: Mapping[str, Any], device: torch.device, *, reconnect: bool = False) -> Task:
    """Set up a run from its folder, to go on exactly where its last saved state is.

    Raises UsageError for options that a run cannot change, InputError or WeightsError for a damaged folder and for a
    base that is no longer the one that the run began with.
    """
    saved = TrainConfig.load(run)
    if "precision" in given:
        given = {**given, "precision": choose_precision(given["precision"], device)}
    config = changed(saved, given, reconnect=reconnect)
    choose_precision(config.precision, device)
    state = find_state(run)
    if config.steps < state.step:
        raise UsageError(f"{run} has {state.step} steps already; --steps is the number of steps in all")
    base = open_base(state.base or find(config.base, role="base"), device, prediction=_said(config))
    if state.base is None and base.sha256 != config.base_sha256:
        raise WeightsError(f"{config.base}: not the base that {run} began with; put that back, or start a new run")
    control = continued_control(open_control(state.control, device), base, config)
    return Task(run, config, assemble(base, control, config), open_source(config), state)


def _said(config: TrainConfig) -> Prediction | None:
    return cast("Prediction | None", config.prediction or None)


def open_source(config: TrainConfig) -> Source:
    """The run's data. Raises InputError for wrong records, images or kinds of map, UsageError for a reserved seed."""
    if not config.data:
        random = config.random_thresholds and config.cond == "canny"
        seed = check_training_seed(config.seed)
        return ScenePairs(config.cond, config.size, seed, random_thresholds=random, count=config.scenes or None)
    pairs = FolderPairs.open(Path(config.data), config.size, conditions.get(config.cond).geometry)
    stated = pairs.stated_kind()
    if stated not in (None, config.cond):
        raise UsageError(f"{config.data} holds {stated} maps, not {config.cond}; give --cond {stated}")
    # A set that is wrong as a whole shows here; a single bad file later on is passed over and named.
    for place in range(min(pairs.count, _CHECKED_PAIRS)):
        _ = pairs[place * pairs.count // min(pairs.count, _CHECKED_PAIRS)]
    return pairs


def plan(task: Task) -> dict[str, str | None]:
    """What the run will do, as name → value rows."""
    return plan_rows(task.run, task.parts, task.config, task.source, step=task.step)


def train(task: Task, *, workers: int, listener: Listener) -> Result:
    """Train to the configured number of steps, saving and previewing on the way.

    After a stop request (Ctrl-C, SIGTERM) the step at hand is finished and saved, then StoppedError says how to go on.
    Raises InputError when the loss is no longer a number and when the folder cannot be written (a full disk); the last
    good state is kept.
    """
    run, config = task.run, task.config
    check_space(run, task.parts, config)
    with stop_requests() as stop, _writing(run):
        keeper = _Keeper(task, listener, stop)
        keeper.open()
        if keeper.step < config.steps and not stop:
            _train(task, keeper, workers, listener, stop)
        if stop and keeper.step < config.steps:
            raise stop.error(f"stopped after step {keeper.step}; go on with: cn train --resume {run}")
    return Result(run / CONTROL, keeper.step)


@contextlib.contextmanager
def _writing(run: Path) -> Iterator[None]:
    """InputError where the run's folder can no longer be written, whichever of its files it was."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"{run}: cannot be written: {reason(error)}; what was saved before is kept") from error


def _train(task: Task, keeper: "_Keeper", workers: int, listener: Listener, stop: StopRequest) -> None:
    config = task.config
    stream = micro_batches(task.source, task.parts.base, config, keeper.step, workers=workers, warn=keeper.warn)
    with contextlib.closing(stream):
        results = steps(task.parts, keeper.optimizer, keeper.scaler, config, stream, keeper.step, keeper.smoothed)
        for result in results:
            keeper.took(result)
            listener.step(result)
            last = result.step == config.steps or bool(stop)
            if last or result.step % config.save_every == 0:
                keeper.save()
            if not stop and config.preview_every and (last or result.step % config.preview_every == 0):
                keeper.preview()
            if stop:
                return


class _Keeper:
    """A run's folder while it is trained: state, metrics and previews."""

    def __init__(self, task: Task, listener: Listener, stop: StopRequest):
        self.task, self.listener, self.stop = task, listener, stop
        self.optimizer = make_optimizer(task.parts, task.config.lr)
        self.scaler = make_scaler(task.parts)
        self.step, self.smoothed = task.step, task.state.loss if task.state is not None else None
        self._preview: Preview | None = None

    def open(self) -> None:
        """Make a new run's folder with its first state, or bring a reopened one to its last."""
        task = self.task
        if task.state is None:
            _clear(make_folder(task.run))
            task.config.save(task.run)
            self.save()
        else:
            load_optimizer(task.state, task.parts, self.optimizer)
            if task.state.scaler:
                self.scaler.load_state_dict(dict(task.state.scaler))
            task.config.save(task.run)
            publish(task.run, task.state.folder)
        self.metrics = Metrics(task.run, self.step)
        if self.step == 0 < task.config.steps and task.config.preview_every:
            self.preview()

    def took(self, result: StepResult) -> None:
        """Note a step that was taken."""
        self.step, self.smoothed = result.step, result.smoothed
        self.metrics.append(
            {
                "step": result.step,
                "loss": result.loss,
                "smoothed": result.smoothed,
                "grad_norm": result.grad_norm,
                "lr": self.task.config.lr,
                "seconds": round(result.seconds, 4),
            }
        )

    def save(self) -> None:
        """Save the state after the step that was last taken."""
        numbers = {"step": self.step, "loss": self.smoothed, "scaler": self.scaler.state_dict()}
        save_state(self.task.run, self.task.parts, self.optimizer, self.task.config, numbers)

    def preview(self) -> None:
        """Draw and write a preview; given up when somebody wants to stop."""
        self._preview = self._preview or Preview.of(self.task.source, self.task.config)
        pictures = self._preview.draw(self.task.parts, self.task.config, self.stop)
        if pictures is not None:
            self.listener.note(f"preview: {self._preview.save(self.task.run, pictures, self.step)}")

    def warn(self, message: str) -> None:
        """Show a warning, and keep it in RUN/warnings.txt."""
        with (self.task.run / "warnings.txt").open("a", encoding="utf-8") as file:
            file.write(message + "\n")
        self.listener.warn(message)


def _kind(cond: str | None, data: str, init: Control | None) -> str:
    """The condition's kind as it was given, or as the control to start from was trained for."""
    name = cond or (init.kind if init is not None else None)
    if name is None:
        raise UsageError("which condition? give --cond KIND")
    return conditions.get(name).kind if data else scene_kind(name)


def _check_folder(run: Path, overwrite: bool) -> None:
    if run.exists() and not run.is_dir():
        raise InputError(f"{run}: is a file, but a folder is needed there")
    if run.exists() and any(run.iterdir()) and not overwrite:
        how = f"go on with --resume {run}, or " if (run / FILE).exists() else ""
        raise UsageError(f"{run} is not empty; {how}give another --out, or start again with --overwrite")


def _clear(run: Path) -> None:
    """Remove what an earlier run left in its folder, and nothing else."""
    for name in (FILE, CONTROL, BASE, BEFORE, "metrics.jsonl", "warnings.txt"):
        (run / name).unlink(missing_ok=True)
    for name in ("state", "previews"):
        shutil.rmtree(run / name, ignore_errors=True)
