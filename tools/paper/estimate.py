"""How long runs are going to take on one GPU, roughly: for planning sessions, never for the report."""

from tools.paper.settings import Settings
from tools.paper.spec import Run, batch_of, steps_of
from tools.paper.workplace import SD_SIZE

START = 14.0
"""Seconds for networks, graphs and files of a run."""
STEP, IMAGE = 0.011, 0.00032
"""Seconds of a step of batch 4, and of each further image: a base of 9 million parameters on an H200
(docs/benchmarks.md)."""
FACTOR = 2.0
"""For a base that is twice as large, and for waits."""
UNET = 1.4
"""A step that trains the whole U-Net, over one that trains a control."""
EVALUATION = 0.5
"""One that `cn train` makes itself, with 32 images of 4 steps."""
SAMPLED = 3.5
"""64 images of 20 steps with guidance, their detection and reading."""
SD_STEP, SD_FILES = 0.2, 45.0
"""A step at Stable Diffusion's size, and reading and writing its gigabytes."""


def seconds(run: Run, settings: Settings) -> float:
    """Seconds of a run when it is alone on an H200."""
    arm = run.arm
    first, total = arm.phases[0], max(map(steps_of, arm.phases))
    if arm.base == SD_SIZE:
        return START + SD_FILES + total * SD_STEP
    whole = UNET if "concat" in first or any("--large-scale" in words for words in arm.phases) else 1.0
    time = START + total * whole * FACTOR * (STEP + IMAGE * max(0, batch_of(first) - 4))
    if every := int(first[first.index("--eval-every") + 1]):
        time += EVALUATION * total / every
    images = settings.validation / 64 * settings.sampling_steps / 20
    looked_at = sum(settings.states + 1 if one.states else 1 for one in arm.evaluations)
    return time + images * SAMPLED * looked_at
