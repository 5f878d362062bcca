"""One training session of a stage: resumable state, saved every few minutes, when it ends and on signals, and its log.

A stage is trained in one or more sessions; each resumes from the state that the last one saved.
"""

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor, nn

from cn.errors import CnError
from cn.files import open_atomic
from cn.model.graphs import Graphs
from cn.pretrain import replicas
from cn.pretrain.budget import Budget, learning_rate
from cn.pretrain.gpu import Gradient, choose_memory_format, prepare, warn
from cn.pretrain.master_weights import MasterWeights, StageConfig

SAVE_SECONDS = 300.0
LOG_STEPS = 100
"""Steps between two lines of the log; the first ones come earlier."""
OVER = -1.0
"""What the first process says instead of its fraction when its session is over."""


def autocast(device: torch.device) -> torch.autocast:
    """For passes without gradients: bf16 on a GPU, fp32 on a CPU."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def train_session(
    name: str,
    module: nn.Module,
    draw: Callable[[int], tuple[Tensor, ...]],
    state_path: Path,
    budget: Budget,
    settings: StageConfig,
) -> None:
    """Train the parameters of `module` that require gradients until the budget is used up or the session is over.

    `module(*draw(step))` is the loss. `state_path` is read if it exists and written atomically: weights, EMA,
    optimizers, step, time and random state; losses go to a `.jsonl` file beside it. Leaves the EMA of the weights in
    the module. Raises CnError where weights became infinite: then the state of before stays.
    """
    torch.manual_seed(settings.seed + 1000 * replicas.rank())
    with_kernels = prepare(module, next(module.parameters()).device)
    weights = MasterWeights(module, settings)
    on_gpu = weights.device.type == "cuda"
    if state_path.exists():
        state = torch.load(state_path, map_location=weights.device, weights_only=True)
        budget.step, budget.seconds = state["step"], state["seconds"]
        weights.restore(state["weights"])
    if on_gpu and not with_kernels:
        choose_memory_format(module, draw(1))
    gradient = Gradient(module, weights.parameters, Graphs(warn) if on_gpu else None)
    log, saved = Log(name, state_path.with_suffix(".jsonl"), budget, settings), time.monotonic()
    budget.start()
    with stopped_by_signals(budget):
        while (fraction := replicas.agree(OVER if budget.session_over else budget.fraction)) not in (OVER, 1.0):
            loss = gradient(*draw(budget.step))
            rate = learning_rate(
                settings.learning_rate,
                budget.step,
                fraction,
                warmup=settings.warmup,
                decay_from=settings.decay_from,
            )
            weights.update(rate, budget.step)
            budget.tick()
            log.add(loss, rate)
            if time.monotonic() - saved > SAVE_SECONDS:
                _save(name, state_path, weights, budget)
                saved = time.monotonic()
        _save(name, state_path, weights, budget)
    weights.finish()


def _save(name: str, path: Path, weights: MasterWeights, budget: Budget) -> None:
    if not weights.is_finite():
        raise CnError(f"{name}: the training diverged at step {budget.step}: run it with a lower --lr")
    if replicas.is_first():
        with open_atomic(path) as file:
            torch.save({"weights": weights.state(), "step": budget.step, "seconds": budget.seconds}, file)


class Log:
    """The mean losses of a stage, as lines of text and of JSON."""

    def __init__(self, name: str, path: Path, budget: Budget, settings: StageConfig):
        self.name, self.path, self.budget = name, path, budget
        self.batch_size = settings.batch_size * replicas.count()
        self.losses: list[Tensor] = []
        self.since = budget.step, time.monotonic()

    def add(self, loss: Tensor, rate: float) -> None:
        """Count a step's loss (no copy is made of what a graph overwrites before it is added up)."""
        self.losses = [loss.clone() if not self.losses else self.losses[0] + loss]
        step = self.budget.step
        if not (step in (1, 20) or step % LOG_STEPS == 0):
            return
        steps, now = step - self.since[0], time.monotonic()
        mean = float(self.losses[0]) / steps
        each = steps * self.batch_size / max(time.monotonic() - self.since[1], 1e-9)
        self.losses, self.since = [], (step, now)
        if replicas.is_first():
            line = {"step": step, "seconds": round(self.budget.seconds, 1), "loss": round(mean, 5), "rate": rate}
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            done = f"{self.name} step {step} ({100 * self.budget.fraction:.0f} %), {self.budget.seconds:.0f} s"
            print(f"{done}, loss {mean:.4f}, {each:.0f} samples/s", flush=True)


@contextlib.contextmanager
def stopped_by_signals(budget: Budget) -> Iterator[None]:
    """Within the block SIGINT and SIGTERM end the session after its step, so that its state is saved."""

    def stop(number: int, frame: FrameType | None) -> None:
        budget.stopped = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
