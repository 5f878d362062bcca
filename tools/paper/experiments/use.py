"""Fig. 28, prompts against conditions; Fig. 27, control in a part of the steps; and advice beyond the paper."""

from tools.paper.experiment import Experiment
from tools.paper.experiments.common import default, scenes, variant
from tools.paper.results import Results
from tools.paper.settings import Settings
from tools.paper.spec import FINAL, Arm, Measured
from tools.paper.verdicts import Claim, is_better, is_less, mean_is
from tools.paper.workplace import MISTAKEN


def _fight(strength: float, scale: float) -> str:
    return f"strength {strength:g}, guidance {scale:g}"


def limits(settings: Settings) -> Experiment:
    """Fig. 28."""
    words = settings.training()
    fights = [(strength, scale) for strength in settings.strengths for scale in settings.guidances]
    evaluations = tuple(
        Measured(_fight(strength, scale), ("--strength", f"{strength:g}", "--scale", f"{scale:g}"), MISTAKEN)
        for strength, scale in fights
    )
    arm = Arm("limits", (words,), settings.seeds, data=scenes(settings), evaluations=(FINAL, *evaluations))
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

    return Experiment(
        "fig28",
        "Fig. 28, §5",
        "Prompt against condition",
        "The default training, evaluated with the prompts of other images. The captioner of the built-in world reads "
        "the sampled image: the prompt wins where more of its own words are found than of the condition's.",
        (arm,),
        asked,
        (),
        tuple(f"limits-{one.file_name}" for one in evaluations if one.name == _fight(1.0, strong)),
    )


def window(settings: Settings) -> Experiment:
    """Fig. 27."""
    words = settings.training()
    evaluations = tuple(Measured(f"end {end:g}", ("--control-end", f"{end:g}"), sampled=True) for end in settings.ends)
    strengths = tuple(
        Measured(f"strength {strength:g}", ("--strength", f"{strength:g}")) for strength in settings.strengths
    )
    arm = Arm("window", (words,), settings.seeds, data=scenes(settings), evaluations=(FINAL, *evaluations, *strengths))

    def asked(results: Results) -> list[Claim]:
        gains = results.gains(arm)
        ends = {end: results.gains(arm, f"end {end:g}", zero="final") for end in (0.5, 1.0)}
        halved = {seed: gain / 2 for seed, gain in ends[1.0].items()}
        return [
            Claim(
                "With the control in the first 50 % of the steps only, images do not follow the input shapes.",
                (is_less("score, at most half of that of all steps", ends[0.5], halved, learned=(gains,)),),
            ),
        ]

    return Experiment(
        "fig27",
        "Fig. 27, §4.6",
        "Strength, and control in a part of the steps",
        "The default training, sampled with the control in the first steps only (`cn sample`), and at other strengths.",
        (arm,),
        asked,
        (),
        tuple(f"window-{one.file_name}" for one in evaluations),
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
