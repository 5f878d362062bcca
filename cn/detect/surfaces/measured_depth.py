"""Depth that was measured or rendered: what the numbers of a file are, and which pixels have one.

Depth in files is distance (far = large), disparity (near = large, 0 = infinitely far), mist (a renderer's pass:
distance scaled to black..white), or a map whose near is white already. Numbers alone do not always say which.
"""

from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cn.detect.surfaces.diode import read_mask
from cn.detect.surfaces.settings import DEPTH, DepthIs
from cn.detect.surfaces.shares import over
from cn.errors import InputError
from cn.images import pixel_values
from cn.images.numbers import layers
from cn.images.pixel_values import Stored

BACKGROUND = 1e9
"""Distances from here on mean that there is nothing: Blender writes 1e10, others the largest float."""
_FULL_16 = 65535
_LARGEST_HALF = 65504.0
"""Largest numbers of their types, where nothing was hit or measured."""

_NAMES: dict[str, DepthIs] = {"disp": "disparity", "disparity": "disparity", "mist": "mist", "fog": "mist"}
"""Words in the name of a file or channel that say what it holds."""

_SAY = "if that is wrong, say what they are with --depth-is"
_MIN_ROWS, _SAMPLES = 16, 256
_MAX_ZEROS, _BESIDE = 0.05, 0.02
"""Of numbers that were scaled to a range: the largest fraction of zeros, and how near to its ends there are others."""
_MAX_NEGATIVE = 0.05
"""Above this fraction of negative numbers there is a warning."""


@dataclass(frozen=True)
class Depth:
    """One number per pixel, and what they are. All arrays are (h, w)."""

    values: NDArray[np.float64]
    """In the file's unit."""
    kind: DepthIs
    known: NDArray[np.bool_]
    """Where there is something whose number is known."""
    background: NDArray[np.bool_]
    """Where the file says that there is nothing: infinitely far. Neither known nor background is a hole."""
    doubt: str | None = None
    """What was guessed, or looks wrong, in words."""


class _Trend(NamedTuple):
    """How values change from the top of an image to its bottom."""

    correlation: float
    """Of the row and its mean, -1..1."""
    change: float
    """From the upper quarter's mean to the lower one's, in units of the range of values."""


def read_depth(path: str, depth_is: DepthIs | None = None, channel: str | None = None) -> Depth:
    """The depth of a file (`pixel_values.read_stored`); unknown where `NAME_depth_mask.npy` or the alpha is 0.

    Raises InputError with the path.
    """
    stored = pixel_values.read_stored(path, channel)
    mask = read_mask(path, DEPTH)
    if mask is None:
        return understood(stored, depth_is, PurePath(path).stem)
    if mask.shape != stored.values.shape:
        shapes = f"{mask.shape} is of another size than the depth {stored.values.shape}"
        raise InputError(f"its mask {shapes}", path=path)
    return understood(Stored(stored.values, stored.channel, mask != 0), depth_is, PurePath(path).stem)


def understood(stored: Stored, depth_is: DepthIs | None = None, name: str = "") -> Depth:
    """What numbers as stored in a file are: `depth_is`, or what their type, range and names say.

    Never known is what is not finite, or transparent; as distance and disparity, what is not positive; as mist, what is
    negative. Distances that are infinite, at least `BACKGROUND`, or the largest number of 16 bits, are background.
    """
    values = stored.values.astype(np.float64)
    valid = np.isfinite(values) if stored.values.dtype.kind == "f" else np.ones(values.shape, np.bool_)
    background = values >= BACKGROUND
    if stored.opaque is not None:
        valid &= stored.opaque
        background &= stored.opaque
    kind, doubt = (depth_is, None) if depth_is is not None else _guess(stored, values, valid & ~background, name)
    if kind == "distance":
        nothing = values == (_FULL_16 if stored.values.dtype.kind in "iu" else _LARGEST_HALF)
        background |= nothing if stored.opaque is None else nothing & stored.opaque
        valid &= values > 0
    elif kind == "disparity":
        valid &= (values > 0) & ~background
    elif kind == "mist":
        valid &= values >= 0
    if kind in ("disparity", "near-white"):
        background = np.zeros_like(valid)
    valid &= ~background
    if kind != "near-white" and (negative := _negative(values)):
        doubt = "; ".join(filter(None, (doubt, f"{negative}, and no {kind} is (--depth-is near-white takes them)")))
    return Depth(values, kind, valid, background, doubt)


