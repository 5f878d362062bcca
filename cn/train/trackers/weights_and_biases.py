"""Weights & Biases: `--wandb PROJECT`. A resumed run continues the same W&B run, whose id is in its folder."""

import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cn.files import write_atomic
from cn.train.evaluation.records import Evaluation
from cn.train.trackers.tracker import evaluation_scalars, step_scalars
from cn.train.trainer import StepResult

RUN_ID = "wandb-id.txt"
FOLDER = "wandb"
_INIT_SECONDS, _FINISH_SECONDS = 60, 120
"""How long the start and the end of a run wait for the network."""


class WeightsAndBiases:
    """Logs to one W&B run, offline with WANDB_MODE=offline. Its failures are said once, and never end a training."""

    def __init__(self, run: Path, project: str, config: Mapping[str, Any], warn: Callable[[str], None]):
        import wandb

        self._wandb, self._warn = wandb, warn
        self._run: Any = None
        self._attempt(lambda: self._start(run, project, config))

    def step(self, result: StepResult, images: int) -> None:
        self._log(lambda: step_scalars(result, images), result.step)

    def evaluation(self, evaluation: Evaluation) -> None:
        self._log(lambda: evaluation_scalars(evaluation), evaluation.step)

    def preview(self, sheet: Path, step: int) -> None:
        self._log(lambda: {"preview": self._wandb.Image(str(sheet))}, step)

    def rewind(self, step: int) -> None:
        """Nothing to do: W&B leaves out what is logged again."""

    def close(self) -> None:
        if self._run is not None:
            self._attempt(lambda: self._run.finish())

    def _start(self, run: Path, project: str, config: Mapping[str, Any]) -> None:
        # The terminal is the program's, not a log of W&B's.
        settings = self._wandb.Settings(
            console="off", silent=True, init_timeout=_INIT_SECONDS, finish_timeout=_FINISH_SECONDS
        )
        self._run = self._wandb.init(
            project=project,
            name=run.resolve().name,
            id=_run_id(run),
            resume="allow",
            dir=str(run),
            config=dict(config),
            settings=settings,
        )

    def _log(self, values: Callable[[], Mapping[str, Any]], step: int) -> None:
        """Steps that were logged before a run was interrupted are left out by W&B: its steps only rise."""
        if self._run is not None:
            self._attempt(lambda: self._run.log(dict(values()), step=step))

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except self._failures() as error:
            self._run = None
            self._warn(f"Weights & Biases is left out from here on: {' '.join(str(error).split())}")

    def _failures(self) -> tuple[type[Exception], ...]:
        """What W&B raises without network, login or its background process."""
        mailbox = sys.modules.get("wandb.sdk.mailbox")  # Not in every release.
        found = (getattr(mailbox, name, None) for name in ("MailboxClosedError", "HandleAbandonedError"))
        return (self._wandb.Error, OSError, *(error for error in found if error is not None))


def _run_id(run: Path) -> str:
    """The id of this run at W&B; a new one where it has none."""
    file = run / RUN_ID
    if not file.exists():
        write_atomic(file, secrets.token_hex(8).encode())
    return file.read_text(encoding="utf-8").strip()
