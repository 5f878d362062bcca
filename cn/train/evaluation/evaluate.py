"""One evaluation: images of the validation set are sampled, and their conditions detected again."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cn.data.examples import Source
from cn.errors import WeightsError
from cn.eval.change_point import GROUP, group_of
from cn.eval.measures import Measurement, measurement_or_image_edges
from cn.model.engine import PLAIN
from cn.model.generate import Request, Sampling, generate, to_hint
from cn.model.guidance import ControlInput
from cn.train.config import TrainConfig
from cn.train.evaluation.plan import SAMPLING_STEPS
from cn.train.evaluation.records import Evaluation
from cn.train.evaluation.validation import ValidationSet
from cn.train.networks import TrainingNetworks

BATCH_SIZE = 16
"""Images that are sampled at once on a GPU, at most, and no more than are trained with: decoding them takes less memory
than that."""
CPU_PIXELS = 256 * 256
"""Pixels that are decoded at once on a CPU, at most: more do not fit its cache (measured: 0.25 s for one image of this
size, 0.46 s for each of eight)."""
DECIMALS = 5
"""Of the scores, so that they are the same from a file."""


class Evaluator:
    """Evaluates the networks of a run, always on the same images from the same noise: image i starts from seed i.

    Images are sampled with few DDIM steps and without guidance: they are less sharp than those of `cn sample`, but what
    is where is decided in the first steps, and it is compared with images that are sampled in the same way without the
    control.
    """

    def __init__(self, config: TrainConfig, networks: TrainingNetworks, source: Source):
        self.config, self.networks, self.source = config, networks, source
        self.engine = PLAIN
        """How the networks are computed: on a GPU, sampling steps are captured."""

    @cached_property
    def validation(self) -> ValidationSet:
        """Its examples are rendered or read when they are first needed."""
        return ValidationSet.of(self.config, self.source, self.config.eval_images)

    @cached_property
    def measurement(self) -> Measurement:
        """What is measured, with its detector in memory."""
        return self._measurement[0]

    @cached_property
    def warnings(self) -> list[str]:
        """What a person should know about the figures."""
        missing = self._measurement[1]
        if missing is None:
            return list(self.validation.warnings)
        kind = self.config.cond
        what = f"evaluations compare edges of sampled images with those of the true ones, not {kind} maps: {missing}"
        return [what, *self.validation.warnings]

    @cached_property
    def _measurement(self) -> tuple[Measurement, WeightsError | None]:
        return measurement_or_image_edges(self.config.cond, device=str(self.networks.device))

    @cached_property
    def _given(self) -> list[Any]:
        images = [e.target if self.measurement.against == "image" else e.condition for e in self.validation.examples]
        return self.measurement.given(images)

    def continues(self, earlier: Evaluation) -> bool:
        """Whether what this evaluates can be compared with an earlier evaluation of the run."""
        count, name = len(self.validation.examples), self.validation.name
        return (earlier.measure, earlier.on, len(earlier.agreement)) == (self.measurement.name, name, count)

    def evaluate(
        self,
        step: int,
        *,
        with_control: bool = True,
        stop: Callable[[], bool] = lambda: False,
    ) -> Evaluation | None:
        """The scores after `step` steps; None when `stop()` meanwhile."""
        images: list[NDArray[np.uint8]] = []
        with self.networks.autocast():
            for image in self._sampled(with_control):
                if stop():
                    return None
                images.append(image)
        agreement = _agreement(self.measurement, self._given, self.measurement.detect(images))
        measure = self.measurement.measure
        return Evaluation(step, with_control, self.measurement.name, measure.better, self.validation.name, agreement)

    def _sampled(self, with_control: bool) -> Iterator[NDArray[np.uint8]]:
        """One image for each example, in order."""
        networks, examples = self.networks, self.validation.examples
        device, dtype = networks.device, networks.base.dtype
        at_once = min(BATCH_SIZE, self.config.batch_size)
        if device.type == "cpu":
            at_once = max(1, CPU_PIXELS // self.config.size**2)
        hint = torch.cat([to_hint(example.condition, device, dtype) for example in examples])
        controls = [ControlInput(networks.control, hint)] if with_control else []
        sampling = Sampling(self.config.size, self.config.size, steps=SAMPLING_STEPS, scale=1.0)
        requests = [Request(example.prompt, seed) for seed, example in enumerate(examples)]
        return generate(networks.base, requests, sampling, controls, batch_size=at_once, engine=self.engine)


def _agreement(measurement: Measurement, given: Sequence[object], found: Sequence[object]) -> NDArray[np.float64]:
    """(n, GROUP): each image with each condition of its group; NaN in the columns that a smaller group lacks."""
    agreement = np.full((len(found), GROUP), np.nan)
    for i, one in enumerate(found):
        group = group_of(i, len(found))
        agreement[i, : len(group)] = measurement.compare([given[j] for j in group], [one] * len(group))
    return np.round(agreement, DECIMALS)
