"""The settings of the detectors, each option declared once: name, type, default, bounds, help. No NumPy, no Typer.

A detector is a dataclass that inherits its settings from here, and adds the network that computes its maps. `cn detect`
makes its options from the same declarations (`cn.options`), so that a new option is one line here.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from cn.images.formats import SUFFIXES
from cn.options import Option

METHOD_PANEL = "Method"
CANNY_PANEL, LINES_PANEL, SOFT_PANEL, SCRIBBLE_PANEL = "Canny", "Lines", "Soft edges", "Scribble"
POSE_PANEL, SEGMENTATION_PANEL, NORMALS_PANEL = "Pose", "Segmentation", "Normals"

MLSD_LENGTH, LSD_LENGTH = 0.1, 0.06
"""The default of `HoughSettings.length` for each method, in its unit."""

OPENPOSE_SCALES = (0.5,)
"""The default heights, in units of 368 pixels, to which OpenPose resizes an image; as released."""

JSON_SUFFIXES, YOLO_SUFFIXES = frozenset({".json", ".jsonl"}), frozenset({".txt"})
"""The suffixes of files of poses."""


def label_suffixes(layout: str) -> frozenset[str]:
    """The suffixes of label files of a layout (lower case)."""
    return SUFFIXES if layout == "colors" else frozenset({".png", ".npy"})


Preprocessing = Literal["released", "midas"]
InvalidColor = Literal["flat", "gray", "black"]
Style = Literal["released", "v1.1"]


def _style(word: str) -> str:
    """Also accepts v11 on the command line, which cn 0.1 had."""
    return "v1.1" if word == "v11" else word


@dataclass(frozen=True)
class CannySettings:
    """The defaults are the released ones."""

    low: Annotated[float, Option("An edge continues down to this gradient.", panel=CANNY_PANEL, min=0, max=10_000)] = (
        100.0
    )
    high: Annotated[float, Option("An edge starts above this gradient.", panel=CANNY_PANEL, min=0, max=10_000)] = 200.0
    random: Annotated[
        bool,
        Option(
            "Different thresholds for every file, as in the paper's training data: low 50–150, high low + 50–300. "
            "They depend only on --seed and on the file's path relative to SRC.",
            panel=CANNY_PANEL,
            flags=("--random-thresholds",),
        ),
    ] = False
    seed: Annotated[int, Option("For --random-thresholds.", panel=CANNY_PANEL, min=0)] = 0


@dataclass(frozen=True)
class HoughSettings:
    score: Annotated[float, Option("mlsd: minimum confidence of a line.", panel=LINES_PANEL, min=0, max=1)] = 0.1
    length: Annotated[
        float | None,
        Option(
            "Minimum length of a line. mlsd: in pixels of its map, which has half of the image's size; lsd: as a "
            "fraction of the shorter side.",
            panel=LINES_PANEL,
            min=0,
            max=100_000,
            default=f"{MLSD_LENGTH} for mlsd, {LSD_LENGTH} for lsd",
        ),
    ] = None


@dataclass(frozen=True)
class HedSettings:
    safe: Annotated[
        bool,
        Option(
            "Three gray levels only, as ControlNet 1.1's safe preprocessors: no faint traces of the image.",
            panel=SOFT_PANEL,
        ),
    ] = False


@dataclass(frozen=True)
class ScribbleSettings:
    random: Annotated[
        bool,
        Option(
            "The paper's augmentations, different ones for every file: thresholds, dropped strokes, morphology, "
            "non-maximum suppression. They depend only on --seed and on the file's path relative to SRC.",
            panel=SCRIBBLE_PANEL,
        ),
    ] = False
    seed: Annotated[int, Option("For --random.", panel=SCRIBBLE_PANEL, min=0)] = 0


@dataclass(frozen=True)
class LineartSettings:
    invert: Annotated[bool, Option("Dark lines on white, as in a drawing.", panel=LINES_PANEL)] = False


@dataclass(frozen=True)
class DepthSettings:
    preprocessing: Annotated[
        Preprocessing | None,
        Option(
            "How images are resized for the network: as in the apps of the released ControlNets (short side 384, "
            "multiples of 64) or as in MiDaS itself.",
            panel=METHOD_PANEL,
            flags=("--prepare",),
            default="released for dpt-hybrid, midas for midas-small",
        ),
    ] = None


@dataclass(frozen=True)
class BgrSettings:
    bgr: Annotated[
        bool,
        Option(
            "Channels in reverse order (blue left, red towards the viewer), as the released v1.0 control was trained.",
            panel=NORMALS_PANEL,
        ),
    ] = False


@dataclass(frozen=True)
class NormalSettings(DepthSettings, BgrSettings):
    """The defaults are those of the released annotator."""

    strength: Annotated[
        float,
        Option(
            "For normals of a network: their component towards the viewer; larger is flatter.",
            panel=NORMALS_PANEL,
            min=0.001,
            max=10_000,
            default="2π, as published for dpt-hybrid",
        ),
    ] = 2 * math.pi
    background: Annotated[
        float,
        Option(
            "For normals of a network: what is farther than this fraction of the range of depths is flat. The app of "
            "the released control has 0.4.",
            panel=NORMALS_PANEL,
            min=0,
            max=1,
        ),
    ] = 0.1


@dataclass(frozen=True)
class InvalidSettings:
    invalid: Annotated[
        InvalidColor,
        Option(
            "For normals from files: the color of unknown pixels, (127, 127, 255), (127, 127, 127) or (0, 0, 0).",
            panel=NORMALS_PANEL,
        ),
    ] = "flat"


@dataclass(frozen=True)
class PeopleSettings:
    min_keypoints: Annotated[
        float,
        Option(
            "An image counts as empty ([b]--on-empty[/b]) unless at least one person shows this fraction of the "
            "keypoints. The default is the paper's rule.",
            panel=POSE_PANEL,
            metavar="FRACTION",
            min=0,
            max=1,
        ),
    ] = 0.3


@dataclass(frozen=True)
class BodySettings(PeopleSettings):
    style: Annotated[
        Style,
        Option(
            "How skeletons are drawn: as the released 1.0 control was trained, or as those of 1.1 and later.",
            panel=POSE_PANEL,
            metavar="[released|v1.1]",
            parse=_style,
            completions=("released", "v1.1"),
        ),
    ] = "released"


@dataclass(frozen=True)
class PifPafSettings(PeopleSettings):
    long_edge: Annotated[
        int | None,
        Option(
            "Resize the longer side to this for the network, which was trained with 513.",
            panel=POSE_PANEL,
            metavar="PIXELS",
            min=33,
            max=8192,
            default="the image's own size, but at most 2048",
        ),
    ] = None
    style: Annotated[
        Literal["pifpaf", "released", "v1.1"],
        Option(
            "How skeletons are drawn: 17 joints as OpenPifPaf does, or 18 as for [b]openpose[/b].",
            panel=POSE_PANEL,
            metavar="[pifpaf|released|v1.1]",
            parse=_style,
            completions=("pifpaf", "released", "v1.1"),
        ),
    ] = "pifpaf"


@dataclass(frozen=True)
class PoseFileSettings:
    min_score: Annotated[
        float | None,
        Option(
            "For --from-json: points with a lower score are left out.",
            panel=METHOD_PANEL,
            metavar="SCORE",
            min=0,
            max=1,
            default="that below which the tool that wrote the file does not draw (OpenPose 0.05, hands 0.2, faces 0.4; "
            "Ultralytics 0.25; MMPose 0.3; AlphaPose 0.4), none for other files",
        ),
    ] = None
    images: Annotated[
        str | None,
        Option(
            "For --from-json and --from-yolo: the images that the poses are of, for files that do not have their "
            "sizes; found by their names, in sub-folders too.",
            panel=METHOD_PANEL,
            metavar="FOLDER",
        ),
    ] = None
    image_id: Annotated[
        str | None,
        Option(
            "For --from-json: draw only the image of a file that has this id or name (COCO, AlphaPose).",
            panel=METHOD_PANEL,
            metavar="ID",
            default="all, a map for each",
        ),
    ] = None


@dataclass(frozen=True)
class Ade20kSettings:
    swapped_channels: Annotated[
        bool,
        Option("Give the network red and blue swapped, as the released annotator does.", panel=SEGMENTATION_PANEL),
    ] = False


@dataclass(frozen=True)
class CocoSettings:
    multi_scale: Annotated[
        bool,
        Option(
            "Use three scales, as the network's authors evaluate it; nearly twice as slow.", panel=SEGMENTATION_PANEL
        ),
    ] = False
