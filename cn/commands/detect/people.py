"""`cn detect openpose|openpifpaf`: people as skeletons."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cn.commands.detect.networks import METHOD_PANEL, NetworkChoice, method_option
from cn.commands.detect.shared import Task, shared
from cn.errors import UsageError

if TYPE_CHECKING:
    from cn.detect.protocol import Detector
    from cn.detect.skeleton import Style

PEOPLE_PANEL = "People"

MinKeypoints = Annotated[
    float,
    typer.Option(
        "--min-keypoints",
        metavar="SHARE",
        min=0,
        max=1,
        help="Share of all key points that makes a person: where nobody has it, nothing was found ([b]--on-empty[/b]). "
        "The paper's rule is 0.3.",
        rich_help_panel=PEOPLE_PANEL,
    ),
]
Keypoints = Annotated[
    str | None,
    typer.Option(
        "--keypoints",
        metavar="FOLDER",
        help="Also write the key points of each image to FOLDER/NAME.json, as OpenPose and the web UIs' editors do.",
        rich_help_panel=PEOPLE_PANEL,
    ),
]
_STYLES: "dict[str, Style]" = {"released": "released", "v11": "v1.1"}


@shared
def openpose(
    method: Annotated[
        str | None,
        method_option(
            "openpose",
            "openpose: the network of the paper; light: a small one, free to use; keypointrcnn: torchvision's, free to "
            "use. Default: openpose.",
        ),
    ] = None,
    from_json: Annotated[
        bool,
        typer.Option(
            "--from-json",
            help="The files are poses (.json of OpenPose, of a web UI's editor, or of [b]--keypoints[/b]): draw them.",
            rich_help_panel=METHOD_PANEL,
        ),
    ] = False,
    canvas: Annotated[
        str | None,
        typer.Option(
            "--canvas",
            metavar="WIDTHxHEIGHT",
            help="For --from-json: the size in pixels, where the file does not say it.",
            rich_help_panel=METHOD_PANEL,
        ),
    ] = None,
    hands: Annotated[
        bool,
        typer.Option("--hands", help="Find and draw hands too. The paper did not.", rich_help_panel=PEOPLE_PANEL),
    ] = False,
    hand_weights: Annotated[
        Path | None,
        typer.Option(
            "--hand-weights",
            metavar="FILE",
            help="For --hands: hand_pose_model.pth. Default: the file that [b]cn weights pull[/b] has fetched.",
            rich_help_panel=PEOPLE_PANEL,
        ),
    ] = None,
    all_hand_scales: Annotated[
        bool,
        typer.Option(
            "--all-hand-scales",
            help="For --hands: look at each hand at four scales, as published; seven times slower than at one.",
            rich_help_panel=PEOPLE_PANEL,
        ),
    ] = False,
    scale: Annotated[
        list[float] | None,
        typer.Option(
            "--scale",
            min=0.1,
            max=8,
            help="openpose: the height at which it looks, in units of 368 pixels; repeat it for several. Default, as "
            "released: 0.5. 1 finds smaller people, at four times the cost.",
            rich_help_panel=PEOPLE_PANEL,
        ),
    ] = None,
    style: Annotated[
        Literal["released", "v11"],
        typer.Option(
            "--style",
            help="How skeletons are drawn: as the released 1.0 control saw them, or as those of 1.1 and later.",
            rich_help_panel=PEOPLE_PANEL,
        ),
    ] = "released",
    min_keypoints: MinKeypoints = 0.3,
    keypoints: Keypoints = None,
    *,
    network: NetworkChoice,
) -> Task:
    """Human poses: skeletons of 18 joints in 18 colours (RGB) on black.

    OpenPose, drawn as existing pose controls expect it, or an alternative that is free to use. With [b]--json[/b] each
    record holds the people as OpenPose writes them; [b]--from-json[/b] draws such files, edited or made elsewhere.
    """
    if not hands and (hand_weights is not None or all_hand_scales):
        raise UsageError("--hand-weights and --all-hand-scales are for --hands")
    if from_json:
        return _from_json(method, network, canvas, hands or scale, style, min_keypoints, keypoints)
    if canvas is not None:
        raise UsageError("--canvas is for --from-json; images have their own size")
    chosen = network.method("openpose", method)
    if scale and chosen is not None and chosen.name != "openpose":
        raise UsageError(f"--scale is for --method openpose, not {chosen.name}")

    def detector() -> "Detector":
        from cn.detect import hands as fingers
        from cn.detect.keypoints import SCALES
        from cn.detect.people import OpenPoseDetector

        body = network.needed("openpose", chosen)
        if body.name == "KeypointRCNN" and body.precision != "fp32":
            raise UsageError("--precision: Keypoint R-CNN computes in fp32 only")
        return OpenPoseDetector(
            body,
            network.other("hands", hand_weights) if hands else None,
            tuple(scale) if scale else SCALES,
            fingers.SCALES if all_hand_scales else fingers.ONE_SCALE,
            _STYLES[style],
            min_keypoints,
        )

    return Task(detector, beside=keypoints)


def _from_json(
    method: str | None,
    network: NetworkChoice,
    canvas: str | None,
    of_networks: object,
    style: str,
    min_keypoints: float,
    keypoints: str | None,
) -> Task:
    if method is not None or network.is_given or of_networks:
        raise UsageError("--from-json needs no network: leave out --method, --weights, --hands, --scale and the like")
    from cn.detect.people import PoseFileDetector

    size = _canvas(canvas) if canvas is not None else None
    return Task(lambda: PoseFileDetector(size, _STYLES[style], min_keypoints), PoseFileDetector.endings, keypoints)


def _canvas(text: str) -> tuple[int, int]:
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) != 2 or not all(p.isdecimal() and 0 < int(p) <= 16384 for p in parts if len(p) < 8) or not all(parts):
        raise UsageError(f"--canvas is WIDTHxHEIGHT in pixels, such as 512x768, not {text!r}")
    return int(parts[1]), int(parts[0])


@shared
def openpifpaf(
    method: Annotated[
        str | None, method_option("openpifpaf", "k16: ShuffleNetV2K16; k30: a larger, slower one. Default: k16.")
    ] = None,
    long_edge: Annotated[
        int | None,
        typer.Option(
            "--long-edge",
            metavar="PIXELS",
            min=33,
            max=8192,
            help="Bring the longer side to this before the network looks; it was trained with 513. Default: the "
            "picture's own size.",
            rich_help_panel=PEOPLE_PANEL,
        ),
    ] = None,
    style: Annotated[
        Literal["pifpaf", "released", "v11"],
        typer.Option(
            "--style",
            help="How skeletons are drawn: 17 joints as OpenPifPaf does, or 18 as for [b]openpose[/b].",
            rich_help_panel=PEOPLE_PANEL,
        ),
    ] = "pifpaf",
    min_keypoints: MinKeypoints = 0.3,
    keypoints: Keypoints = None,
    *,
    network: NetworkChoice,
) -> Task:
    """Human poses by OpenPifPaf: skeletons of COCO's 17 joints, a colour for each limb (RGB), on black.

    Reads the published .pkl files without running anything in them; [b]cn weights convert[/b] makes safetensors.
    """
    chosen = network.method("openpifpaf", method)

    def detector() -> "Detector":
        from cn.detect.people import PifPafDetector

        drawn = "pifpaf" if style == "pifpaf" else _STYLES[style]
        return PifPafDetector(network.needed("openpifpaf", chosen), long_edge, drawn, min_keypoints)

    return Task(detector, beside=keypoints)
