"""Numbers and points in the JSON of others. Errors are InputError without a path, and name the field."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn.errors import InputError
from cn.images import MAX_PIXELS
from cn.text import shown


def kind_of(value: Any) -> str:
    """What a value of JSON is, for messages."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def number(value: Any, field: str) -> float:
    """A finite number; NaN for null and NaN, which stand for what was not found."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{field} is {kind_of(value)}, not a number")
    try:
        converted = float(value)
    except OverflowError:
        converted = math.inf
    if math.isinf(converted):
        raise InputError(f"{field} is not a finite number")
    return converted


def listed(value: Any, field: str) -> list[Any]:
    """A list, or an empty one for null."""
    if not isinstance(value, list | None):
        raise InputError(f"{field} is {kind_of(value)}, not a list")
    return value or []


def flat_points(value: Any, field: str, sizes: Sequence[int]) -> NDArray[np.float64] | None:
    """Points (n, 3) of x, y, score, x, y, score, …, n being one of `sizes`; None for null and empty lists."""
    values = listed(value, field)
    if not values:
        return None
    if len(values) not in [3 * size for size in sizes]:
        known = f"{sizes[0]} to {sizes[-1]}" if isinstance(sizes, range) else " or ".join(map(str, sizes))
        raise InputError(f"{field} has {len(values)} numbers, where x, y and score of {known} points are needed")
    return np.array([number(one, f"{field}[{k}]") for k, one in enumerate(values)]).reshape(-1, 3)


def pair_points(value: Any, field: str, scores: Any = None) -> NDArray[np.float64]:
    """Points (n, 3) of a list of [x, y] or [x, y, score], null for a point that was not found.

    `scores` is a list of n numbers; without them and without a third number, the score of a point is 1.
    """
    points = np.full((len(listed(value, field)), 3), np.nan)
    for k, pair in enumerate(listed(value, field)):
        if pair is None:
            continue
        if not isinstance(pair, list) or len(pair) not in (2, 3):
            raise InputError(f"{field}[{k}] is {kind_of(pair)}, where x and y are needed")
        points[k, : len(pair)] = [number(one, f"{field}[{k}]") for one in pair]
        points[k, 2] = points[k, 2] if len(pair) == 3 else 1.0
    if scores is not None:
        given = [
            number(one, f"the score of {field}[{k}]") for k, one in enumerate(listed(scores, f"scores of {field}"))
        ]
        if len(given) != len(points):
            raise InputError(f"{field} has {len(points)} points and {len(given)} scores")
        points[:, 2] = np.where(np.isnan(points[:, 0]), np.nan, given)
    return points


def image_size(height: Any, width: Any, fields: tuple[str, str]) -> tuple[int, int]:
    """(height, width) in whole pixels of values called `fields`."""
    sides = []
    for value, field in zip((height, width), fields, strict=True):
        side = number(value, field) if value is not None else None
        if side is None:
            raise InputError(f"{field} is null, not a number")
        if not side >= 1 or side != int(side):
            raise InputError(f"{field} is {shown(value)}, where a number of pixels is needed")
        sides.append(int(side))
    return check_size(sides[0], sides[1])


def check_size(height: int, width: int) -> tuple[int, int]:
    """The size, unless it has more pixels than an image may have."""
    if height * width > MAX_PIXELS:
        raise InputError(f"canvas of {width}×{height} pixels is too large (at most {MAX_PIXELS // 10**6} million)")
    return height, width
