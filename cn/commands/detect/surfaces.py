"""`cn detect depth|normal`: distances, and the directions of surfaces."""

import math
from typing import Annotated, Any

import typer

from cn.commands.detect.network_options import DepthNetworkOptions
from cn.commands.detect.shared import Task, network_task, shared
from cn.commands.options import Given
from cn.detect.settings import METHOD_PANEL, DepthSettings, InvalidSettings, NormalSettings
from cn.errors import UsageError

FromDepth = Annotated[
    bool,
    typer.Option(
        "--from-depth",
        help="The files are depth that was measured or rendered, far = large, in any unit: .npy arrays, or images of "
        "one channel (16 bits, float); 0 is unknown. No weights.",
        rich_help_panel=METHOD_PANEL,
    ),
]


@shared
def depth(given: Given[DepthSettings], from_depth: FromDepth = False, *, network: DepthNetworkOptions) -> Task:
    """Depth: inverse depth, scaled to 0–255; the nearest is white, the farthest black.

    Photographs need the weights of a network. [b]--from-depth[/b] makes such a map from depth of a camera or a renderer
    (DIODE: [b]'val/**/*_depth.npy'[/b]).
    """
    if from_depth:
        _check_no_network("--from-depth", given, network)
        from cn.detect.surfaces.ground_truth import MeasuredDepth

        return Task(MeasuredDepth, MeasuredDepth.suffixes)
    return network_task("depth", network, given)


@shared
def normal(
    given: Given[NormalSettings],
    measured: Given[InvalidSettings],
    from_diode: Annotated[
        bool,
        typer.Option(
            "--from-diode",
            help="The files are DIODE's NAME_normal.npy (with their NAME_depth_mask.npy, if it is there): ground "
            "truth, as in the paper. No weights.",
            rich_help_panel=METHOD_PANEL,
        ),
    ] = False,
    from_depth: FromDepth = False,
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
    *,
    network: DepthNetworkOptions,
) -> Task:
    """Normals, RGB: red where a surface faces left, green up, blue the viewer; (127, 127, 255) is flat.

    From the inverse depth of a network, as published; from the ground truth of DIODE; or from your own depth. Most
    tools expect RGB; the released v1.0 control was trained on BGR ([b]--bgr[/b]). Photographs need weights.
    """
    if from_diode and from_depth:
        raise UsageError("--from-diode and --from-depth exclude each other; give one")
    if focal is not None and not math.isfinite(focal):
        raise UsageError("--focal is a number of pixels")
    if focal is not None and not from_depth:
        raise UsageError("--focal is for --from-depth")
    if not (from_diode or from_depth):
        if measured:
            raise UsageError("--invalid is for --from-diode and --from-depth")
        return network_task("normal", network, given)
    _check_no_network("--from-diode" if from_diode else "--from-depth", given, network)
    if "strength" in given or "background" in given:
        raise UsageError("--strength and --background are for the normals of a network, not for measured ones")
    from cn.detect.surfaces.ground_truth import DiodeNormals, MeasuredNormals

    if from_diode:
        return Task(lambda: DiodeNormals(**measured, **given), DiodeNormals.suffixes)
    if focal is None:
        raise UsageError("--from-depth needs --focal: without a camera depth has no normals")
    return Task(lambda: MeasuredNormals(focal=focal, **measured, **given), MeasuredNormals.suffixes)


def _check_no_network(option: str, given: Given[Any], network: DepthNetworkOptions) -> None:
    if network.method is not None or "preprocessing" in given or network.is_given:
        raise UsageError(f"{option} needs no network: leave out --method, --weights and the network's other options")
