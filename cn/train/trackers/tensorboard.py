"""TensorBoard: `RUN/events/`, live with `tensorboard --logdir RUN`."""

from functools import partial
from pathlib import Path

from PIL import Image

from cn.train.evaluation.records import Evaluation
from cn.train.trackers.tracker import evaluation_scalars, step_scalars
from cn.train.trainer import StepResult

EVENTS = "events"
_FLUSH_SECONDS = 30
_MAX_POINTS = 5000
"""Steps of a run whose numbers are written, evenly spread; TensorBoard itself shows 1000 of them."""


class TensorBoard:
    """Writes event files in the background. Raises ImportError where the package tensorboard is missing."""

    def __init__(self, run: Path, step: int, steps: int):
        """A run that is at `step` of `steps`; what an earlier session wrote of later steps is not shown any more."""
        # Its import takes a second, which only training should wait for.
        from torch.utils.tensorboard import SummaryWriter

        self._every = max(1, steps // _MAX_POINTS)
        self._open = partial(SummaryWriter, str(run / EVENTS), flush_secs=_FLUSH_SECONDS)
        self._writer = self._open(purge_step=step + 1 if (run / EVENTS).exists() else None)

    def step(self, result: StepResult, images: int) -> None:
        if result.step % self._every == 0 or result.step == 1:
            self._scalars(step_scalars(result, images), result.step)

    def evaluation(self, evaluation: Evaluation) -> None:
        self._scalars(evaluation_scalars(evaluation), evaluation.step)

    def preview(self, sheet: Path, step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        # The writer's `add_image` would compress the image again, which takes longer than to sample it on a GPU.
        with Image.open(sheet) as opened:
            width, height = opened.size
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=sheet.read_bytes())
        summary = Summary(value=[Summary.Value(tag="preview", image=image)])
        self._writer.file_writer.add_summary(summary, step)  # type: ignore[attr-defined]

    def rewind(self, step: int) -> None:
        self._writer.close()  # type: ignore[no-untyped-call]
        self._writer = self._open(purge_step=step + 1)

    def close(self) -> None:
        self._writer.close()  # type: ignore[no-untyped-call]

    def _scalars(self, scalars: dict[str, float], step: int) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)  # type: ignore[no-untyped-call]
