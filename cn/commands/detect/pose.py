"""`cn detect openpose|openpifpaf`: human poses as skeletons."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cn.commands.detect.network_options import BodyNetworkOptions, PifPafNetworkOptions
from cn.commands.detect.shared import Task, shared
from cn.commands.options import Given
from cn.detect.settings import (
    JSON_SUFFIXES,
    METHOD_PANEL,
    OPENPOSE_SCALES,
    POSE_PANEL,
    YOLO_SUFFIXES,
    BodySettings,
    PifPafSettings,
    PoseFileSettings,
)
from cn.errors import UsageError
from cn.options import parse_size

if TYPE_CHECKING:
    from cn.detect.detector import Detector
    from cn.detect.network import Network

Keypoints = Annotated[
    str | None,
    typer.Option(
        "--keypoints",
        metavar="FOLDER",
        help="Also write the keypoints of each image to FOLDER/NAME.json, as OpenPose and the web UIs' editors do; "
        "like theirs, with a score of 1 for every point ([b]--json[/b] has the scores).",
        rich_help_panel=POSE_PANEL,
    ),
]
FromJson = Annotated[
    bool,
    typer.Option(
        "--from-json",
        help="The files are poses (.json or .jsonl of OpenPose, of a web UI's editor, of [b]--keypoints[/b] or "
        "[b]--json[/b], of COCO, AlphaPose, MMPose, DWPose, OpenPifPaf, Ultralytics): draw them. A file that describes "
        "several images gives a map for each.",
        rich_help_panel=METHOD_PANEL,
    ),
]
FromYolo = Annotated[
    bool,
    typer.Option(
        "--from-yolo",
        help="The files are YOLO's pose labels (.txt): draw them. They need [b]--images[/b] or [b]--canvas[/b].",
        rich_help_panel=METHOD_PANEL,
    ),
]
Face = Annotated[
    bool | None,
    typer.Option(
        "--face/--no-face",
        help="With --from-json: also draw the faces that a file has, as white dots, as ControlNet 1.1 does; the paper "
        "did not. Default: no, with a warning where there are faces.",
        rich_help_panel=POSE_PANEL,
        show_default=False,
    ),
]
Canvas = Annotated[
    str | None,
    typer.Option(
        "--canvas",
        metavar="WIDTHxHEIGHT",
        help="For --from-json and --from-yolo: the size in pixels, for files that do not contain it.",
        rich_help_panel=METHOD_PANEL,
    ),
]
Hands = Annotated[
    bool | None,
    typer.Option(
        "--hands/--no-hands",
        help="Find and draw hands too, by OpenPose's hand network; the paper did not. With --from-json: hands that a "
        "file has are drawn, unless --no-hands.",
        rich_help_panel=POSE_PANEL,
        show_default=False,
    ),
]
HandWeights = Annotated[
    Path | None,
    typer.Option(
        "--hand-weights",
        metavar="FILE",
        help="For --hands, with any method: hand_pose_model.pth (not for commercial use). Default: the file that "
        "[b]cn weights pull[/b] has downloaded.",
        rich_help_panel=POSE_PANEL,
    ),
]
AllHandScales = Annotated[
    bool,
    typer.Option(
        "--all-hand-scales",
        help="For --hands: use four scales for each hand, as published; seven times slower than one.",
        rich_help_panel=POSE_PANEL,
    ),
]
Scale = Annotated[
    list[float] | None,
    typer.Option(
        "--scale",
        metavar="HEIGHT",
        min=0.1,
        max=8,
        help="openpose: the height to which images are resized, in units of 368 pixels; repeat it for several. 1 finds "
        f"smaller people, at four times the cost. Default, as released: {OPENPOSE_SCALES[0]}.",
        rich_help_panel=POSE_PANEL,
    ),
]


@shared
def openpose(
    given: Given[BodySettings],
    poses: Given[PoseFileSettings],
    from_json: FromJson = False,
    from_yolo: FromYolo = False,
    canvas: Canvas = None,
    hands: Hands = None,
    face: Face = None,
    hand_weights: HandWeights = None,
    all_hand_scales: AllHandScales = False,
    scale: Scale = None,
    keypoints: Keypoints = None,
    *,
    network: BodyNetworkOptions,
) -> Task:
    """Human poses: skeletons of 18 joints in 18 colors (RGB) on black.

    Drawn as existing pose controls expect it, by OpenPose or by an alternative that is free to use. With
    [b]--json[/b] each record holds the people in OpenPose's format; [b]--from-json[/b] draws such files, edited or
    from other tools.
    """
    if from_json or from_yolo:
        _check_no_network(network.method or network.is_given or scale or hand_weights or all_hand_scales)
        if from_json and from_yolo:
            raise UsageError("--from-json and --from-yolo are two kinds of files; give one of them")
        if canvas is not None and "images" in poses:
            raise UsageError("--canvas and --images both give sizes; give one of them")
        size = _canvas(canvas)

        def from_files() -> "Detector":
            from cn.detect.pose.json_detector import PoseFileDetector

            return PoseFileDetector(canvas=size, hands=hands is not False, face=face, yolo=from_yolo, **given, **poses)

        return Task(from_files, YOLO_SUFFIXES if from_yolo else JSON_SUFFIXES, keypoints)
    if canvas is not None or poses:
        raise UsageError("--canvas, --images, --image-id and --min-score are for --from-json and --from-yolo")
    if face is not None:
        raise UsageError("--face is for --from-json: the networks find no faces")
    if not hands and (hand_weights is not None or all_hand_scales):
        raise UsageError("--hand-weights and --all-hand-scales are for --hands")
    chosen = network.chosen
    if scale and chosen is not None and chosen.name != "openpose":
        raise UsageError(f"--scale is for --method openpose, not {chosen.name}")

    def detector() -> "Detector":
        from cn.detect.pose import openpose_hands
        from cn.detect.pose.openpose import OpenPoseDetector

        body = network.open_required()
        _check_options(body, scale)
        return OpenPoseDetector(
            body,
            hands=network.hands(hand_weights) if hands else None,
            scales=tuple(scale) if scale else OPENPOSE_SCALES,
            hand_scales=openpose_hands.SCALES if all_hand_scales else openpose_hands.ONE_SCALE,
            **given,
        )

    return Task(detector, sidecars=keypoints)


def _check_options(body: "Network", scale: list[float] | None) -> None:
    """Raises UsageError for options that this network does not support."""
    if scale and body.spec.method != "openpose":
        raise UsageError("--scale is for OpenPose's own network, and these are the weights of another")
    if body.spec.method == "keypointrcnn" and body.precision != "fp32":
        raise UsageError("--precision: Keypoint R-CNN computes in fp32 only")


def _check_no_network(given: object) -> None:
    if given:
        raise UsageError(
            "--from-json needs no network: leave out --method, --weights, --scale and the network's other options"
        )


def _canvas(text: str | None) -> tuple[int, int] | None:
    """(height, width) of `--canvas`."""
    if text is None:
        return None
    from cn.images.resizing import MAX_PIXELS

    height, width = parse_size(text, "--canvas")
    if not 0 < height * width <= MAX_PIXELS:
        raise UsageError(f"--canvas has between one and {MAX_PIXELS // 10**6} million pixels, not {text}")
    return height, width


@shared
def openpifpaf(given: Given[PifPafSettings], keypoints: Keypoints = None, *, network: PifPafNetworkOptions) -> Task:
    """Human poses by OpenPifPaf: skeletons of COCO's 17 joints, a color for each limb (RGB), on black.

    Reads the published .pkl files without running anything in them; [b]cn convert[/b] makes safetensors.
    """
    network.check()

    def detector() -> "Detector":
        from cn.detect.pose.pifpaf import PifPafDetector

        return PifPafDetector(network.open_required(), **given)

    return Task(detector, sidecars=keypoints)
