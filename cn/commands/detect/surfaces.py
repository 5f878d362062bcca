"""`cn detect depth|normal`: distances, and the directions of surfaces."""

from typing import Annotated, Any

import typer

from cn.commands.detect.network_options import DepthNetworkOptions
from cn.commands.detect.shared import Task, network_task, shared
from cn.commands.options import Given
from cn.detect.settings import METHOD_PANEL, DepthSettings, InvalidSettings, NormalSettings
from cn.detect.surfaces.settings import (
    DEPTH_SUFFIXES,
    DIODE_SUFFIXES,
    MASK,
    NORMAL_MAP_SUFFIXES,
    CameraSettings,
    MeasuredDepthSettings,
    NormalsAre,
)
from cn.errors import UsageError
from cn.options import check_value, declared

FromDepth = Annotated[
    bool,
    typer.Option(
        "--from-depth",
        help="The files are depth that was measured or rendered, in any unit: .npy, .npz, .pfm, OpenEXR, TIFF, or "
        "images of one channel (8 or 16 bits). No weights.",
        rich_help_panel=METHOD_PANEL,
    ),
]


@shared
def depth(
    given: Given[DepthSettings],
    measured: Given[MeasuredDepthSettings],
    from_depth: FromDepth = False,
    *,
    network: DepthNetworkOptions,
) -> Task:
    """Depth: inverse depth, scaled to 0–255; the nearest is white, the farthest black.

    Photographs need the weights of a network. [b]--from-depth[/b] makes such a map from depth of a camera or a renderer
    (DIODE: [b]'val/**/*_depth.npy'[/b]).
    """
    if not from_depth:
        _refuse(measured, MeasuredDepthSettings, "is for --from-depth")
        return network_task("depth", network, given)
    _check_no_network("--from-depth", given, network)
    _check_limits(**{name: measured.get(name) for name in ("depth_is", "near", "far")})

    def detector() -> Any:
        from cn.detect.surfaces.ground_truth import MeasuredDepth

        return MeasuredDepth(**measured)

    return Task(detector, DEPTH_SUFFIXES, companions=frozenset({MASK}))


@shared
def normal(
    given: Given[NormalSettings],
    invalid: Given[InvalidSettings],
    camera: Given[CameraSettings],
    from_diode: Annotated[
        bool,
        typer.Option(
            "--from-diode",
            help="The files are DIODE's NAME_normal.npy (with their NAME_depth_mask.npy, if it is there): ground "
            "truth, as in the paper. No weights.",
            rich_help_panel=METHOD_PANEL,
        ),
    ] = False,
    from_normals: Annotated[
        NormalsAre | None,
        typer.Option(
            "--from-normals",
            help="The files are normal maps of a renderer or a game, 8 or 16 bits or OpenEXR. Red is right and green "
            "up (opengl) or down (directx), or they are maps as cn writes them, red left and green up (camera). "
            "No weights.",
            show_default=False,
            rich_help_panel=METHOD_PANEL,
        ),
    ] = None,
    from_depth: FromDepth = False,
    *,
    network: DepthNetworkOptions,
) -> Task:
    """Normals, RGB: red where a surface faces left, green up, blue the viewer; (127, 127, 255) is flat.

    From the inverse depth of a network, as published; from the ground truth of DIODE; or from your own depth or normal
    maps. Most tools expect RGB; the released v1.0 control was trained on BGR ([b]--bgr[/b]). Photographs need weights.
    """
    origins = {"--from-diode": from_diode, "--from-normals": from_normals, "--from-depth": from_depth}
    chosen = [flag for flag, value in origins.items() if value]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} exclude each other; give one")
    if not from_depth:
        fields = {name: value for name, value in camera.items() if name != "channel" or not from_normals}
        _refuse(fields, CameraSettings, "is for --from-depth" + (" and --from-normals" if "channel" in fields else ""))
    if not chosen:
        _refuse(invalid, InvalidSettings, f"is for {', '.join(list(origins)[:2])} and --from-depth")
        return network_task("normal", network, given)
    _check_no_network(chosen[0], given, network)
    if "strength" in given or "background" in given:
        raise UsageError("--strength and --background are for the normals of a network, not for measured ones")
    if from_depth:
        _check_camera(camera)

    def detector() -> Any:
        from cn.detect.surfaces.ground_truth import DiodeNormals, MeasuredNormals
        from cn.detect.surfaces.normal_maps import NormalMaps

        if from_normals is not None:
            return NormalMaps(convention=from_normals, **camera, **invalid, **given)
        return MeasuredNormals(**camera, **invalid, **given) if from_depth else DiodeNormals(**invalid, **given)

    if from_normals is not None:
        return Task(detector, NORMAL_MAP_SUFFIXES)
    return Task(detector, DEPTH_SUFFIXES if from_depth else DIODE_SUFFIXES, companions=frozenset({MASK}))


def _refuse(given: dict[str, Any], settings: Any, why: str) -> None:
    """UsageError for the first of the options that were given, which do not belong here."""
    for name in given:
        raise UsageError(f"{declared(settings)[name].label} {why}")


def _check_limits(depth_is: str | None, near: float | None, far: float | None) -> None:
    """UsageError for limits that no file can have."""
    fields = declared(MeasuredDepthSettings)
    check_value(fields["near"], near)
    check_value(fields["far"], far)
    if depth_is == "distance" and any(limit is not None and limit <= 0 for limit in (near, far)):
        raise UsageError("--near and --far of distances must be above 0")
    if near is None or far is None or depth_is is None:
        return
    growing = depth_is in ("distance", "mist")
    if near == far or (near < far) != growing:
        raise UsageError(f"with --depth-is {depth_is}, --near must be {'smaller' if growing else 'larger'} than --far")


def _check_camera(camera: dict[str, Any]) -> None:
    """UsageError unless there is one camera, and depth that gives normals."""
    fields = declared(CameraSettings)
    for name in ("focal", "fov"):
        check_value(fields[name], camera.get(name))
    if "focal" in camera and "fov" in camera:
        raise UsageError("--focal and --fov exclude each other; give one")
    if "focal" not in camera and "fov" not in camera:
        raise UsageError("--from-depth needs --focal or --fov: without a camera depth has no normals")
    if camera.get("depth_is") in ("mist", "near-white"):
        raise UsageError(
            f"{camera['depth_is']} is scaled to a range, so that true normals cannot be computed; give distances"
        )


def _check_no_network(option: str, given: Given[Any], network: DepthNetworkOptions) -> None:
    if network.method is not None or "preprocessing" in given or network.is_given:
        raise UsageError(f"{option} needs no network: leave out --method, --weights and the network's other options")
