"""The scenes themselves: images, labels and captions must not change, because the bundled weights were trained on them.

`golden_scenes.json` was written by `write_golden` below; rerun it only when the scenes are meant to change (and then
the bundled weights have to be trained again).
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from cn.scenes import View, caption, describe, render

GOLDEN = Path(__file__).with_name("golden_scenes.json")
COUNT = 40
CAPTIONS = 500


def weighted_mean(values: np.ndarray) -> float:
    """The mean of (h, w) weighted by position, so that a thing that moves changes it."""
    height, width = values.shape
    rows, columns = np.linspace(0.5, 1.5, height)[:, None], np.linspace(0.4, 1.6, width)[None]
    return float((values * rows * columns).mean())


def summary(view: View) -> list[float]:
    """Colors, inverse depth, normals, classes and keypoints of one view as 10 numbers of about unit size."""
    inverse_depth = 1 / view.depth.astype(np.float64)
    maps = [*(view.rgb.transpose(2, 0, 1) / 255.0), inverse_depth, *view.normals.transpose(2, 0, 1), view.classes / 10]
    weights = np.linspace(0.5, 1.5, view.keypoints.size).reshape(view.keypoints.shape)
    points = (view.keypoints * weights).astype(np.float64)
    joints = [float(points[..., :2].sum() / 1000), float(points[..., 2].sum() / 10)]
    return [round(value, 5) for value in [*map(weighted_mean, maps), *joints]]


def captions_hash() -> str:
    """SHA-256 of the first captions of two seeds."""
    texts = [caption(describe(seed, index)) for seed in (0, 917) for index in range(CAPTIONS)]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def write_golden() -> None:
    """Rewrite the golden file."""
    views = [summary(render(describe(11, index), 96)) for index in range(COUNT)]
    rows = ",\n".join(json.dumps(row) for row in views)
    GOLDEN.write_text(f'{{"captions": "{captions_hash()}",\n"views": [\n{rows}\n]}}\n')


@pytest.fixture(scope="module")
def golden() -> dict:
    return json.loads(GOLDEN.read_text())


def test_images_and_labels_are_those_that_the_weights_were_trained_on(golden):
    assert len(golden["views"]) == COUNT
    for index, expected in enumerate(golden["views"]):
        # Tolerance: another CPU may round sines and exponentials differently, which moves single pixels.
        assert summary(render(describe(11, index), 96)) == pytest.approx(expected, abs=3e-3), f"scene {index}"


def test_captions_are_those_that_the_weights_were_trained_on(golden):
    assert captions_hash() == golden["captions"]