def _negative(values: NDArray[np.float64]) -> str | None:
    """What to say of negative numbers, unless they are one number for pixels without depth (-1, -9999)."""
    negative = values[values < 0]
    if negative.size <= values.size * _MAX_NEGATIVE or negative.min() == negative.max():
        return None
    return f"{over(negative.size / values.size)} of its numbers are negative"


def _guess(
    stored: Stored, values: NDArray[np.float64], finite: NDArray[np.bool_], name: str
) -> tuple[DepthIs, str | None]:
    """What the numbers are, and what to say about it; `finite` is where there are any."""
    for word in (*layers.parts(stored.channel), *layers.parts(name)):
        kind = _NAMES.get(word.rstrip("0123456789"))
        if kind is not None:
            return kind, f"its numbers were read as {kind}, as its name says; {_SAY}"
    if not finite.any():
        return "distance", None
    scaled = _scaled(stored.values if finite.all() else stored.values[finite])
    trend = _trend(values, finite if scaled else finite & (values > 0))
    if scaled is None:
        if trend.correlation > 0.8 and trend.change > 0.4:
            return "distance", (
                "its numbers were read as distance, but are larger at the bottom, where things are usually near: if "
                "they are disparity or near-white, say so with --depth-is; if they are right, --depth-is distance"
            )
        return "distance", None
    if abs(trend.correlation) < 0.6 or abs(trend.change) < 0.2:
        return "mist", (
            f"{scaled} may be near or far: its white was read as far (mist); say what they are with --depth-is"
        )
    if trend.change > 0:
        return "near-white", (
            f"{scaled} were read as near-white, because they are larger at the bottom, where things are usually near; "
            f"{_SAY}"
        )
    return "mist", (
        f"{scaled} were read as mist (far is white), because they are smaller at the bottom, where things are usually "
        f"near; {_SAY}"
    )


def _scaled(known: NDArray[np.generic]) -> str | None:
    """What numbers are called that were scaled to a full range, so that they are no distances; None for others.

    8 bits always are. Of 16 bits and floats, both ends of the range must occur. Distances have 0 where nothing was
    measured, and the largest number where there is nothing; so both must be rare, or have others right beside them.
    """
    lowest, highest = float(known.min()), float(known.max())  # type: ignore[arg-type]
    integers = known.dtype.kind in "iub"
    if integers and highest <= 255:
        return "values of 8 bits" if lowest >= 0 and highest > 0 else None
    full = _FULL_16 if integers else 1
    if not (lowest == 0 or (lowest > 0 and not integers)) or highest != full:
        return None
    zeros, fulls = np.count_nonzero(known == 0), np.count_nonzero(known == full)
    few = max(1, known.size // 1000)
    rare = zeros <= few and (fulls <= few or not integers)
    if not rare and not (zeros <= known.size * _MAX_ZEROS and _reaches(known, full)):
        return None
    return "values that fill 16 bits" if integers else "values from 0 to 1"


def _reaches(known: NDArray[np.generic], full: float) -> bool:
    """Whether there are numbers right beside 0 and `full`, where the ends of a range that was scaled are."""
    values = np.asarray(known, np.float64)
    beside = full * _BESIDE
    return bool(((values > 0) & (values < beside)).any() and ((values < full) & (values > full - beside)).any())


def _trend(values: NDArray[np.float64], known: NDArray[np.bool_]) -> _Trend:
    # Some pixels are enough.
    steps = tuple(slice(None, None, max(1, side // _SAMPLES)) for side in values.shape)
    values, known = values[steps], known[steps]
    counts = known.sum(axis=1)
    rows = np.flatnonzero(counts)
    if len(rows) < _MIN_ROWS:
        return _Trend(0.0, 0.0)
    means = np.where(known, values, 0).sum(axis=1)[rows] / counts[rows]
    # A few outliers must not decide.
    lowest, highest = np.quantile(means, (0.02, 0.98))
    means = means.clip(lowest, highest)
    if highest <= lowest:
        return _Trend(0.0, 0.0)
    quarter = max(1, len(means) // 4)
    change = (means[-quarter:].mean() - means[:quarter].mean()) / (highest - lowest)
    return _Trend(float(np.corrcoef(rows, means)[0, 1]), float(change))
