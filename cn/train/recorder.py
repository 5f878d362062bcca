"""Writes a run's folder during training: states, metrics, previews; and rolls the run back.

Of several processes that train together only the first one writes and talks. All of them call the methods, after the
same steps.
"""

import contextlib
import shutil
from collections.abc import Iterator

from cn import files
from cn.data.mixture import pair_counts
from cn.errors import InputError
from cn.train import retention
from cn.train.bucketing import SIZES, save_sizes
from cn.train.config import CONFIG_FILE
from cn.train.determinism import computed_by, not_equal
from cn.train.divergence import DivergedError, check_weights, trained_norm
from cn.train.listener import Listener
from cn.train.metrics import METRICS, Metrics
from cn.train.networks import TrainingNetworks
from cn.train.position import Position, RollBack
from cn.train.preview import BEFORE, Preview, preview_file
from cn.train.progress import WRITTEN, Progress
from cn.train.run_folder import (
    BASE,
    CONTROL,
    kept,
    link_results,
    read_state,
    remove_states,
    saved_steps,
    state_folder,
    state_size,
    sweep_run,
)
from cn.train.state import load_trainer, load_weights, save_state, update_numbers
from cn.train.stop import StopRequest
from cn.train.task import Task
from cn.train.trainer import StepResult, Trainer
from cn.train.warning_log import WARNINGS, WarningLog
from cn.train.world import ALONE, World


