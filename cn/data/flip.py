"""Mirroring a pair: the image, and its map so that it is the map of the mirrored image.

Most maps are mirrored as they are. The x component of normals changes its sign, and poses exchange the colors of left
and right: a right arm in the image is a left arm in the mirror.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cn.conditions import ConditionInfo
from cn.data.examples import Example

Map = NDArray[np.uint8]


def mirror(example: Example, kind: str) -> Example:
    """A pair, whose map is of this kind, in the mirror. What is written in the image is mirrored, too."""
    flipped = mirror_map(example.condition, kind, example.info)
    return replace(example, target=np.ascontiguousarray(example.target[:, ::-1]), condition=flipped)


def mirror_map(condition: Map, kind: str, info: ConditionInfo | None = None) -> Map:
    """The map (h, w, 3) of the mirrored image; `info` is what the map's file states about it."""
    flipped = np.ascontiguousarray(condition[:, ::-1])
    if kind in ("openpose", "openpifpaf"):
        # Not before it is needed: it loads OpenCV.
        from cn.data.flip_poses import exchange_sides

        return exchange_sides(flipped, kind)
    return negate_x(flipped, _channel_of_x(flipped, info)) if kind == "normal" else flipped


def negate_x(normals: Map, channel: int) -> Map:
    """Normals (h, w, 3) with the other sign in one channel; black pixels have none.

    A value v stands for n in [(v - 127.5) / 127.5, (v - 126.5) / 127.5), because maps are truncated (`normals_to_map`):
    of -n, that is 254 - v. So the color of a surface that faces the viewer, (127, 127, 255), stays what it is.
    """
    made = normals.copy()
    made[..., channel] = np.where(normals.any(axis=-1), np.maximum(254 - normals[..., channel].astype(np.int16), 0), 0)
    return made


def _channel_of_x(normals: Map, info: ConditionInfo | None) -> int:
    """Red, or blue in the order of the released control (BGR): as the file states it, or as the values show.

    What is seen faces the viewer, so that of red and blue the brighter one is the component towards the viewer.
    """
    if info is not None and isinstance(info.params.get("bgr"), bool):
        return 2 if info.params["bgr"] else 0
    red, _, blue = normals.reshape(-1, 3).mean(axis=0)
    return 2 if red > blue else 0
