"""The experiments, in the order in which they are run and reported."""

from tools.paper.experiment import Experiment
from tools.paper.experiments import convergence, data, scales, use
from tools.paper.settings import Settings

_MAKERS = (
    convergence.sudden,
    convergence.ablation,
    data.prompts,
    scales.small,
    scales.large,
    use.limits,
    use.window,
    use.advice,
    data.depth,
    data.scale,
    scales.cost,
)


def experiments(settings: Settings) -> list[Experiment]:
    """All of them. Arms of the same name are the same ones: they are run once."""
    return [make(settings) for make in _MAKERS]
