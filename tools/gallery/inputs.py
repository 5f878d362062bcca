"""Inputs of the gallery that are drawn by code of their own: `python -m tools.gallery.inputs NAME OUT`.

Drawings with a shaky hand (PNG, dark on white), keypoints of stick figures (JSON), distances of solids (16-bit PNG,
millimeters), masks, and the captions of scenes (one a line).
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cn import images
from tools.gallery import solids, stick_figures, strokes
from tools.gallery.scenes import own_caption

SIDE = 256
MARGIN = 14
"""Pixels that a mask is larger than what it covers."""


def main(words: Sequence[str]) -> None:
    """Draw the input that `words` name: NAME OUT [more]."""
    name, out, *more = words
    MAKERS[name](Path(out), more)


def _drawing(name: str) -> Callable[[Path, list[str]], None]:
    return lambda out, _: images.write(out, strokes.drawing(strokes.DRAWINGS[name], SIDE))


def _keypoints(name: str) -> Callable[[Path, list[str]], None]:
    people = stick_figures.GROUPS[name]
    return lambda out, _: _write_text(out, json.dumps(stick_figures.record(people, SIDE)) + "\n")


def _distances(name: str) -> Callable[[Path, list[str]], None]:
    def make(out: Path, _: list[str]) -> None:
        # OpenCV writes 16 bits; `cn.images` writes 8.
        encoded = cv2.imencode(".png", solids.millimeters(solids.SCENES[name], SIDE))[1]
        out.write_bytes(encoded.tobytes())

    return make


def _tree_mask(out: Path, _: list[str]) -> None:
    """What the drawing of the tree encloses, and a margin."""
    rows, columns = np.nonzero(strokes.drawing(strokes.DRAWINGS["tree"], SIDE).min(axis=2) < 128)
    hull = cv2.convexHull(np.column_stack([columns, rows]).astype(np.int32))
    mask = cv2.fillConvexPoly(np.zeros((SIDE, SIDE), np.uint8), hull, (255,))
    images.write(out, cv2.dilate(mask, np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8)).astype(np.uint8))


def _mask_of(out: Path, more: list[str]) -> None:
    """The box around all that a map shows, on black."""
    (path,) = more
    images.write(out, _box_around(images.read(path).max(axis=2) > 0))


def _box_around(shown: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A white box around what is shown, with a margin; uint8 (h, w)."""
    rows, columns = np.nonzero(shown)
    mask = np.zeros(shown.shape, np.uint8)
    if rows.size:
        top, left = max(0, rows.min() - MARGIN), max(0, columns.min() - MARGIN)
        mask[top : rows.max() + MARGIN + 1, left : columns.max() + MARGIN + 1] = 255
    return mask


def _captions(out: Path, more: list[str]) -> None:
    (count,) = more
    _write_text(out, "".join(f"{own_caption(number)}\n" for number in range(int(count))))


def _write_text(out: Path, text: str) -> None:
    out.write_text(text, encoding="utf-8")


MAKERS: dict[str, Callable[[Path, list[str]], None]] = {
    **{name: _drawing(name) for name in strokes.DRAWINGS},
    **{name: _keypoints(name) for name in stick_figures.GROUPS},
    **{f"depth-{name}": _distances(name) for name in solids.SCENES},
    "tree-mask": _tree_mask,
    "mask-of": _mask_of,
    "captions": _captions,
}


if __name__ == "__main__":
    main(sys.argv[1:])
