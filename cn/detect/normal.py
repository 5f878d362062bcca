"""Normal maps (`normal`): from a network's inverse depth, as published, or from the ground truth of DIODE.

Maps are uint8 (h, w, 3) RGB: red for surfaces that face left, green for up, blue for the viewer; (127, 127, 255) is
flat. That is how people store and expect them, and how `cn` writes them. The released v1.0 normal ControlNet was
trained on the channels the other way round (BGR in): whoever feeds it reverses them first, with `reversed_channels`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cn.detect.depth import Preparation, inverse_depth, settle
from cn.detect.depthmap import unit_range
from cn.detect.geometry import Camera
from cn.errors import InputError, UsageError
from cn.files import reason
from cn.resizing import resize

if TYPE_CHECKING:
    from cn.detect.nets.midas_blocks import DepthNetwork

STRENGTH = 2 * math.pi
BACKGROUND = 0.1
APP_BACKGROUND = 0.4
"""What the app of the released normal ControlNet sets, where the annotator itself has `BACKGROUND`."""

DIODE = Camera(886.81, 927.06, 512.0, 384.0)
"""The camera of DIODE's 1024×768 crops (intrinsics.txt of its devkit)."""


def normal_from_depth(
    inverse: NDArray[np.floating],
    size: tuple[int, int] | None = None,
    *,
    strength: float = STRENGTH,
    background: float = BACKGROUND,
) -> NDArray[np.uint8]:
    """The normal map, uint8 `size` = (h, w) × 3 RGB, of a network's inverse depth (h', w'), as published.

    The normal is (∂/∂x, ∂/∂y, `strength`) by 3×3 Sobel filters, scaled to length 1 (annotator/midas). These are no
    true normals: they depend on the network's unit of depth and on the size it works at, so a larger `strength` gives
    flatter maps and each network wants its own; 2π was chosen for DPT-hybrid at a short side of 384. They are made at
    that size, then brought to `size`. What is farther than the share `background` of the range, 0..1, is flat.
    Raises UsageError unless `strength` is positive.
    """
    import cv2

    if not strength > 0:
        raise UsageError(f"the strength of normals is {strength}; it must be more than 0")

    depth = np.ascontiguousarray(settle(inverse), np.float32)
    x = np.asarray(cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3))
    y = np.asarray(cv2.Sobel(depth, cv2.CV_32F, 0, 1, ksize=3))
    far = unit_range(depth) < background
    x[far] = 0
    y[far] = 0
    normal = np.stack([x, y, np.full_like(x, strength)], axis=2)
    unit = normal / np.sqrt(np.sum(normal**2, axis=2, keepdims=True))
    colours = (unit * 127.5 + 127.5).clip(0, 255).astype(np.uint8)
    return resize(colours, size) if size else colours


def normal_maps(
    network: "DepthNetwork",
    images: Sequence[NDArray[np.uint8]],
    prepare: Preparation | None = None,
    *,
    batch: int = 1,
    strength: float = STRENGTH,
    background: float = BACKGROUND,
) -> list[NDArray[np.uint8]]:
    """The normal map of each picture (h, w, 3) RGB, uint8 of its size: `inverse_depth`, then `normal_from_depth`."""
    found = inverse_depth(network, images, prepare, batch=batch)
    return [
        normal_from_depth(inverse, image.shape[:2], strength=strength, background=background)
        for inverse, image in zip(found, images, strict=True)
    ]


def reversed_channels(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A map (h, w, 3) in the channel order that the released v1.0 normal ControlNet was trained on: RGB ↔ BGR."""
    return np.ascontiguousarray(colours[..., ::-1])


def read_diode(path: Path | str, *, channels: int) -> NDArray[np.float64]:
    """One array of DIODE: `*_normal.npy` has 3 channels (h, w, 3), `*_depth.npy` and `*_depth_mask.npy` 1, as (h, w).

    Raises InputError when it is missing, damaged or of another shape. Nothing in the file is run.
    """
    try:
        with open(path, "rb") as file:
            stored = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    except (ValueError, EOFError, MemoryError) as error:
        raise InputError(f"{path}: is no NumPy array of numbers, or is cut off") from error
    if stored.dtype.kind not in "fiub":
        raise InputError(f"{path}: holds {stored.dtype}, where DIODE has numbers")
    if channels == 1 and stored.ndim == 3 and stored.shape[2] == 1:
        stored = stored[..., 0]
    if stored.ndim != (3 if channels > 1 else 2) or (channels > 1 and stored.shape[2] != channels) or not stored.size:
        wanted = f"(height, width, {channels})" if channels > 1 else "(height, width)"
        raise InputError(f"{path}: has the shape {stored.shape}; DIODE's have {wanted}")
    return stored.astype(np.float64)


def normals_from_diode(
    stored: NDArray[np.floating], mask: NDArray[np.generic] | None = None, camera: Camera = DIODE
) -> NDArray[np.float64]:
    """DIODE's `*_normal.npy` (h, w, 3) as camera-space unit normals (h, w, 3), for `cn.detect.depthmap.normals_to_map`.

    The file holds right (x), up (y) and towards the viewer (z), as its users read it (Metric3D's diode_dataset.py).
    Some of its normals point into the surface: what is seen faces the camera, so these are turned round. Invalid
    pixels, (0, 0, 0) or not finite in the file, or 0 in `mask` (h, w), become (0, 0, 0).
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
