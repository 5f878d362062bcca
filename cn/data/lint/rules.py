"""The rules of `cn dataset lint`: their names, what each finds, and whether `--fix` repairs it. No NumPy, no Pillow."""

from dataclasses import dataclass
from typing import Literal

Repair = Literal["drop", "invert", "swap", "snap", "strip"]
"""What `--fix` does: leaves the line out; inverts the map; swaps its red and blue; snaps its colors to the palette and
stores it as PNG; strips the caption's white space."""


@dataclass(frozen=True)
class Rule:
    """One rule. `about` is its line in the table of `cn dataset lint --list-rules`."""

    name: str
    about: str
    repair: Repair | None = None


_RULES = (
    Rule("broken-line", "a line of prompt.json that is no JSON object with source and target", "drop"),
    Rule("missing", "a map or image that is not there", "drop"),
    Rule("broken", "a file that cannot be decoded to its end", "drop"),
    Rule("same-file", "source and target are the same file, or have the same bytes", "drop"),
    Rule("case-clash", "names that differ in case or Unicode form only: one file on Windows and macOS"),
    Rule("frame", "map and image of different aspect ratios"),
    Rule("size", "map and image of the same aspect ratio, but of different sizes"),
    Rule("exif-rotation", "an image turned by its EXIF orientation, with a map that is not"),
    Rule("misregistered", "a map that is shifted against its image, or belongs to another one"),
    Rule("mirrored", "a map that fits its image once it is mirrored; a skeleton with left and right exchanged"),
    Rule("turned", "a map that fits its image once it is turned"),
    Rule("blank", "a map of one color"),
    Rule("dark", "a map that is nearly black"),
    Rule("near-empty", "a map with next to nothing in it"),
    Rule("inverted", "dark lines on white, skeletons on white", "invert"),
    Rule("inverted-depth", "a depth map in which far is white"),
    Rule("truncated-16-bit", "16 bits cut to their low or high byte, or clipped at 255"),
    Rule("reversed-channels", "red and blue exchanged in skeletons, normals or class colors", "swap"),
    Rule("smeared-colors", "class colors or skeletons smeared by JPEG or an interpolation", "snap"),
    Rule("no-palette", "colors that are not in the palette of the kind"),
    Rule("off-palette", "some pixels of a label map in colors that are no class", "snap"),
    Rule("photograph", "a photograph in place of a map"),
    Rule("other-kind", "a map of another kind than stated"),
    Rule("not-unit-length", "normals that are no unit vectors"),
    Rule("world-space", "normals that are not in camera space"),
    Rule("flipped-green", "normals whose y points down (DirectX)"),
    Rule("blank-image", "an image of one color"),
    Rule("too-small", "an image far smaller than the training size"),
    Rule("image-format", "an image in CMYK, with 16 bits or with transparency, which tools read differently"),
    Rule("duplicate", "the same image twice", "drop"),
    Rule("near-duplicate", "nearly the same image twice: resized, recompressed, slightly edited"),
    Rule("leak", "an image that is in the dataset of --against, too"),
    Rule("empty-caption", "no caption"),
    Rule("caption-spaces", "white space at the ends of a caption, or line breaks in it", "strip"),
    Rule("repeated-caption", "one caption for many images"),
    Rule("template-caption", "the same beginning in most captions"),
    Rule("long-caption", "a caption of more than 75 tokens, whose end is ignored"),
)

RULES = {rule.name: rule for rule in _RULES}
