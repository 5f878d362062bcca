"""The evaluations of a new run: as given, and the rest so that they take a tenth of it at most."""

from dataclasses import dataclass, replace

from cn.data.examples import Source
from cn.train.config import TrainConfig
from cn.train.evaluation.cost import count_costs
from cn.train.evaluation.evaluate import Evaluator
from cn.train.evaluation.plan import NONE, Budget, may_fit, schedule
from cn.train.latent_batches import cache_bytes
from cn.train.networks import TrainingNetworks


@dataclass(frozen=True)
class Evaluations:
    """How a run is evaluated, if it is, and what part of the run that takes, where this was counted."""

    evaluator: Evaluator | None = None
    share: float | None = None

    def text(self) -> str:
        """The row of the plan: "8 held-out scenes every 60 steps: edge F1, at most 9 % of the run"."""
        if self.evaluator is None:
            return "none"
        config, measurement = self.evaluator.config, self.evaluator.measurement
        on = _on(config, self.evaluator.source)
        share = "" if self.share is None else f", about {self.share:.0%} of the run"
        return f"{config.eval_images} {on} every {config.eval_every:,} steps: {measurement.name}{share}"


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
    encoded."""
    trained = config.steps * (config.global_batch or config.batch_size * config.accumulate)
    if every == 0 or images == 0 or (every is None and images is None and not may_fit(trained)):
        return replace(config, eval_every=0, eval_images=0), Evaluations()
    measuring = Evaluator(config, networks, source)
    costs = count_costs(networks, config, measuring.measurement)
    kept = cache_bytes(source, networks.base, config) > 0
    encoded = 0 if cached else min(trained, source.count or trained) if kept else trained
    budget = Budget.of(costs, trained=trained, encoded=encoded)
    chosen = schedule(budget, config.steps, every=every, images=images)
    if config.data and not config.eval_data:
        chosen = replace(chosen, images=min(chosen.images, source.count or 0))
    config = replace(config, eval_every=chosen.every, eval_images=chosen.images)
    if chosen == NONE:
        return config, Evaluations()
    # The same one, whose detector is in memory.
    measuring.config = config
    return config, Evaluations(measuring, budget.share(chosen, config.steps))


def _on(config: TrainConfig, source: Source) -> str:
    if config.eval_data:
        return f"pairs of {config.eval_data}"
    return "pairs of the training data" if config.data else "held-out scenes"
