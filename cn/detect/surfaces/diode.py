"""Files of the DIODE dataset: depth, normals and their masks."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cn.detect.surfaces.camera import Camera
from cn.detect.surfaces.settings import MASK
from cn.errors import InputError
from cn.images import pixel_values

DIODE = Camera(886.81, 927.06, 512.0, 384.0)
"""The camera of DIODE's 1024×768 crops (intrinsics.txt of its devkit)."""

TOLERANCE = 0.1
"""Vectors whose length differs from 1 by more are no unit vectors."""
MAX_WRONG = 0.05
"""Files with a larger fraction of such vectors are refused."""
NORMAL_MAPS = "normal maps of renderers and games are read with --from-normals"


def read_diode(path: Path | str, *, channels: int) -> NDArray[np.float64]:
    """One array of DIODE: `*_normal.npy` has 3 channels (h, w, 3), `*_depth.npy` and `*_depth_mask.npy` 1, as (h, w).

    Raises InputError when it is missing, damaged or of another shape, and for normals that are no floating-point
    numbers. Nothing in the file is executed.
    """
    stored = pixel_values.read_numbers(path)
    if channels == 3 and stored.ndim == 3 and stored.dtype.kind != "f":
        raise InputError(f"holds colors ({stored.dtype}), not the vectors of DIODE; {NORMAL_MAPS}", path=path)
    if channels == 1 and stored.ndim == 3 and stored.shape[2] == 1:
        stored = stored[..., 0]
    if stored.ndim != (3 if channels > 1 else 2) or (channels > 1 and stored.shape[2] != channels) or not stored.size:
        expected = f"(height, width, {channels})" if channels > 1 else "(height, width)"
        raise InputError(f"has the shape {stored.shape}; arrays of DIODE have {expected}", path=path)
    return stored.astype(np.float64)


def check_lengths(stored: NDArray[np.floating]) -> None:
    """Raise InputError unless nearly all of the normals (h, w, 3) that are known are unit vectors."""
    length = np.linalg.norm(stored, axis=-1)
    known = length[np.isfinite(length) & (length > 0)]
    wrong = np.count_nonzero(np.abs(known - 1) > TOLERANCE) / max(known.size, 1)
    if wrong > MAX_WRONG:
        raise InputError(f"{wrong:.0%} of its vectors are not of length 1, so they are no normals; {NORMAL_MAPS}")


def read_mask(path: str, ending: str) -> NDArray[np.float64] | None:
    """The mask (h, w) that belongs to the file NAME + `ending` at `path`; None without one."""
    mask = path[: -len(ending)] + MASK
    return read_diode(mask, channels=1) if path.endswith(ending) and os.path.isfile(mask) else None


def normals_from_diode(
    stored: NDArray[np.floating], mask: NDArray[np.generic] | None = None, camera: Camera = DIODE
) -> NDArray[np.float64]:
    """DIODE's `*_normal.npy` (h, w, 3) as camera-space unit normals (h, w, 3), for `encoding.normals_to_map`.

    The file holds right (x), up (y) and towards the viewer (z), the convention of Metric3D's diode_dataset.py. Some of
    its normals point into the surface. A visible surface faces the camera, so these are flipped. Invalid pixels become
    (0, 0, 0): those that are (0, 0, 0) or not finite in the file, or 0 in `mask` (h, w).
    Raises InputError when the mask has another size.
    """
    normals = np.asarray(stored, np.float64)
    length = np.linalg.norm(normals, axis=-1)
    valid = np.isfinite(length) & (length > 0)
    if mask is not None:
        if mask.shape != valid.shape:
            raise InputError(f"the mask {mask.shape} and the normals {valid.shape} are of different sizes")
        valid &= np.asarray(mask) != 0
    unit = np.divide(normals, length[..., None], out=np.zeros_like(normals), where=valid[..., None])
    away = (unit * camera.rays(*valid.shape)).sum(axis=-1) > 0
    return np.where(away[..., None], -unit, unit)
