"""How large the experiments are: as for the report, or as small as proves that all of it works."""

from dataclasses import dataclass

from tools.paper.spec import Words


@dataclass(frozen=True)
class Settings:
    """Sizes of everything. A step is an optimizer step; `states` is how many states of a run are looked at."""

    name: str
    seeds: int
    few_seeds: int
    """Of what takes longest, and differs least from run to run."""
    steps: int
    batch: int
    states: int
    eval_every: int
    """Steps between evaluations of a run of `steps` steps; longer ones have as many."""
    eval_images: int
    validation: int
    """Pairs that are evaluated on: those of other scenes, and as many that are trained on."""
    sampling_steps: int
    eval_batch: int
    size: int
    """Pixels of a side; 0: as the base was trained."""
    scenes: int
    """Of the data set that most runs train on."""
    batches: tuple[tuple[int, int], ...]
    """(batch size, steps) of further sudden convergences (Fig. 21)."""
    scales: tuple[int, ...]
    """Scenes of the data sets of Fig. 22."""
    scale_steps: int
    scale_batch: int
    depth_scenes: int
    """Of the depth control on little data (Fig. 14), and below for the U-Net with depth as an input."""
    depth_steps: int
    depth_batch: int
    channel_scenes: int
    channel_steps: int
    channel_batch: int
    cost_steps: int
    cost_batch: int
    strengths: tuple[float, ...]
    guidances: tuple[float, ...]
    ends: tuple[float, ...]
    """Shares of the sampling steps after which the control stops."""
    rates: tuple[str, ...]
    """Learning rates besides the default."""

    def shared(self) -> dict[str, int]:
        """What decides the numbers of every run, besides its own options."""
        names = ("eval_images", "validation", "sampling_steps", "eval_batch", "size")
        return {name: getattr(self, name) for name in names}

    def training(self, *more: str, steps: int | None = None, batch: int | None = None, evaluated: bool = True) -> Words:
        """Options of `cn train` for so many steps, with `more` of them; every run is evaluated equally often."""
        count = self.steps if steps is None else steps
        every = max(1, count * self.eval_every // self.steps) if evaluated else 0
        words = ("--steps", str(count), "--batch-size", str(batch or self.batch), "--eval-every", str(every))
        return (*words, *more)


FULL = Settings(
    name="full",
    seeds=6,
    few_seeds=3,
    steps=600,
    batch=4,
    states=12,
    eval_every=20,
    eval_images=32,
    validation=64,
    sampling_steps=20,
    eval_batch=32,
    size=0,
    scenes=4000,
    batches=((32, 300), (256, 150)),
    scales=(100, 1000, 10_000, 50_000),
    scale_steps=1500,
    scale_batch=32,
    depth_scenes=1000,
    depth_steps=2000,
    depth_batch=16,
    channel_scenes=10_000,
    channel_steps=2500,
    channel_batch=64,
    cost_steps=40,
    cost_batch=16,
    strengths=(0.25, 0.5, 0.75, 1.0, 1.5),
    guidances=(5.0, 9.0, 15.0),
    ends=(0.25, 0.5, 0.75, 1.0),
    rates=("1e-4", "1e-3", "3e-3"),
)

QUICK = Settings(
    name="quick",
    seeds=2,
    few_seeds=1,
    steps=4,
    batch=1,
    states=2,
    eval_every=2,
    eval_images=2,
    validation=4,
    sampling_steps=2,
    eval_batch=4,
    size=64,
    scenes=8,
    batches=((2, 4), (3, 2)),
    scales=(4, 8),
    scale_steps=2,
    scale_batch=2,
    depth_scenes=4,
    depth_steps=2,
    depth_batch=1,
    channel_scenes=8,
    channel_steps=2,
    channel_batch=2,
    cost_steps=3,
    cost_batch=1,
    strengths=(0.5, 1.0),
    guidances=(9.0,),
    ends=(0.5, 1.0),
    rates=("3e-4",),
)
