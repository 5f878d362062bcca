"""Sets that are unusual but right: nothing is said about them."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from cn import images
from cn.data.lint.lint import Lint, LintSettings
from cn.detect.lines.canny import canny
from cn.detect.lines.soft_edge_gradient import gradient_soft_edge
from cn.detect.pose.skeleton import draw
from cn.detect.segmentation.palettes import ADE20K, paint
from tests.data.lint.photographs import Pixels, crops, photograph
from tests.data.lint.planted import person

SIZE, COUNT = 128, 24
Pairs = Iterator[tuple[str, Pixels, Pixels]]
"""Endless: the kind, the map and the image."""


def gray(values: np.ndarray) -> Pixels:
    return np.repeat(np.clip(values, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def very_dark_photographs() -> Pairs:
    for number, (_, image) in enumerate(crops(SIZE, 21)):
        if number % 2:
            dark = (image * 0.06).astype(np.uint8)
            yield "canny", gray(canny(dark, 5, 10)), dark
        else:
            dark = (image * 0.2).astype(np.uint8)
            yield "hed", gray(gradient_soft_edge(dark)), dark


def night() -> Pairs:
    """Some lights on black, with the noise of a sensor."""
    rng = np.random.default_rng(0)
    while True:
        image = rng.normal(6, 2, (SIZE, SIZE, 3))
        for _ in range(12):
            center, radius = rng.integers(8, SIZE - 8, 2).tolist(), int(rng.integers(2, 6))
            cv2.circle(image, center, radius, [float(value) for value in rng.integers(120, 255, 3)], -1)
        image = np.clip(cv2.GaussianBlur(image, (0, 0), 0.8), 0, 255).astype(np.uint8)
        yield "canny", gray(canny(image, 100, 200)), image


def somebody_far_away() -> Pairs:
    rng = np.random.default_rng(1)
    for _, image in crops(2 * SIZE, 22):
        points = person(40, rng)
        points[:, :2] += rng.integers(20, 2 * SIZE - 60, 2)
        yield "openpose", draw(points[None], *image.shape[:2]), image


def a_horizon() -> Pairs:
    """One line across the map, and nothing else."""
    rng = np.random.default_rng(2)
    while True:
        image, height = np.zeros((SIZE, SIZE, 3)), int(rng.integers(20, SIZE - 20))
        image[:height], image[height:] = rng.integers(120, 255, 3), rng.integers(0, 100, 3)
        image += np.linspace(0, rng.uniform(-12, 12), SIZE)[None, :, None]
        image = np.clip(image, 0, 255).astype(np.uint8)
        yield "canny", gray(canny(image, 100, 200)), image


def flat_walls() -> Pairs:
    """A wall that recedes: depth is a ramp, and the image says little."""
    rng = np.random.default_rng(3)
    while True:
        angle, least = rng.uniform(0, 2 * np.pi), rng.uniform(20, 120)
        y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
        ramp = x * np.cos(angle) + y * np.sin(angle)
        ramp = (ramp - ramp.min()) / np.ptp(ramp)
        spots = cv2.resize(rng.normal(0, 4, (9, 9, 3)), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        image = rng.integers(90, 200, 3) + 20 * ramp[..., None] + rng.normal(0, 1.5, (SIZE, SIZE, 3)) + spots
        yield "depth", gray(least + (255 - least) * ramp), np.clip(image, 0, 255).astype(np.uint8)


def repeated_patterns() -> Pairs:
    """Checkerboards, stripes and bricks: a shift by their period fits as well."""
    rng = np.random.default_rng(4)
    bricks = photograph("brick")
    for number in range(1 << 30):
        period = int(rng.integers(8, 28))
        y, x = np.mgrid[:SIZE, :SIZE] + rng.integers(0, 100, 2)[:, None, None]
        board = ((y // period + x // period) % 2, (x + y) // period % 2)[number % 2]
        low, high = rng.integers(0, 90, 3), rng.integers(150, 255, 3)
        image = np.where(board[..., None] == 1, high, low).astype(np.uint8)
        if number % 3 == 2:
            top, left = rng.integers(0, 512 - SIZE, 2)
            image = np.ascontiguousarray(bricks[top : top + SIZE, left : left + SIZE])
        yield "canny", gray(canny(image, 100, 200)), image


def gray_photographs() -> Pairs:
    for _, image in crops(SIZE, 24):
        bright = gray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        yield "hed", gray(gradient_soft_edge(bright)), bright


def portraits() -> Pairs:
    """A face that fills the image, nearest in the middle, before a wall."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    while True:
        left, top, width = rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.6), rng.uniform(0.3, 0.45)
        inside = np.hypot((x - left) / width, (y - top) / (1.3 * width))
        dome = np.sqrt(np.clip(1 - inside**2, 0, 1))
        shade = np.where(inside[..., None] < 1, rng.integers(150, 230, 3) * (0.5 + 0.5 * dome[..., None]), 40)
        image = np.clip(shade + rng.normal(0, 2, (SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
        yield "depth", gray(np.where(inside < 1, 120 + 135 * dome, 10 + 20 * x)), image


def single_classes() -> Pairs:
    """A wall, and nothing else: one color, which is right for labels."""
    rng = np.random.default_rng(6)
    for _, image in crops(SIZE, 25):
        yield "ade20k", paint(np.full((SIZE, SIZE), int(rng.integers(0, 150))), ADE20K), image


def few_edges_of_textures() -> Pairs:
    """Low thresholds on grass and gravel: edges everywhere."""
    for name, image in crops(SIZE, 26):
        if name in ("grass", "gravel", "immunohistochemistry"):
            yield "canny", gray(canny(image, 30, 60)), image


SETS = (
    *(very_dark_photographs, night, somebody_far_away, a_horizon, flat_walls, repeated_patterns, gray_photographs),
    *(portraits, single_classes, few_edges_of_textures),
)


@pytest.mark.parametrize("make", SETS, ids=lambda make: make.__name__)
def test_a_set_that_is_odd_but_right_is_clean(make, tmp_path):
    write(tmp_path, make())
    run = Lint.open(tmp_path, LintSettings())
    assert [str(finding) for finding in run.findings()] == []


def write(root: Path, pairs: Pairs) -> None:
    """A dataset with a folder for each kind."""
    lines: dict[str, list[str]] = {}
    for number, (kind, map, image) in enumerate(islice(pairs, COUNT)):
        source, target = f"source/{number}.png", f"target/{number}.png"
        for path, pixels in ((source, map), (target, image)):
            (root / kind / path).parent.mkdir(parents=True, exist_ok=True)
            images.write(root / kind / path, pixels)
        record = {"source": source, "target": target, "prompt": f"{make_caption(number)}"}
        lines.setdefault(kind, []).append(json.dumps(record))
    for kind, texts in lines.items():
        (root / kind / "prompt.json").write_text("\n".join(texts) + "\n")


def make_caption(number: int) -> str:
    words = ("a", "the", "one", "this", "some", "another")
    return f"{words[number % 6]} view, number {number}"
