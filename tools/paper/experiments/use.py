"""Fig. 28, prompts against conditions; Fig. 27, control in a part of the steps; and advice beyond the paper."""

from typing import Literal

from tools.paper.experiment import Experiment, Sweep
from tools.paper.experiments.common import default, scenes, variant
from tools.paper.results import Results
from tools.paper.settings import Settings
from tools.paper.spec import FINAL, Arm, Measured
from tools.paper.verdicts import Claim, is_better, is_less, mean_is
from tools.paper.workplace import MISTAKEN


def _fight(strength: float, scale: float) -> str:
    return f"strength {strength:g}, guidance {scale:g}"


def _fights(settings: Settings) -> dict[tuple[float, float], Measured]:
    """(strength, guidance) → the evaluation with prompts of other images."""
    return {
        (strength, scale): Measured(
            _fight(strength, scale), ("--strength", f"{strength:g}", "--scale", f"{scale:g}"), MISTAKEN
        )
        for strength in settings.strengths
        for scale in settings.guidances
    }


def _ends(settings: Settings) -> dict[float, Measured]:
    """Share of the steps with the control → the evaluation."""
    return {end: Measured(f"end {end:g}", ("--control-end", f"{end:g}"), sampled=True) for end in settings.ends}


def _strengths(settings: Settings) -> dict[float, Measured]:
    return {x: Measured(f"strength {x:g}", ("--strength", f"{x:g}")) for x in settings.strengths}


def _used(settings: Settings) -> Arm:
    """The default training, for all that is asked of sampling."""
    measured = (*_fights(settings).values(), *_ends(settings).values(), *_strengths(settings).values())
    return Arm("used", (settings.training(),), settings.seeds, data=scenes(settings), evaluations=(FINAL, *measured))


def limits(settings: Settings) -> Experiment:
    """Fig. 28."""
    arm, fights = _used(settings), _fights(settings)
    weak, strong = min(settings.strengths), max(settings.guidances)

    def asked(results: Results) -> list[Claim]:
        gains = results.gains(arm)

        def wins(strength: float, scale: float) -> dict[int, float]:
            return results.numbers(arm, "prompt_wins", _fight(strength, scale))

        usual = min(settings.guidances, key=lambda scale: abs(scale - 9))
        scales = dict.fromkeys((usual, strong))
        return [
            Claim(
                "A mistaken condition is difficult to overcome, even with a strong prompt.",
                tuple(
                    mean_is(
                        f"the prompt wins in less than half of the images at strength 1, guidance {scale:g}",
                        wins(1.0, scale),
                        0.5,
                        above=False,
                        learned=(gains,),
                    )
                    for scale in scales
                ),
            ),
            Claim(
                "A weaker control lets the prompt win more often (ours).",
                (
                    is_less(
                        f"share of images in which the prompt wins at guidance {usual:g}, strength 1 against {weak:g}",
                        wins(1.0, usual),
                        wins(weak, usual),
                        learned=(gains,),
                    ),
                ),
            ),
        ]

    sweeps = tuple(
        Sweep(f"guidance {scale:g}", "strength", "prompt_wins", arm, {x: _fight(x, scale) for x in settings.strengths})
        for scale in settings.guidances
    )
    return Experiment(
        "fig28",
        "Fig. 28, §5",
        "Prompt against condition",
        "The default training, evaluated with the prompts of other images. The captioner of the built-in world reads "
        "the sampled image: the prompt wins where more of its own words are found than of the condition's.",
        (arm,),
        asked,
        (),
        tuple(f"used-{fights[1.0, scale].file_name}" for scale in (strong,)),
        sweeps,
        tuple(one.name for one in fights.values()),
    )


def window(settings: Settings) -> Experiment:
    """Fig. 27."""
    arm, by_end, by_strength = _used(settings), _ends(settings), _strengths(settings)
    most = max(settings.strengths)

    def asked(results: Results) -> list[Claim]:
        gains = results.gains(arm)
        ends = {end: results.gains(arm, f"end {end:g}", zero="final") for end in (0.5, 1.0)}
        halved = {seed: gain / 2 for seed, gain in ends[1.0].items()}
        strong = results.gains(arm, by_strength[most].name)
        far = {x: results.numbers(arm, "distance", by_strength[x].name) for x in (1.0, most)}
        return [
            Claim(
                "With the control in the first 50 % of the steps only, images do not follow the input shapes.",
                (is_less("score, at most half of that of all steps", ends[0.5], halved, learned=(gains,)),),
            ),
            Claim(
                "A strength above 1 follows the condition more closely (ours).",
                (is_better(f"score, strength {most:g} against 1", strong, results.gains(arm, by_strength[1.0].name)),),
            ),
            Claim(
                "A strength above 1 costs quality (ours).",
                (
                    is_less(
                        f"distance from true images, strength 1 against {most:g}",
                        far[1.0],
                        far[most],
                        learned=(gains,),
                    ),
                ),
            ),
        ]

    def sweep(axis: str, field: Literal["gain", "distance"], points: dict[float, Measured]) -> Sweep:
        return Sweep("", axis, field, arm, {x: one.name for x, one in points.items()})

    return Experiment(
        "fig27",
        "Fig. 27, §4.6",
        "Strength, and control in a part of the steps",
        "The default training, sampled with the control in the first steps only (`cn sample`), and at other strengths.",
        (arm,),
        asked,
        (),
        tuple(f"used-{one.file_name}" for one in by_end.values()),
        (
            sweep("strength", "gain", by_strength),
            sweep("strength", "distance", by_strength),
            sweep("share of the steps with the control", "gain", by_end),
            sweep("share of the steps with the control", "distance", by_end),
        ),
        (FINAL.name, *(one.name for one in (*by_end.values(), *by_strength.values()))),
    )


def advice(settings: Settings) -> Experiment:
    """What users ask and the paper does not say."""
    usual = default(settings)
    asked_of = {
        "encoder-released": ("the condition encoder as released", ("--cond-encoder", "released")),
        "min-snr": ("min-SNR weights, γ = 5", ("--min-snr", "5")),
        "ema": ("an average of the weights, decay 0.99", ("--ema", "0.99")),
        "cosine": ("a learning rate that falls to zero", ("--schedule", "cosine")),
        **{f"lr-{rate}": (f"a learning rate of {rate}", ("--lr", rate)) for rate in settings.rates},
    }
    arms = {name: variant(settings, name, *words, along=False) for name, (_, words) in asked_of.items()}

    def asked(results: Results) -> list[Claim]:
        base = results.gains(usual, "trajectory")
        return [
            Claim(
                f"Better than the default: {asked_of[name][0]} (ours).",
                (is_better("score after the same steps", results.gains(arm), base),),
            )
            for name, arm in arms.items()
        ]

    return Experiment(
        "advice",
        "beyond the paper",
        "What to choose",
        'The default training with one option changed. "Does not hold" says that the default is better.',
        (usual, *arms.values()),
        asked,
        ("scores", "dots"),
    )
