"""Rules for maps of surfaces: depth and normals."""

import numpy as np

from cn.detect.checks.statistics import Statistics, share
from cn.detect.checks.warning import MapWarning

MIN_NORMALS = 100
"""Fewer vectors than this say nothing."""
MIN_HEIGHT = 32
"""Rows that a map must have to show a sky over a ground."""


def check_depth(kind: str, map: Statistics) -> MapWarning | None:
    """Colors in a depth map; or a sky that is the nearest, above a ground that is far.

    Without a sky nothing is said: a ceiling, a face close to the camera or a tunnel may have any gradient.
    """
    if map.colored > 0.1:
        return MapWarning(
            "photograph",
            "has colors, but depth maps are gray; of a photograph, detect the map: cn detect depth, or cn sample "
            "--detect depth; a depth map in false colors has to be exported in gray",
        )
    if _sky_is_near(map):
        return MapWarning(
            "inverted depth",
            "looks inverted: the sky is nearer (whiter) than the ground; in depth maps near is white: invert it "
            "(cn sample: --invert)",
        )
    return None


def _sky_is_near(map: Statistics) -> bool:
    """A flat white sky over nearly the whole width, and ground that darkens all the way down to the darkest rows."""
    height = map.gray.shape[0]
    if height < MIN_HEIGHT:
        return False
    rows = map.gray.mean(axis=1)
    top = map.gray[: height // 8]
    if share(top >= 250) < 0.85 or float(np.median(top)) < float(map.gray.max()):
        return False
    below = rows[np.argmax(rows < 245) :]
    bottom = float(rows[-max(1, height // 50) :].mean())
    if bottom > 128 or bottom > rows.min() + 64 or len(below) < height // 4:
        return False
    # Spearman's rank correlation: inverse depth falls steeply, distance slowly.
    return float(np.corrcoef(np.arange(len(below)), below.argsort().argsort())[0, 1]) < -0.6


def check_normals(kind: str, map: Statistics) -> MapWarning | None:
    """Vectors that are not of unit length; that face away from the viewer; with y downwards."""
    n = map.normals
    if len(n) < MIN_NORMALS:
        return None
    if map.unit_length < 0.6:
        if map.colored < 0.1:
            return MapWarning(
                "not unit length",
                "is gray, but normal maps hold unit vectors as colors; a depth map becomes normals with cn detect "
                "normal --from-depth",
            )
        return MapWarning(
            "not unit length",
            "its colors are not unit vectors, as those of normal maps are; of a photograph, detect the map: "
            "cn detect normal, or cn sample --detect normal",
        )
    towards = [share(n[:, channel] > -0.1) for channel in range(3)]
    if towards[2] < 0.8:
        if towards[0] > 0.97:
            return MapWarning(
                "reversed channels",
                "its red channel is towards the viewer: right for the released v1.0 control alone; for others, swap "
                "red and blue",
            )
        return MapWarning(
            "world space",
            "its normals point away from the viewer: they may be those of world space; normal maps are in camera "
            "space: red left, green up, blue towards the viewer",
        )
    return _check_green(map)


def _check_green(map: Statistics) -> MapWarning | None:
    """A floor that is seen from below, where nothing is seen from above: y points down (DirectX)."""
    green = np.where(map.known, map.channels[1] / 127.5 - 1, 0)
    third = max(1, len(green) // 3)
    below = share(green[-third:] < -0.5)
    # A ceiling, seen by a camera that looks up, faces down as well, but is above.
    if below > 0.25 and share(green[:third] < -0.5) < 0.5 * below and share(green > 0.4) < 0.02:
        return MapWarning(
            "flipped green",
            "its floor faces down: y points down, as in DirectX; flip the green channel",
        )
    return None
