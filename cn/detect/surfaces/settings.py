"""The settings of the detectors that read depth and normals from files, as `cn.detect.settings`. No NumPy, no Typer."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cn.images.formats import MEASURED_SUFFIXES, SUFFIXES
from cn.options import Option

MEASURED_PANEL = "Measured or rendered"

DepthIs = Literal["distance", "disparity", "mist", "near-white"]
NormalsAre = Literal["opengl", "directx", "camera"]

NORMALS, DEPTH, MASK = "_normal.npy", "_depth.npy", "_depth_mask.npy"
"""Endings of the files of DIODE that belong to an image NAME.png."""

DEPTH_SUFFIXES = MEASURED_SUFFIXES | {DEPTH}
NORMAL_MAP_SUFFIXES = SUFFIXES | MEASURED_SUFFIXES
DIODE_SUFFIXES = frozenset({NORMALS})
"""The suffixes of the files that each way of reading takes from a folder."""


@dataclass(frozen=True)
class ChannelSettings:
    channel: Annotated[
        str | None,
        Option(
            "Of an OpenEXR file: the channel with the depth ([b]ViewLayer.Depth.Z[/b]), or what the channels of the "
            "normals begin with ([b]ViewLayer.Normal[/b]). Of an .npz: the array.",
            panel=MEASURED_PANEL,
            metavar="NAME",
            default="the one that must be meant",
        ),
    ] = None


@dataclass(frozen=True)
class MeasuredSettings(ChannelSettings):
    depth_is: Annotated[
        DepthIs | None,
        Option(
            "For --from-depth: what the numbers are. distance: far = large, 0 = unknown; disparity: near = large, 0 = "
            "unknown; mist: a renderer's pass, far = white; near-white: a depth map already.",
            panel=MEASURED_PANEL,
            default="a guess, which a warning states; distance where nothing speaks against it",
        ),
    ] = None


@dataclass(frozen=True)
class MeasuredDepthSettings(MeasuredSettings):
    near: Annotated[
        float | None,
        Option(
            "For --from-depth: what is white, in the file's unit.",
            panel=MEASURED_PANEL,
            metavar="VALUE",
            default="the nearest, without outliers (--clip)",
        ),
    ] = None
    far: Annotated[
        float | None,
        Option(
            "For --from-depth: what is black, in the file's unit.",
            panel=MEASURED_PANEL,
            metavar="VALUE",
            default="the farthest, without outliers",
        ),
    ] = None
    clip: Annotated[
        float,
        Option(
            "For --from-depth: at most this percentage of the pixels, at either end, are left out of the range of "
            "depth if they are far outside of the others' range (flying pixels).",
            panel=MEASURED_PANEL,
            metavar="PERCENT",
            min=0,
            max=10,
        ),
    ] = 0.1


@dataclass(frozen=True)
class CameraSettings(MeasuredSettings):
    focal: Annotated[
        float | None,
        Option(
            "For --from-depth: the camera's focal length in pixels.",
            panel=MEASURED_PANEL,
            metavar="PIXELS",
            min=1e-3,
        ),
    ] = None
    fov: Annotated[
        float | None,
        Option(
            "For --from-depth, instead of --focal: the angle of view from the left edge of the image to the right one.",
            panel=MEASURED_PANEL,
            metavar="DEGREES",
            min=0.1,
            max=179,
        ),
    ] = None
