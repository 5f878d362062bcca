"""Fig. 22, scale of data; §3.3, dropped prompts; Fig. 14, depth on little data."""

from cn.eval.report import NONE, RECONSTRUCTION
from tools.paper.experiment import Experiment
from tools.paper.experiments.common import default, scenes
from tools.paper.results import Numbers, Results
from tools.paper.settings import Settings
from tools.paper.spec import FINAL, NO_PROMPT, SEEN, Arm
from tools.paper.statistics import difference
from tools.paper.verdicts import Claim, Statement, is_better, is_not_worse
from tools.paper.workplace import SCRATCH

SHARE = 0.2
"""Of its score a control may lose on little data, and still count as robust."""
MAX_GAP = 0.05
"""How much more of an advantage on what was trained on a small data set may have than the largest."""


def scale(settings: Settings) -> Experiment:
    """Fig. 22."""
    arms = {}
    for count in settings.scales:
        words = settings.training("--no-compile", steps=settings.scale_steps, batch=settings.scale_batch)
        name = f"scale-{count}"
        arms[count] = Arm(name, (words,), settings.seeds, data=f"canny-{count}", evaluations=(FINAL, SEEN))
    small, large = settings.scales[:-1], settings.scales[-1]

    def asked(results: Results) -> list[Claim]:
        gains = {count: results.gains(arm) for count, arm in arms.items()}
        gaps = {count: _less(results.gains(arm, "seen"), gains[count]) for count, arm in arms.items()}
        robust = tuple(
            is_not_worse(
                f"{count:,} scenes: at least {1 - SHARE:.0%} of the score of {large:,}",
                gains[count],
                gains[large],
                share=SHARE,
            )
            for count in small
        )
        gap = tuple(
            Statement(
                f"{count:,} scenes: the advantage on scenes that were trained on is at most {MAX_GAP:g} above that of "
                f"{large:,}",
                difference(gaps[count], gaps[large]),
                MAX_GAP,
                above=False,
                learned_if_true=(gains[count],),
                learned_if_false=(gains[count],),
            )
            for count in small
        )
        return [
            Claim("The learning is robust even when the training data set is small.", robust),
            Claim("There is no overfitting on small data sets (§1).", gap),
            Claim(
                "More data gives a better control.",
                (is_better(f"{large:,} scenes against {small[0]:,}", gains[large], gains[small[0]]),),
            ),
        ]

    return Experiment(
        "fig22",
        "Fig. 22, §1, §3.5",
        "Scale of the data",
        f"The same training ({settings.scale_steps:,} steps of batch {settings.scale_batch}) on data sets of different "
        "sizes, each of which contains the smaller ones (not the paper's 500,000: rendering takes too long). Evaluated "
        "on scenes that none has seen, and on some that all have.",
        tuple(arms.values()),
        asked,
        ("scores", "dots"),
        tuple(f"{arm.name}-final" for arm in arms.values()),
    )


def prompts(settings: Settings) -> Experiment:
    """§3.3."""
    half, arms = default(settings), {}
    for share in ("0", "0.25", "0.75"):
        words = settings.training("--prompt-drop", share)
        name = f"drop-{share}"
        arms[share] = Arm(name, (words,), settings.seeds, data=scenes(settings), evaluations=(FINAL, NO_PROMPT))

    def asked(results: Results) -> list[Claim]:
        without = results.gains(half, "no prompt"), results.gains(arms["0"], "no prompt")
        content = [results.numbers(arm, "content", "no prompt") for arm in (half, arms["0"])]
        with_prompt = results.gains(half, "trajectory"), results.gains(arms["0"])
        return [
            Claim(
                "Replacing half of the prompts makes the control take content from the condition instead.",
                (
                    is_better("score without a prompt, 50 % against 0 %", *without),
                    Statement(
                        "content of the true image found without a prompt, 50 % against 0 %",
                        difference(*content),
                        learned_if_true=(without[0],),
                        learned_if_false=(without[1],),
                    ),
                ),
            ),
            Claim(
                "It costs nothing where there is a prompt (ours).",
                (is_not_worse("score with prompts, 50 % against 0 %: at least 90 %", *with_prompt, share=0.1),),
            ),
        ]

    return Experiment(
        "drop",
        "§3.3",
        "Dropped prompts",
        "The default training with different shares of the prompts replaced by the empty string; evaluated with the "
        "captions and without prompts.",
        (arms["0"], arms["0.25"], half, arms["0.75"]),
        asked,
        ("dots",),
        ("drop-0-no-prompt", "default-no-prompt"),
    )


