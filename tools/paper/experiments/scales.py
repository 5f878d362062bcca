"""§3.4, small-scale and large-scale training; §3.2, what a step costs."""

from collections.abc import Mapping
from dataclasses import replace

from tools.paper.experiment import Experiment
from tools.paper.experiments.common import default, scenes
from tools.paper.results import Results
from tools.paper.settings import Settings
from tools.paper.spec import Arm
from tools.paper.statistics import estimate
from tools.paper.verdicts import Claim, Statement, is_better, is_less, is_not_worse, ratio_is
from tools.paper.workplace import SD_SIZE

SPEED, TIME, MEMORY = 1.6, 1.34, 1.23
"""The paper's factors: of small-scale training (§3.4), and of a step against fine-tuning (§3.2)."""
NO_TIMES = "the time of a step was not measured"
ABOUT = 0.9
"""Of a factor that the paper gives as "about"."""
LOW_RATE = "1e-4"
"""The learning rate once the base is trained too, which it is in both arms that are compared."""


def small(settings: Settings) -> Experiment:
    """Small-scale training."""
    all_links, half = default(settings), settings.steps // 2
    middle = Arm("middle", (settings.training("--small-scale"),), settings.seeds, data=scenes(settings))
    begun = settings.training("--small-scale", steps=half)
    again = Arm(
        "reconnect",
        (begun, ("--steps", str(settings.steps), "--reconnect")),
        settings.seeds,
        data=scenes(settings),
    )
    costs = {name: (cost_arm(settings, name, "control"), cost_arm(settings, name, "middle")) for name in _SIZES}

    def asked(results: Results) -> list[Claim]:
        gains = {arm.name: results.gains(arm) for arm in (middle, again)}
        gains["default"] = results.gains(all_links, "trajectory")
        every, few = (estimate(results.training(arm, "step_seconds")).mean for arm in costs["bundled"])
        # At equal time: steps of the middle only that take as long as half of the default's.
        as_long = round(half * every / few) if every > 0 and few > 0 else half
        early = {"middle": results.at(middle, as_long), "default": results.at(all_links, half)}
        measured = "" if every > 0 and few > 0 else results.missing(middle, {}, NO_TIMES)
        faster = tuple(
            ratio_is(
                f"{_SIZES[name]}: time of a step of the default over that of the middle only, above "
                f"{ABOUT * SPEED:.2f}",
                results.training(every, "step_seconds"),
                results.training(few, "step_seconds"),
                ABOUT * SPEED,
                above=True,
            )
            for name, (every, few) in costs.items()
        )
        return [
            Claim("Connecting the middle block only speeds training up by about 1.6.", faster),
            Claim(
                "It accelerates convergence.",
                (
                    replace(
                        is_better(
                            f"gain in the time that the default takes for {half:,} steps, middle only against all",
                            early["middle"],
                            early["default"],
                        ),
                        missing=measured,
                    ),
                ),
            ),
            Claim(
                "Connecting the decoder again in a continued training makes the control accurate.",
                (
                    is_better("reconnected after half of the steps, against middle only", gains["reconnect"],
                              gains["middle"]),
                    is_not_worse("reconnected: at least 90 % of the default's score after the same steps",
                                 gains["reconnect"], gains["default"], share=0.1),
                ),
            ),
        ]  # fmt: skip

    return Experiment(
        "small",
        "§3.4",
        "Small-scale training",
        "The middle block only, and reconnected after half of the steps, against all connections. Times of a step are "
        "those of the experiment on cost. What the middle only leaves out are the zero convolutions of the other "
        "connections: all of the copy is computed and trained all the same, and its gradient comes through all of the "
        "decoder.",
        (all_links, middle, again, *(arm for pair in costs.values() for arm in pair)),
        asked,
        ("scores", "dots"),
        ("middle-final", "reconnect-final"),
    )


