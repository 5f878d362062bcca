"""`cn detect depth|normal`: how far things are, and which way their surfaces face."""

import math
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cn.commands.detect.networks import METHOD_PANEL, NetworkChoice, method_option
from cn.commands.detect.shared import Task, shared
from cn.errors import UsageError

if TYPE_CHECKING:
    from cn.detect.detector import Detector
    from cn.detect.surfaces.depth import Way

NORMALS_PANEL = "Normals"

DepthMethod = Annotated[
    str | None,
    method_option("depth"),
]
FromDepth = Annotated[
    bool,
    typer.Option(
        "--from-depth",
        help="The files are depth that was measured or rendered, far = large, in any unit: .npy arrays, or images of "
        "one channel (16 bits, float); 0 is unknown. No weights.",
        rich_help_panel=METHOD_PANEL,
    ),
]
Prepare = Annotated[
    Literal["released", "midas"] | None,
    typer.Option(
        "--prepare",
        help="How large the network sees an image: as the apps of the released ControlNets (short side 384, multiples "
        "of 64) or as MiDaS itself. Default: released for dpt-hybrid, midas for midas-small.",
        rich_help_panel=METHOD_PANEL,
    ),
]


@shared
def depth(
    method: DepthMethod = None, from_depth: FromDepth = False, prepare: Prepare = None, *, network: NetworkChoice
) -> Task:
    """Depth: inverse depth, stretched to 0–255; the nearest is white, the farthest black.

    MiDaS DPT-hybrid or v2.1 small; photographs need their weights. Depth that you have, of a camera or a renderer,
    becomes such a map with [b]--from-depth[/b] (DIODE: [b]'val/**/*_depth.npy'[/b]).
    """
    if from_depth:
        _alone("--from-depth", method, prepare, network)
        from cn.detect.surfaces.ground_truth import MeasuredDepth

        return Task(MeasuredDepth, MeasuredDepth.suffixes)
    chosen = network.method("depth", method)

    def detector() -> "Detector":
        from cn.detect.surfaces.depth import DepthDetector

        return DepthDetector(network.needed("depth", chosen), prepare)

    return Task(detector)


@shared
def normal(
    method: DepthMethod = None,
    from_diode: Annotated[
        bool,
        typer.Option(
            "--from-diode",
            help="The files are DIODE's NAME_normal.npy (with their NAME_depth_mask.npy, where that is there): ground "
            "truth, as in the paper. No weights.",
            rich_help_panel=METHOD_PANEL,
        ),
    ] = False,
    from_depth: FromDepth = False,
    prepare: Prepare = None,
    focal: Annotated[
        float | None,
        typer.Option(
            "--focal",
            metavar="PIXELS",
            min=1e-3,
            help="For --from-depth: the camera's focal length in pixels: width / 2 / tan(view angle / 2).",
            rich_help_panel=METHOD_PANEL,
        ),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            "--strength",
            min=0.001,
            max=10000,
            help="Of a network's normals: their share towards the viewer; larger is flatter. Default, as published for "
            "dpt-hybrid: 2π.",
            rich_help_panel=NORMALS_PANEL,
        ),
    ] = None,
    background: Annotated[
        float | None,
        typer.Option(
            "--background",
            min=0,
            max=1,
            help="What a network sees farther than this share of its range of depths is flat. Default: 0.1; the app of "
            "the released control has 0.4.",
            rich_help_panel=NORMALS_PANEL,
        ),
    ] = None,
    invalid: Annotated[
        Literal["flat", "gray", "black"] | None,
        typer.Option(
            "--invalid",
            help="For --from-diode and --from-depth: the color where nothing is known, (127, 127, 255), "
            "(127, 127, 127) or (0, 0, 0). Default: flat.",
            rich_help_panel=NORMALS_PANEL,
        ),
    ] = None,
    bgr: Annotated[
        bool,
        typer.Option(
            "--bgr",
            help="Channels the other way round (blue left, red towards the viewer), as the released v1.0 control "
            "was trained.",
            rich_help_panel=NORMALS_PANEL,
        ),
    ] = False,
    *,
    network: NetworkChoice,
) -> Task:
    """Normals, RGB: red where a surface faces left, green up, blue the viewer; (127, 127, 255) is flat.

    From the inverse depth of MiDaS, as published; from the ground truth of DIODE; or from depth that you have. People
    expect RGB; the released v1.0 control was trained on BGR ([b]--bgr[/b]). Photographs need weights.
    """
    if from_diode and from_depth:
        raise UsageError("--from-diode and --from-depth are two things; give one")
    if focal is not None and not math.isfinite(focal):
        raise UsageError("--focal is a number of pixels")
    if focal is not None and not from_depth:
        raise UsageError("--focal is for --from-depth")
    if not (from_diode or from_depth):
        if invalid is not None:
            raise UsageError("--invalid is for --from-diode and --from-depth")
        return _normals_of_photographs(network, method, prepare, strength, background, bgr)
    _alone("--from-diode" if from_diode else "--from-depth", method, prepare, network)
    if strength is not None or background is not None:
        raise UsageError("--strength and --background are for the normals of a network; these are true ones")
    from cn.detect.surfaces.ground_truth import DiodeNormals, MeasuredNormals

    color = invalid or "flat"
    if from_diode:
        return Task(lambda: DiodeNormals(color, bgr), DiodeNormals.suffixes)
    if focal is None:
        raise UsageError("--from-depth needs --focal: without a camera depth has no normals")
    return Task(lambda: MeasuredNormals(focal, color, bgr), MeasuredNormals.suffixes)


def _normals_of_photographs(
    network: NetworkChoice,
    method: str | None,
    prepare: "Way | None",
    strength: float | None,
    background: float | None,
    bgr: bool,
) -> Task:
    chosen = network.method("depth", method)

    def detector() -> "Detector":
        from cn.detect.surfaces import normal
        from cn.detect.surfaces.normal import NormalDetector

        return NormalDetector(
            network.needed("depth", chosen),
            normal.STRENGTH if strength is None else strength,
            normal.BACKGROUND if background is None else background,
            bgr,
            prepare,
        )

    return Task(detector)


def _alone(option: str, method: str | None, prepare: "Way | None", network: NetworkChoice) -> None:
    if method is not None or prepare is not None or network.is_given:
        raise UsageError(f"{option} needs no network: leave out --method, --weights and the like")
