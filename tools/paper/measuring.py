"""What is measured of a trained run: scores by `cn eval`, the quality and content of the images that it sampled."""

import os
import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.data.pairs import open_pairs
from cn.eval.detectors import choose
from cn.eval.pairs import of_dataset
from cn.eval.report import NONE, RECONSTRUCTION, Report, read_report
from cn.train.config import TrainConfig
from cn.train.run_folder import CONTROL
from tools.paper import quality
from tools.paper.quality import Looked, Reader
from tools.paper.spec import OF_TRAINING, VALIDATION, Measured, Run
from tools.paper.training import states
from tools.paper.workplace import MISTAKEN, SD_SIZE, Workplace

Image = NDArray[np.uint8]
EVALUATIONS = "evaluations"
"""The folder of sampled images; each process has one of its own in it."""
SHOWN = 2
"""Pairs of which images are kept for the report."""


class Meter:
    """Measures runs; the network that reads images is loaded once."""

    def __init__(self, place: Workplace):
        self.place = place
        self._reader: Reader | None = None
        self._true: dict[tuple[Path, int], tuple[list[Image], list[Image], Looked]] = {}

    @property
    def reader(self) -> Reader:
        if self._reader is None:
            self._reader = Reader(self.place.device)
        return self._reader

    def true_images(self, data: Path, kind: str, size: int) -> tuple[list[Image], list[Image], Looked]:
        """The true images of a data set, their condition maps, and what the network says of the images."""
        key = (data, size)
        if key not in self._true:
            pairs = open_pairs(data, kind)
            count = self.place.settings.validation
            examples = list(of_dataset(str(data), pairs, kind, size, count, True))
            true = [example.target for example in examples]
            self._true[key] = (true, [example.condition for example in examples], self.reader.look(true))
        return self._true[key]

    def others(self, run: Run, measured: Measured, size: int) -> Looked:
        """True images of other scenes than those that are evaluated on, whose images would be too near to them."""
        name = VALIDATION if measured.data == OF_TRAINING else OF_TRAINING
        return self.true_images(self.place.data_path(name, run.arm.kind), run.arm.kind, size)[2]

    def measure(self, run: Run, folder: Path, measured: Measured) -> tuple[dict[str, Any], dict[str, list[Image]]]:
        """The numbers of an evaluation, by subject; and of each subject the first images, which the report shows."""
        data = self.place.data_path(measured.data, run.arm.kind)
        if measured.sampled:
            return self._sampled(run, folder, measured, data)
        controls = {"": folder / CONTROL}
        if measured.states:
            controls = {str(step): path for step, path in states(run, self.place.settings, folder).items()}
        report = self._evaluated(run, measured, data, controls)
        subjects = {NONE: report.none, **dict(zip(controls, report.controls, strict=True))}
        subjects[RECONSTRUCTION] = report.reconstruction
        name = next(iter(report.measures))
        size = report.protocol.sampling.size
        _, conditions, looked = self.true_images(data, run.arm.kind, size)
        others = self.others(run, measured, size)
        result: dict[str, Any] = {
            "measure": name,
            "better": report.measures[name].better,
            "protocol_sha256": report.protocol.hash,
            "subjects": {},
        }
        shown = {"condition": conditions[:SHOWN]}
        for label, subject in subjects.items():
            found = [images.read(path) for path in sorted((Path(report.home) / subject.folder).glob("*.png"))]
            scores = subject.scores[name].own
            result["subjects"][label] = {
                **_numbers(scores, self.reader.look(found), looked, others, measured),
                "mismatched": _mean(subject.scores[name].mismatched),
            }
            shown[label] = found[:SHOWN]
            if label in controls:
                shutil.rmtree(Path(report.home) / subject.folder)
        return result, shown

    def _evaluated(self, run: Run, measured: Measured, data: Path, controls: dict[str, Path]) -> Report:
        """`cn eval` of some weights side by side: they share pairs, seeds, zero and one.

        All runs of this process use the same folder, so that zero and one are sampled once.
        """
        settings = self.place.settings
        words = ["--cond", run.arm.kind, "--data", str(data), "-n", str(settings.validation)]
        words += ["--base", str(self.place.base_path(run.arm.base))]
        words += ["--steps", str(settings.sampling_steps), "--batch-size", str(settings.eval_batch)]
        words += ["--size", str(settings.size)] if settings.size and run.arm.base != SD_SIZE else []
        self.place.check_time()
        device, which = ("--device", self.place.device), sha256(" ".join((*words, *measured.words)).encode())
        out = self.place.folder / EVALUATIONS / str(os.getpid()) / which.hexdigest()[:16]
        self.place.cn("eval", *controls.values(), "--out", out, *words, *device, *measured.words, "-q")
        return read_report(out)

    def _sampled(
        self, run: Run, folder: Path, measured: Measured, data: Path
    ) -> tuple[dict[str, Any], dict[str, list[Image]]]:
        """Images of `cn sample`, scored by the measure that `cn eval` has."""
        settings, kind = self.place.settings, run.arm.kind
        words = ["--data", str(data), "--control", str(folder / CONTROL), "--steps", str(settings.sampling_steps)]
        words += ["--base", str(self.place.base_path(run.arm.base)), "--batch-size", str(settings.eval_batch)]
        if settings.size:
            words += ["--size", f"{settings.size}x{settings.size}"]
        self.place.check_time()
        out = self.place.folder / EVALUATIONS / str(os.getpid()) / f"{folder.name}-{measured.file_name}"
        # A folder, though its name may end like that of a file.
        self.place.cn("sample", *words, "--out", f"{out}/", "--device", self.place.device, *measured.words, "-q")
        found = [images.read(path) for path in sorted(out.glob("*.png"))]
        shutil.rmtree(out)
        size = settings.size or TrainConfig.load(folder).size
        true, conditions, looked = self.true_images(data, kind, size)
        measurement = choose(kind, [], device=self.place.device, method=None, weights=None)[0][0]
        given = true if measurement.against == "image" else conditions
        scores = measurement.scores(given, found)
        measure = measurement.measure
        numbers = _numbers(scores, self.reader.look(found), looked, self.others(run, measured, size), measured)
        return {"measure": measure.name, "better": measure.better, "subjects": {"": numbers}}, {"": found[:SHOWN]}


def _numbers(
    scores: NDArray[np.float64], found: Looked, true: Looked, others: Looked, measured: Measured
) -> dict[str, Any]:
    """`true` are the true images of the same pairs, `others` those of other pairs."""
    numbers = {
        "score": _mean(scores),
        "scores": [None if np.isnan(score) else round(float(score), 4) for score in scores],
        "distance": round(quality.distance(found, others), 5),
        "content": _mean(quality.content(found, true)),
    }
    return numbers | ({"prompt_wins": _mean(quality.prompt_wins(found, true))} if measured.data == MISTAKEN else {})


def _mean(values: NDArray[np.float64] | Sequence[float]) -> float | None:
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    return round(float(values.mean()), 5) if values.size else None
