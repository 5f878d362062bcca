"""Rules for maps that say something by their colors: classes (ade20k, coco) and skeletons (openpose, openpifpaf)."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from cn.detect.checks.facts import MapFacts
from cn.detect.checks.lines import photograph
from cn.detect.checks.statistics import Statistics, share
from cn.detect.checks.warning import MapWarning
from cn.detect.pose.skeleton import COLORS, LIMB_OPACITY
from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF

LABELS = frozenset({"ade20k", "coco"})
POSES = frozenset({"openpose", "openpifpaf"})

SMEARED = 6
"""How far JPEG moves the channels of a flat color."""


STRAY = 24
"""How far resizing moves the channels of most of a skeleton's pixels."""


@cache
def _skeleton_colors() -> NDArray[np.int32]:
    """Those of joints, and of limbs, which are darker: (36, 3)."""
    joints = np.array(COLORS)
    return np.concatenate([joints, (joints * LIMB_OPACITY).astype(int)]).astype(np.int32)


@cache
def _palette(kind: str) -> NDArray[np.int32]:
    """The colors of a kind's classes, as 24-bit numbers, with that of no class."""
    palette = ADE20K if kind == "ade20k" else COCO_STUFF
    return np.unique([_code(color) for color in (palette.void, *map(tuple, palette.colors.tolist()))]).astype(np.int32)


def _code(color: tuple[int, int, int]) -> int:
    return color[0] << 16 | color[1] << 8 | color[2]


def exact_share(kind: str, map: Statistics) -> float:
    """The share of pixels in exactly a color of the kind's palette."""
    return _share_in(map.codes, _palette(kind))


def lit_share(kind: str, map: Statistics) -> float:
    """`exact_share` of the pixels that are not black; 1 where all are."""
    lit = map.codes[map.codes != 0]
    return _share_in(lit, _palette(kind)) if len(lit) else 1.0


def are_labels(kind: str, map: Statistics) -> bool:
    """Whether these are colors of the kind's palette, and more than a flag or a logo has by chance.

    Full red, blue and the like are in the palettes too, but say nothing.
    """
    if exact_share(kind, map) <= 0.98:
        return False
    codes, counts = np.unique(map.codes, return_counts=True)
    parts = np.stack([codes >> 16, codes >> 8 & 255, codes & 255])
    telling = ((parts != 0) & (parts != 255)).any(axis=0) & (counts > 0.005 * counts.sum())
    return int(telling.sum()) >= 2


def _share_in(codes: NDArray[np.int32], palette: NDArray[np.int32]) -> float:
    """The share of colors that are in a sorted palette (np.isin sorts both, again each time)."""
    return share(palette[np.searchsorted(palette, codes).clip(max=len(palette) - 1)] == codes)


def check_labels(kind: str, map: Statistics, facts: MapFacts) -> MapWarning | None:
    """Pixels in no color of the palette: smeared by JPEG or an interpolation, of another palette, or no labels."""
    if exact_share(kind, map) >= 0.9:
        return None
    reversed_codes = (map.codes & 255) << 16 | (map.codes & 0xFF00) | map.codes >> 16
    if _share_in(reversed_codes, _palette(kind)) >= 0.98:
        return MapWarning("reversed channels", f"has the colors of {kind} with red and blue swapped; swap them back")
    codes, counts = np.unique(map.codes, return_counts=True)
    if (map.chroma <= 2).all():
        return MapWarning(
            "no palette",
            f"is gray, but {kind} maps have the colors of the classes; if the gray levels are class numbers: "
            f"cn detect {kind} --from-labels ids",
        )
    most = np.argsort(-counts, kind="stable")[:512]
    parts = np.stack([codes[most] >> 16, codes[most] >> 8 & 255, codes[most] & 255], axis=1)
    palette = _palette(kind)
    colors = np.stack([palette >> 16, palette >> 8 & 255, palette & 255], axis=1)
    near = _nearest(parts, colors) <= SMEARED
    if counts[most][near].sum() >= 0.5 * counts.sum():
        how = f"{facts.lossy} has" if facts.lossy else "JPEG or a smooth resizing has"
        return MapWarning(
            "smeared colors",
            f"{how} smeared its colors, which name the classes; repair it: cn detect {kind} --from-labels colors, and "
            "keep maps as PNG",
        )
    if len(codes) > 400 and counts.max() < 0.5 * counts.sum():
        return photograph(kind)
    return MapWarning(
        "no palette",
        f"has mostly colors that are not in the palette of {kind}; see cn detect palette, or detect the map: "
        f"cn detect {kind}",
    )


def _nearest(some: NDArray[np.int32], others: NDArray[np.int32]) -> NDArray[np.int32]:
    """The distance, the largest of the three channels, of each color (n, 3) to the nearest of the others (m, 3)."""
    apart = [np.abs(some[:, None, channel] - others[None, :, channel]) for channel in range(3)]
    return np.asarray(np.maximum(np.maximum(apart[0], apart[1]), apart[2]).min(axis=1))


def check_pose(kind: str, map: Statistics, facts: MapFacts) -> MapWarning | None:
    """No colors; a ground that is not black: white, or a photograph."""
    if map.black >= 0.3 and map.middle > 0.1 and (map.chroma <= 2).all():
        # White dots alone are a face.
        return MapWarning("other kind", f"is gray, but {kind} maps are {_SKELETONS}")
    if map.black >= 0.5:
        return _check_smeared_pose(kind, map, facts)
    if share(map.darkest >= 232) >= 0.5 and map.white_border >= 0.6:
        return MapWarning(
            "inverted", f"has a white ground, but {kind} maps are {_SKELETONS}; make the ground black, keep the colors"
        )
    if map.black < 0.3:
        return photograph(kind)
    return None


_SKELETONS = "colored skeletons on black"


def _check_smeared_pose(kind: str, map: Statistics, facts: MapFacts) -> MapWarning | None:
    # JPEG surrounds the skeletons with pixels that are almost black.
    if facts.lossy is None or share((map.gray > 0) & (map.gray < 16)) < 0.25 * share(map.gray >= 16):
        return None
    return MapWarning(
        "smeared colors", f"{facts.lossy} has smeared the colors of its skeletons; keep {kind} maps as PNG"
    )


def are_skeletons(map: Statistics) -> bool:
    """Whether these are thin strokes in several pure hues on black."""
    lit = map.gray >= 48
    amount = share(lit)
    if map.black < 0.7 or not 0.001 < amount < 0.3:
        return False
    pure = map.chroma[lit] >= 0.8 * map.gray[lit]
    if share(pure) < 0.8:
        return False
    pixels = map.sample[lit][pure]
    # Fireworks and neon lights are in any hue.
    some = pixels[:: 1 + len(pixels) // 2000].astype(np.int32)
    if share(_nearest(some, _skeleton_colors()) <= STRAY) < 0.5:
        return False
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    # Which channels are bright, in thirds: one number per group of similar hues.
    thirds = (3 * (pixels - low[:, None]) // (high - low + 1)[:, None]) @ np.array([9, 3, 1])
    return int((np.bincount(thirds, minlength=27) > 0.01 * len(pixels)).sum()) >= 6