def large(settings: Settings) -> Experiment:
    """Large-scale training."""
    first = settings.training()
    last = str(settings.steps + settings.steps // 2)
    then = {"locked": (), "decoder": ("--large-scale", "--unlock", "decoder"), "all": ("--large-scale",)}
    arms = {
        name: Arm(
            f"large-{name}",
            (first, ("--steps", last, "--lr", LOW_RATE, *words)),
            settings.seeds,
            data=scenes(settings),
        )
        for name, words in then.items()
    }

    def asked(results: Results) -> list[Claim]:
        gains = {name: results.gains(arm) for name, arm in arms.items()}
        far = {name: results.numbers(arm, "distance") for name, arm in arms.items()}
        learned = (gains["locked"],)
        return [
            Claim(
                "Unlocking Stable Diffusion after many steps leads to a more problem-specific model.",
                tuple(
                    is_better(f"score, {name} unlocked against locked", gains[name], gains["locked"])
                    for name in ("all", "decoder")
                ),
            ),
            Claim(
                "Its images are better, too (ours).",
                tuple(
                    is_less(
                        f"distance from true images, {name} unlocked against locked",
                        far[name],
                        far["locked"],
                        learned=learned,
                    )
                    for name in ("all", "decoder")
                ),
            ),
            Claim(
                "All weights gain more than the decoder alone (ours).",
                (is_better("score, all against decoder", gains["all"], gains["decoder"]),),
            ),
        ]

    return Experiment(
        "large",
        "§3.4",
        "Large-scale training",
        f"The default training, continued for half as many steps at a learning rate of {LOW_RATE}: with the base "
        "locked, with its decoder, and with all of its U-Net unlocked.",
        tuple(arms.values()),
        asked,
        ("scores", "dots"),
        tuple(f"{arm.name}-final" for arm in arms.values()),
    )


_SIZES = {"bundled": "bundled base", SD_SIZE: "Stable Diffusion 1.5's size"}
_REGIMES = {"control": (), "middle": ("--small-scale",), "finetuning": ("--baseline", "concat")}


def cost_arm(settings: Settings, size: str, regime: str) -> Arm:
    """A short training that is measured alone; fine-tuning is that of the U-Net with a few more input channels."""
    words = settings.training(
        *_REGIMES[regime], "--no-compile", steps=settings.cost_steps, batch=settings.cost_batch, evaluated=False
    )
    base = "" if size == "bundled" else size
    return Arm(
        f"cost-{size}-{regime}",
        (words,),
        settings.few_seeds,
        data=f"canny-{max(8, settings.cost_batch)}",
        base=base,
        evaluations=(),
        alone=True,
        needs_gpu=bool(base),
    )


def cost(settings: Settings) -> Experiment:
    """§3.2."""
    arms = {size: {regime: cost_arm(settings, size, regime) for regime in _REGIMES} for size in _SIZES}

    def asked(results: Results) -> list[Claim]:
        def ratios(field: str, what: str, most: float) -> tuple[Statement, ...]:
            return tuple(_costs_at_most(results, _SIZES[size], of, field, what, most) for size, of in arms.items())

        return [
            Claim("A step takes only about 34 % more time than without the ControlNet.",
                  ratios("step_seconds", "time", TIME)),
            Claim("Training needs only about 23 % more memory.", ratios("memory", "memory", MEMORY)),
        ]  # fmt: skip

    return Experiment(
        "cost",
        "§3.2",
        "Cost of a step",
        f"Trainings of {settings.cost_steps} steps of batch {settings.cost_batch}, one at a time, without compilation "
        "and CUDA graphs: a ControlNet, its middle block only, and the whole U-Net (which counts as fine-tuning). "
        "Memory is what torch reserves on the GPU.",
        tuple(arm for of in arms.values() for arm in of.values()),
        asked,
        (),
    )


def _costs_at_most(
    results: Results, size: str, arms: Mapping[str, Arm], field: str, what: str, most: float
) -> Statement:
    control, fine_tuning = (results.training(arms[regime], field) for regime in ("control", "finetuning"))
    return ratio_is(
        f"{size}: {what} of a ControlNet step over that of fine-tuning, at most {most:g}",
        control,
        fine_tuning,
        most,
        above=False,
        missing=results.missing(arms["control"], control, f"the {what} was not measured, which needs a GPU"),
    )
