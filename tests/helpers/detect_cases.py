"""Images, weights and helpers for the tests of `cn detect`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cn import images
from cn.conditions import ConditionInfo
from cn.detect import registry
from tests.golden.make_detectors_edges import REAL_WEIGHTS

MLSD, TIN = REAL_WEIGHTS / "mlsd_tiny_512_fp32.pth", REAL_WEIGHTS / "TIN2.pth"
needs_real = pytest.mark.skipif(not (MLSD.is_file() and TIN.is_file()), reason=f"{REAL_WEIGHTS} is not here")

FAMILIES = tuple(dict.fromkeys(row.family for row in registry.METHODS))
"""All families of networks, in the registry's order."""

WEIGHT_FREE = {
    "hough": ("hough", "--method", "lsd"),
    "hed": ("hed", "--method", "gradient"),
    "scribble": ("scribble", "--method", "gradient"),
    "random scribble": ("scribble", "--method", "gradient", "--random", "--seed", "7"),
    "drawing": ("scribble", "--from-drawing"),
    "lineart": ("lineart", "--method", "standard"),
    "dark lineart": ("lineart", "--method", "standard", "--invert"),
}


def house(seed: int = 0, height: int = 96, width: int = 130) -> np.ndarray:
    """A dark block with a bright window in front of a bright sky: straight lines, surfaces, mostly bright."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), (190, 210, 240), np.uint8)
    top, left = (int(rng.integers(20, 30)) for _ in range(2))
    image[top:, left : left + 50] = (90, 60, 50)
    image[top + 15 : top + 35, left + 15 : left + 35] = (250, 240, 200)
    return image


def photographs(folder: Path, count: int = 3) -> Path:
    (folder / "sub").mkdir(parents=True)
    for number in range(count):
        Image.fromarray(house(number)).save(folder / ("sub" if number == 1 else "") / f"{number}.png")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def info_of(path: Path) -> ConditionInfo:
    info = ConditionInfo.from_text(images.read_info(path))
    assert info is not None
    return info


def the_map(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch, as for each of several images."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def soft_lines(rows=(20, 60, 100, 140), size=(160, 200)):
    """Soft horizontal edges."""
    distance = np.abs(np.arange(size[0])[:, None] - np.array(rows)).min(axis=1)
    return np.repeat((255 * np.exp(-((distance / 4.0) ** 2))).astype(np.uint8)[:, None], size[1], axis=1)
