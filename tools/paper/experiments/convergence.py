"""Fig. 21, sudden convergence; Fig. 20 and §3.1, zero convolutions against Gaussian ones and an added channel."""

from tools.paper.experiment import Experiment
from tools.paper.experiments.common import default, scenes, variant
from tools.paper.results import Results
from tools.paper.settings import Settings
from tools.paper.spec import TRAJECTORY, Arm
from tools.paper.statistics import estimate
from tools.paper.verdicts import Claim, Statement, is_better, is_less, mean_is

MAX_EXCESS = 0.25
"""Images count as good as long as they are at most so much farther from true ones than those without control, in units
of what untrained Gaussian weights in place of zeros do to them. (The base's images are nearly as close to true ones as
reconstructions are: what lies between these two is no unit.)"""
SUDDEN = 1.0
"""See `results.suddenness`."""


def sudden(settings: Settings) -> Experiment:
    """Fig. 21."""
    arms = [default(settings)]
    for batch, steps in settings.batches:
        words = settings.training("--no-compile", steps=steps, batch=batch)
        arms.append(Arm(f"batch-{batch}", (words,), settings.seeds, data=scenes(settings), evaluations=(TRAJECTORY,)))

    gaussian = _gaussian(settings)

    def asked(results: Results) -> list[Claim]:
        harm = estimate(results.first_harm(gaussian)).mean
        sizes = [settings.batch, *(batch for batch, _ in settings.batches)]
        learned = [results.gains(arm, "trajectory") for arm in arms]
        rises = tuple(
            mean_is(
                f"batch {size}: the length of the rise over its middle is below {SUDDEN:g} (even learning has 2)",
                results.rises(arm),
                SUDDEN,
                above=False,
                learned=(gains,),
            )
            for size, arm, gains in zip(sizes, arms, learned, strict=True)
        )
        good = tuple(
            _stays_good(results, arm, f"batch {size}", harm, before_convergence=before)
            for size, arm in zip(sizes, arms, strict=True)
            for before in (True, False)
        )
        return [
            Claim("At a certain step the model suddenly learns to follow the condition.", rises),
            Claim("The network predicts high-quality images during the entire training.", good),
        ]

    return Experiment(
        "fig21",
        "Fig. 21, §4.3",
        "Sudden convergence",
        "The default training at several batch sizes. Score and distance from true images over the steps: `cn train` "
        "evaluates itself, and `cn eval` evaluates its saved states.",
        tuple(arms),
        asked,
        ("scores", "losses", "distances"),
        tuple(f"{arm.name}-trajectory" for arm in arms),
    )


def ablation(settings: Settings) -> Experiment:
    """Fig. 20, and what §3.1 says of zero convolutions."""
    zero = default(settings)
    gaussian = _gaussian(settings)
    concat = variant(settings, "concat", "--baseline", "concat")
    slow = variant(settings, "concat-slow", "--baseline", "concat", "--lr", "1e-4", along=False)

    def asked(results: Results) -> list[Claim]:
        gains = {arm.name: results.last_gains(arm) for arm in (zero, gaussian, concat, slow)}
        first = {arm.name: _first(results, arm) for arm in (zero, gaussian)}
        last = {arm.name: results.last(arm, "distance") for arm in (zero, gaussian, concat, slow)}
        of_concat = (("concat", "same learning rate"), ("concat-slow", "learning rate 1e-4"))
        return [
            Claim(
                "Zero convolutions add no new noise to deep features: training is faster than with Gaussian weights.",
                (
                    is_better("score after the same steps", gains["default"], gains["gaussian"]),
                    is_less(
                        "distance from true images before the first step",
                        first["default"],
                        first["gaussian"],
                        learned=(gains["default"],),
                    ),
                ),
            ),
            Claim(
                "The ControlNet follows the condition better than a model with the condition as an added input.",
                tuple(
                    is_better(f"score after the same steps, {how}", gains["default"], gains[name])
                    for name, how in of_concat
                ),
            ),
            Claim(
                "The locked copy preserves the quality of the images; training the base itself does not.",
                tuple(
                    is_less(
                        f"distance from true images after the last step, {how}",
                        last["default"],
                        last[name],
                        learned=(gains["default"],),
                    )
                    for name, how in of_concat
                ),
            ),
        ]

    return Experiment(
        "fig20",
        "Fig. 20, §3.1, §4.3",
        "Zero convolutions and the copy",
        "The default training, the same with Gaussian weights instead of zeros, and the whole U-Net trained with the "
        "condition as more input channels (at the same learning rate and at 1e-4), all with the same data and steps.",
        (zero, gaussian, concat, slow),
        asked,
        ("scores", "distances", "dots"),
        ("default-trajectory", "gaussian-trajectory", "concat-trajectory"),
    )


def _first(results: Results, arm: Arm) -> dict[int, float]:
    """The distance of the first saved state: that of the untrained weights."""
    return {seed: found[min(found)] for seed, found in results.trajectory(arm, "distance").items()}


def _gaussian(settings: Settings) -> Arm:
    return variant(settings, "gaussian", "--zero-init", "gaussian")


def _stays_good(results: Results, arm: Arm, name: str, harm: float, *, before_convergence: bool) -> Statement:
    """The excess of an arm, before convergence or over all of the training, is small; `harm` is its unit."""
    found = results.excess(arm, harm, before_convergence=before_convergence) if harm > 0 else {}
    why = "no saved state is before convergence" if harm > 0 else "Gaussian weights (Fig. 20), the unit, are not there"
    return mean_is(
        f"{name}, {'before convergence' if before_convergence else 'all of the training'}: excess of the distance from "
        f"true images below {MAX_EXCESS:g}",
        found,
        MAX_EXCESS,
        above=False,
        learned=(results.gains(arm, "trajectory"),),
        missing=results.missing(arm, found, why),
    )