def depth(settings: Settings) -> Experiment:
    """Fig. 14 in small."""
    words = settings.training("--no-compile", steps=settings.depth_steps, batch=settings.depth_batch)
    small = Arm("depth-small", (words,), settings.few_seeds, "depth", f"depth-{settings.depth_scenes}")
    words = settings.training("--no-compile", steps=settings.channel_steps, batch=settings.channel_batch)
    words += ("--baseline", "concat")
    many = f"depth-{settings.channel_scenes}"
    channel = Arm("depth-channel", ((*words, "--lr", "1e-4"),), settings.few_seeds, "depth", many)
    scratch = Arm("depth-scratch", ((*words, "--lr", "1e-3"),), settings.few_seeds, "depth", many, base=SCRATCH)

    def asked(results: Results) -> list[Claim]:
        gains = {arm.name: results.gains(arm) for arm in (small, channel)}
        # Zero and one are those of the base that has learned to draw.
        gains["depth-scratch"] = _rescaled(results, scratch, channel)
        content = {arm.name: results.numbers(arm, "content") for arm in (small, channel, scratch)}
        where = (("depth-channel", "continued from the base"), ("depth-scratch", "from scratch"))
        return [
            Claim(
                "A depth control trained on little data in little time is competitive with a model that takes depth "
                "as an input and was trained on far more.",
                tuple(
                    is_not_worse(
                        f"at least 90 % of the score of the U-Net with depth as an input, {how}",
                        gains["depth-small"],
                        gains[name],
                        share=0.1,
                    )
                    for name, how in where
                ),
            ),
            Claim(
                "Its images show as much of what they should (ours).",
                tuple(
                    is_not_worse(
                        f"at least 90 % of the content of those of the U-Net with depth as an input, {how}",
                        content["depth-small"],
                        content[name],
                        share=0.1,
                        learned=(gains["depth-small"], gains[name]),
                    )
                    for name, how in where
                ),
            ),
        ]

    return Experiment(
        "fig14",
        "Fig. 14, §4.4",
        "Depth on little data",
        f"A depth control ({settings.depth_scenes:,} scenes, {settings.depth_steps:,} steps of batch "
        f"{settings.depth_batch}) against the U-Net with depth as more input channels ({settings.channel_scenes:,} "
        f"scenes, {settings.channel_steps:,} steps of batch {settings.channel_batch}), continued from the bundled base "
        "and from an untrained U-Net.",
        (small, channel, scratch),
        asked,
        ("dots",),
        ("depth-small-final", "depth-channel-final", "depth-scratch-final"),
    )


def _less(a: Numbers, b: Numbers) -> Numbers:
    return {seed: a[seed] - b[seed] for seed in a if seed in b}


def _rescaled(results: Results, arm: Arm, ends: Arm) -> Numbers:
    """The normalized scores of an arm with zero and one of another one."""
    found: Numbers = {}
    others = list(results.of(ends).values())
    for seed, score in results.numbers(arm, "score").items() if others else ():
        subjects = others[0]["evaluations"]["final"]["subjects"]
        zero, one = (subjects[name]["score"] for name in (NONE, RECONSTRUCTION))
        if one != zero:
            found[seed] = (score - zero) / (one - zero)
    return found
