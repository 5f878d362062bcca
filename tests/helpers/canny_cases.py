"""Images and looks into folders that the tests of runs over many images share."""

from pathlib import Path

import numpy as np
from PIL import Image


def photo(seed: int = 0, height: int = 48, width: int = 64) -> np.ndarray:
    """Blobs on a slope: something with edges, different for each seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.repeat(((x + y) % 256)[..., None], 3, axis=2).astype(np.uint8)
    for _ in range(6):
        cy, cx, r = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(3, 12)
        image[(y - cy) ** 2 + (x - cx) ** 2 < r**2] = rng.integers(0, 256, 3)
    return image


def make(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(number)).save(folder / name)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