class Recorder:
    """Writes a run's folder during training: states, metrics and previews. `position` is that of the last step."""

    def __init__(self, task: Task, listener: Listener, stop: StopRequest, world: World = ALONE):
        self.task, self.listener, self.stop, self.world = task, listener, stop, world
        self.run, self.config = task.run, task.config
        self.trainer = Trainer(task.networks, task.config, task.step, world, warn=listener.warn)
        self.position = Position.of(task.state, task.config)
        self.trainer.lr_factor = self.position.lr_factor
        self._states: list[int] = []
        """The steps whose states are on the disk, ascending."""
        self._preview: Preview | None = None
        self.progress = Progress(task, listener, stop)

    @property
    def step(self) -> int:
        """The last finished step."""
        return self.position.step

    def open(self) -> None:
        """Create a new run's folder with its first state, or return a resumed one to its last."""
        task, state = self.task, self.task.state
        if self.world.is_main:
            sweep_run(self.run)
            if state is None:
                _clear(task)
            task.config.save(self.run)
            if state is None:
                save_sizes(self.run, task.source)
        self.metrics = Metrics(self.run / METRICS)
        self.log = WarningLog(self.run, self.listener.warn, writing=self.world.is_main)
        if state is None:
            self.position.start_norm = trained_norm(task.networks)
            self._first_save()
        else:
            load_trainer(state, self.trainer)
            self._states = saved_steps(self.run)
            self._return_to(state.step)
            self._trim()
            self._remove(self._superseded(final=state.step == task.config.steps))
            if state.base is None and self.config.unlocked_at(state.step) != "none":
                self.position.start_norm = None  # It was that of the control alone.
            self.position.start_norm = self.position.start_norm or trained_norm(task.networks)
            for message in state.damaged:
                self.log.warn(f"{message}: the run goes on from the state after step {state.step}")
            if different := not_equal(state.numbers.get("computed_by") or {}, self._computed_by()):
                self.log.warn(different)
        if self.world.is_main:
            for message in task.findings.broken:
                self.log.skip(message)
            for message in task.findings.warnings:
                self.log.warn(message)
        with self._sampling(averaged=False):
            if self.world.is_main:
                self.progress.open(self.step)
        self.evaluate()
        if self.preview_is_due(self.step) and not preview_file(self.run, self.step).exists():
            # The first one, or one that a kill or a stop has prevented.
            self.preview()

    def checked(self, results: Iterator[StepResult]) -> Iterator[StepResult]:
        """The same steps, as long as their losses stay in bounds. Raises DivergedError."""
        for result in results:
            self.position.losses.add(result.loss, result.step)
            yield result

    def add(self, result: StepResult) -> None:
        """Record a finished step."""
        self.position.step, self.position.smoothed = result.step, result.smoothed
        self._remove(self._superseded())
        if not self.world.is_main:
            return
        self.metrics.append(
            {
                "step": result.step,
                "loss": result.loss,
                "smoothed": result.smoothed,
                "grad_norm": result.grad_norm,
                "lr": result.lr,
                "seconds": round(result.seconds, 4),
            }
        )
        self.progress.add(result)
        self.listener.step(result)

    def unlock(self) -> None:
        """Train the base too after the last finished step (§3.4)."""
        self.trainer.unlock()
        self.position.start_norm = trained_norm(self.task.networks)
        self.listener.note(f"step {self.step:,}: the base is trained too from now on, and saved")

    def save(self) -> None:
        """Save the state after the last finished step, where that is not done. Raises DivergedError."""
        if self._states and self._states[-1] == self.step:
            return
        check_weights(self.task.networks, self.step, self.position.start_norm)
        self._make_room()
        if self.world.is_main:
            self.metrics.sync()
        numbers = self.position.numbers(self.config) | {"computed_by": self._computed_by()}
        numbers["pairs"] = pair_counts(self.task.source)
        save_state(self.run, self.trainer, self.step, numbers)
        self._states.append(self.step)
        self._remove(self._superseded(final=self.step == self.config.steps))

    def roll_back(self, error: DivergedError) -> bool:
        """Go back to the last good state, with a lower learning rate from there on.

        The same images and draws follow as before: what was seen of the data stays what it is without a divergence.
        False where less was trained then: the run has to be opened anew, as one that was killed here. Raises InputError
        where the run was rolled back before, saying what is kept.
        """
        to = retention.roll_back_step(self._states, error.since, every=self.config.save_every)
        if self.position.roll_back is not None or to is None:
            if to is not None:
                self._return_to(to)
            raise self._diverged(error) from error
        roll_back = RollBack(to)
        self.log.warn(
            f"{error.what}: the run goes on from the state after step {to}, at {roll_back.lr_factor:g} times the "
            "learning rate"
        )
        if self.world.is_main:
            # Killed before this, the run diverges again in the same way; killed after it, it goes on from there.
            update_numbers(read_state(self.run, to), {"roll_back": vars(roll_back), "lr": self.config.lr})
        self._return_to(to)
        self._trim()
        if self.config.unlocked_at(to) != self.config.unlocked_at(self.trainer.step):
            return False
        state = read_state(self.run, to)
        load_weights(state, self.task.networks)
        load_trainer(state, self.trainer)
        self.position = Position.of(state, self.config)
        self.trainer.lr_factor = self.position.lr_factor
        return True

    def preview_is_due(self, step: int) -> bool:
        """Whether a preview follows this step."""
        every, steps = self.config.preview_every, self.config.steps
        return every > 0 and steps > 0 and (step % every == 0 or step == steps)

    def preview(self) -> None:
        """Sample and write a preview; abandoned after a stop request."""
        with self._sampling() as networks:
            if networks is not None:
                self._preview = self._preview or Preview.of(
                    self.task.source, self.task.config, networks.base.config.size_multiple
                )
                sampled = self._preview.sample(networks, self.task.config, self.stop, self.trainer.sampling_engine)
                if sampled is not None:
                    sheet = self._preview.save(self.run, sampled, self.step)
                    self.listener.note(f"preview: {sheet}")
                    self.progress.preview(sheet, self.step)
        self.world.barrier()

    def evaluate(self) -> None:
        """Evaluate the weights after the last finished step, where that is due; the best ones are kept."""
        main = self.world.is_main
        if self.world.any(main and self.progress.is_due(self.step)):
            with self._sampling():
                is_best = main and self.progress.evaluate(self.step)
        else:
            is_best = main and self.progress.is_best(self.step)
        if self.world.any(is_best):
            self.save()
            if main:
                self.progress.keep_best()

    @contextlib.contextmanager
    def _sampling(self, *, averaged: bool = True) -> Iterator[TrainingNetworks | None]:
        """Networks to preview and evaluate, in the first process; None in the others, which call this too."""
        with self.trainer.sampling(averaged=averaged) as networks:
            if self.progress.evaluator is not None and networks is not None:
                self.progress.evaluator.networks = networks
                self.progress.evaluator.engine = self.trainer.sampling_engine
            yield networks

    def _first_save(self) -> None:
        try:
            self.save()
        except DivergedError as error:
            raise self._diverged(error) from error

    def _return_to(self, step: int) -> None:
        """Make a saved state the newest one."""
        self._remove([s for s in self._states if s > step])
        if self.world.is_main:
            link_results(self.run, state_folder(self.run, step))
        self.world.barrier()

    def _trim(self) -> None:
        """Drop the metrics of steps that are taken again."""
        if self.world.is_main:
            self.metrics.trim(self._states[-1])
            self.progress.trim(self._states[-1])

    def _diverged(self, error: DivergedError) -> InputError:
        """The error to end with: what is kept, and what to do."""
        again = "" if self.position.roll_back is None else ", also at the lower learning rate"
        other = "" if self.config.precision == "fp32" else ", or start again with --precision fp32"
        return InputError(f"{error.what}{again}; {kept(self.run)}: resume with a lower --lr{other}", path=self.run)

    def _superseded(self, *, final: bool = False) -> list[int]:
        every, keep = self.config.save_every, self.config.keep
        return retention.superseded(self._states, self.step, every=every, keep=keep, final=final)

    def _make_room(self) -> None:
        """Where the disk has no room for one more state, only the newest one stays: it is better than none."""
        if self._states and files.free_bytes(self.run) < state_size(self.run, self._states[-1]):
            self._remove(self._states[:-1])

    def _remove(self, steps: list[int]) -> None:
        if steps and self.world.is_main:
            remove_states(self.run, steps)
        self._states = [step for step in self._states if step not in steps]

    def _computed_by(self) -> dict[str, object]:
        return computed_by(self.task.networks.device, self.world)


def _clear(task: Task) -> None:
    """Remove what an earlier run wrote into its folder, and nothing else."""
    for name in (CONFIG_FILE, CONTROL, BASE, BEFORE, METRICS, WARNINGS, SIZES, "state", "previews", *WRITTEN):
        if (task.run / name).is_dir():
            shutil.rmtree(task.run / name, ignore_errors=True)
        else:
            (task.run / name).unlink(missing_ok=True)
