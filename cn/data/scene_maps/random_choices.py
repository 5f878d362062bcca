"""The random choices of training maps: a pure function of the kind, the seed and the number of a scene.

The paper names random choices for Canny edges and scribbles (§3.5). The other line maps vary as what people give does:
by network, by method, by hand.
"""

import hashlib

import numpy as np

from cn.data.scene_maps.line_drawing import LineDrawing
from cn.data.scene_maps.soft_edges import SoftEdges
from cn.data.scene_maps.straight_lines import StraightLines
from cn.detect.lines.scribble_augmentation import Augmentation, random_augmentation

Parameters = SoftEdges | StraightLines | LineDrawing

PARAMETERS: dict[str, type[SoftEdges] | type[StraightLines] | type[LineDrawing]] = {
    "hough": StraightLines,
    "hed": SoftEdges,
    "lineart": LineDrawing,
}
"""Kinds that are drawn from boundaries, and with what."""

DETECTED = 0.25
"""The share of their training maps that the method of `cn detect` without weights makes from the image instead."""


def random_parameters(kind: str, seed: int, number: int) -> Parameters | None:
    """The parameters of a training map; None where the map is detected in the image."""
    rng = _rng(kind, seed, number)
    return None if rng.random() < DETECTED else PARAMETERS[kind].random(rng)


def random_scribble(seed: int, number: int) -> tuple[SoftEdges, Augmentation]:
    """The soft edges of a training scribble and the paper's augmentation of them."""
    return SoftEdges.random(_rng("scribble", seed, number)), random_augmentation(seed, str(number))


def _rng(kind: str, seed: int, number: int) -> np.random.Generator:
    digest = hashlib.sha256(f"scenes:{kind}:{seed}:{number}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
