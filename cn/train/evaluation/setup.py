"""The evaluations of a new run: as given, and the rest so that they take a tenth of it at most."""

from dataclasses import dataclass, replace

from cn.data.examples import Source
from cn.errors import UsageError
from cn.train.config import TrainConfig
from cn.train.evaluation.cost import count_costs
from cn.train.evaluation.evaluate import Evaluator
from cn.train.evaluation.plan import GPU_OVERHEAD, NONE, Budget, Schedule, may_fit, schedule
from cn.train.evaluation.validation import open_eval_data
from cn.train.latent_batches import cache_bytes
from cn.train.networks import TrainingNetworks


@dataclass(frozen=True)
class Evaluations:
    """How a run is evaluated, if it is, and what that costs, where this was counted."""

    evaluator: Evaluator | None = None
    budget: Budget | None = None
    too_short: bool = False

    def text(self) -> str:
        """The row of the plan: "8 held-out scenes every 60 steps: edge F1, at most 9 % of the run"."""
        if self.evaluator is None:
            short = ": the run is too short for evaluations in a tenth of its time; --eval-every N asks for them"
            return "none" + (short if self.too_short else "")
        config, measurement = self.evaluator.config, self.evaluator.measurement
        on, images = _on(config), config.eval_images
        if config.data and not config.eval_data:
            images = min(images, self.evaluator.source.count or 0)
        plan = Schedule(config.eval_every, config.eval_images)
        share = "" if self.budget is None else f", about {self.budget.share(plan, config.steps):.0%} of the run"
        return f"{images} {on} every {config.eval_every:,} steps: {measurement.name}{share}"


def set_up(
    config: TrainConfig,
    networks: TrainingNetworks,
    source: Source,
    *,
    every: int | None,
    images: int | None,
    cached: bool,
) -> tuple[TrainConfig, Evaluations]:
    """The configuration with `eval_every` and `eval_images`, of which what is given stays; `cached`: no image is
    encoded.

    Raises UsageError and InputError for data that cannot be evaluated on.
    """
    if config.eval_data:
        if every == 0:
            raise UsageError("--eval-data is for evaluations, and --eval-every 0 leaves them out")
        open_eval_data(config)
    trained = config.steps * (config.global_batch or config.batch_size * config.accumulate)
    if every == 0 or images == 0 or (every is None and images is None and not may_fit(trained)):
        return replace(config, eval_every=0, eval_images=0), Evaluations(too_short=every != 0 and images != 0)
    if every is not None and images is not None:
        config = replace(config, eval_every=every, eval_images=images)
        return config, Evaluations(Evaluator(config, networks, source))
    measuring = Evaluator(config, networks, source)
    costs = count_costs(networks.base.config, config, measuring.measurement)
    kept = cache_bytes(source, networks.base, config) > 0
    encoded = 0 if cached else min(trained, source.count or trained) if kept else trained
    overhead = GPU_OVERHEAD if networks.device.type == "cuda" else 1.0
    budget = Budget.of(costs, trained=trained, encoded=encoded, overhead=overhead)
    chosen = schedule(budget, config.steps, every=every, images=images)
    config = replace(config, eval_every=chosen.every, eval_images=chosen.images)
    if chosen == NONE:
        return config, Evaluations(too_short=True)
    # The same one, whose detector is in memory.
    measuring.config = config
    return config, Evaluations(measuring, budget)


def resumed(config: TrainConfig, networks: TrainingNetworks, source: Source) -> Evaluations:
    """The evaluations of a run that goes on: as they were."""
    return Evaluations(Evaluator(config, networks, source) if config.eval_every and config.eval_images else None)


def _on(config: TrainConfig) -> str:
    if config.eval_data:
        return f"pairs of {config.eval_data}"
    return "pairs of the training data" if config.data else "held-out scenes"
