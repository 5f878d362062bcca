"""How well samples follow their condition maps, on the control score's scale.

0 is what samples of other scenes reach, 1 what the VAE's reconstructions of the true images reach (as in
`cn.eval.control_score`). Lines are detected in samples, all else is read off them by the dense probe.
"""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cn.eval.bootstrap import mean, normalized
from cn.eval.measures.comparison import Measure
from cn.pretrain.dense import DenseProbe
from cn.pretrain.evaluation import dense_maps, lines
from cn.pretrain.evaluation.held_out import HeldOut, Images
from cn.pretrain.evaluation.report import Figures, interval, number
from cn.pretrain.evaluation.workers import Workers, parts
from cn.pretrain.labels import Arrays

PART = 16
"""Images whose lines a process detects at a time."""
Scores = NDArray[np.float64]
PEOPLE = ("openpose", "openpifpaf")


@dataclass(frozen=True)
class Followed:
    """The figures of images: those of samples, of pairs that do not belong together, and of others by name."""

    measure: Measure
    samples: Scores
    mismatched: Scores
    others: Mapping[str, Scores]
    """ "reconstructions", and "prompt_alone" where there are samples without the control."""

    def only(self, rows: NDArray[np.bool_]) -> "Followed":
        """Those of some of the images."""
        others = {name: scores[rows] for name, scores in self.others.items()}
        return Followed(self.measure, self.samples[rows], self.mismatched[rows], others)

    def figures(self) -> Figures:
        """For the report."""
        others = dict(self.others)
        one, better = others.pop("reconstructions"), self.measure.better
        score = normalized(self.samples, self.mismatched, one, better)
        found: Figures = {"score": number(score.value), "interval": interval(score)}
        for name, scores in others.items():
            found[f"score_{name}"] = number(normalized(scores, self.mismatched, one, better).value)
        levels = {"samples": self.samples, "mismatched": self.mismatched, "reconstructions": one} | others
        found |= {"measure": self.measure.name, "unit": self.measure.unit}
        found |= {name: number(mean(scores).value) for name, scores in levels.items()}
        return found | {"images": int(np.isfinite(self.samples).sum())}


class LinesFollowed:
    """Lines of samples, which processes detect while the GPU goes on."""

    def __init__(self, workers: Workers, kind: str, maps: Images, samples: Images, others: Mapping[str, Images]):
        self.kind = kind
        self.futures: list[Future[dict[str, Scores]]] = []
        for part in parts(len(maps), PART):
            own = samples[np.arange(part.start, part.stop + 1) % len(samples)]
            rest = {name: images[part] for name, images in others.items()}
            self.futures.append(workers.submit(lines.line_scores, kind, maps[part], own, rest))

    def result(self) -> Followed:
        """Waits for the processes."""
        done = [future.result() for future in self.futures]
        scores = {name: np.concatenate([one[name] for one in done]) for name in done[0]}
        return Followed(lines.COMPARISONS[self.kind].measure, scores.pop("samples"), scores.pop("mismatched"), scores)


class DenseFollowed:
    """What the probe reads off samples and others."""

    def __init__(
        self, probe: DenseProbe, kind: str, labels: Arrays, samples: Images, others: Mapping[str, Images], batch: int
    ):
        found = dense_maps.dense_maps(probe, samples, batch)
        scores = {
            name: dense_maps.dense_scores(kind, labels, dense_maps.dense_maps(probe, images, batch))
            for name, images in others.items()
        }
        self.followed = Followed(
            dense_maps.COMPARISONS[kind][0],
            dense_maps.dense_scores(kind, labels, found),
            dense_maps.dense_scores(kind, labels, found, shift=1),
            scores,
        )

    def result(self) -> Followed:
        return self.followed


Following = LinesFollowed | DenseFollowed


def rows_of(kind: str, held_out: HeldOut) -> NDArray[np.int64]:
    """The numbers of the scenes that are sampled with a control of this kind: for poses, those that show people."""
    if kind in PEOPLE and (shown := np.flatnonzero(held_out.people)).size > 1:
        return shown
    return np.arange(len(held_out))


def subset(held_out: HeldOut, rows: NDArray[np.int64]) -> Arrays:
    """The labels of some of the scenes."""
    return {name: values[rows] for name, values in held_out.labels.items()}


def follow(
    workers: Workers,
    probe: DenseProbe,
    kind: str,
    held_out: HeldOut,
    rows: NDArray[np.int64],
    samples: Images,
    others: Mapping[str, Images],
    batch: int,
) -> Following:
    """How samples (len(rows), h, w, 3) follow the maps of these scenes; `others` are of all scenes (N, h, w, 3)."""
    chosen = {name: images[rows] for name, images in others.items()}
    if kind in lines.DETECTORS:
        return LinesFollowed(workers, kind, held_out.maps[kind][rows], samples, chosen)
    return DenseFollowed(probe, kind, subset(held_out, rows), samples, chosen, batch)
