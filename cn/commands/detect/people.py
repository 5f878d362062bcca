"""`cn detect openpose|openpifpaf`: people as skeletons."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cn.commands.detect.networks import METHOD_PANEL, NetworkChoice, method_option
from cn.commands.detect.shared import Task, shared
from cn.errors import UsageError
from cn.options import parse_size

if TYPE_CHECKING:
    from cn.detect.detector import Detector
    from cn.detect.network import Network
    from cn.detect.pose.skeleton import Style

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
        help="Also write the key points of each image to FOLDER/NAME.json, as OpenPose and the web UIs' editors do; "
        "like theirs, with a score of 1 for every point ([b]--json[/b] has the scores).",
        rich_help_panel=PEOPLE_PANEL,
    ),
]
FromJson = Annotated[
    bool,
    typer.Option(
        "--from-json",
        help="The files are poses (.json or .jsonl of OpenPose, of a web UI's editor, of [b]--keypoints[/b] or "
        "[b]--json[/b]): draw them. Of one that tells of several images each gets a map.",
        rich_help_panel=METHOD_PANEL,
    ),
]
Canvas = Annotated[
    str | None,
    typer.Option(
        "--canvas",
        metavar="WIDTHxHEIGHT",
        help="For --from-json: the size in pixels, where the file does not say it.",
        rich_help_panel=METHOD_PANEL,
    ),
]
MinScore = Annotated[
    float | None,
    typer.Option(
        "--min-score",
        metavar="SCORE",
        min=0,
        max=1,
        help="For --from-json: points with a lower score are left out. Default: none; but of files that OpenPose "
        "itself wrote, what it does not draw either (below 0.05, of hands 0.2).",
        rich_help_panel=METHOD_PANEL,
    ),
]
Hands = Annotated[
    bool | None,
    typer.Option(
        "--hands/--no-hands",
        help="Find and draw hands too, by OpenPose's hand network; the paper did not. With --from-json: hands that a "
        "file has are drawn, unless --no-hands.",
        rich_help_panel=PEOPLE_PANEL,
        show_default=False,
    ),
]
HandWeights = Annotated[
    Path | None,
    typer.Option(
        "--hand-weights",
        metavar="FILE",
        help="For --hands, with any method: hand_pose_model.pth (not for commercial use). Default: the file that "
        "[b]cn weights pull[/b] has fetched.",
        rich_help_panel=PEOPLE_PANEL,
    ),
]
AllHandScales = Annotated[
    bool,
    typer.Option(
        "--all-hand-scales",
        help="For --hands: look at each hand at four scales, as published; seven times slower than at one.",
        rich_help_panel=PEOPLE_PANEL,
    ),
]
Scale = Annotated[
    list[float] | None,
    typer.Option(
        "--scale",
        metavar="HEIGHT",
        min=0.1,
        max=8,
        help="openpose: the height at which it looks, in units of 368 pixels; repeat it for several. Default, as "
        "released: 0.5. 1 finds smaller people, at four times the cost.",
        rich_help_panel=PEOPLE_PANEL,
    ),
]
BodyStyle = Annotated[
    Literal["released", "v11"],
    typer.Option(
        "--style",
        help="How skeletons are drawn: as the released 1.0 control saw them, or as those of 1.1 and later.",
        rich_help_panel=PEOPLE_PANEL,
    ),
]
BodyMethod = Annotated[
    str | None,
    method_option("openpose"),
]
_STYLES: "dict[str, Style]" = {"released": "released", "v11": "v1.1"}


@shared
def openpose(
    method: BodyMethod = None,
    from_json: FromJson = False,
    canvas: Canvas = None,
    min_score: MinScore = None,
    hands: Hands = None,
    hand_weights: HandWeights = None,
    all_hand_scales: AllHandScales = False,
    scale: Scale = None,
    style: BodyStyle = "released",
    min_keypoints: MinKeypoints = 0.3,
    keypoints: Keypoints = None,
    *,
    network: NetworkChoice,
) -> Task:
    """Human poses: skeletons of 18 joints in 18 colors (RGB) on black.

    OpenPose, drawn as existing pose controls expect it, or an alternative that is free to use. With [b]--json[/b] each
    record holds the people as OpenPose writes them; [b]--from-json[/b] draws such files, edited or made elsewhere.
    """
    if from_json:
        _no_network(method is not None or network.is_given or scale or hand_weights or all_hand_scales)
        from cn.detect.pose.detectors import PoseFileDetector

        drawn = PoseFileDetector(_canvas(canvas), _STYLES[style], min_keypoints, min_score, hands is not False)
        return Task(lambda: drawn, drawn.suffixes, keypoints)
    if canvas is not None or min_score is not None:
        raise UsageError("--canvas and --min-score are for --from-json")
    if not hands and (hand_weights is not None or all_hand_scales):
        raise UsageError("--hand-weights and --all-hand-scales are for --hands")
    chosen = network.method("openpose", method)
    if scale and chosen is not None and chosen.name != "openpose":
        raise UsageError(f"--scale is for --method openpose, not {chosen.name}")

    def detector() -> "Detector":
        from cn.detect.pose import hands as fingers
        from cn.detect.pose.detectors import OpenPoseDetector
        from cn.detect.pose.openpose import SCALES

        body = network.needed("openpose", chosen)
        _check_options(body, scale)
        return OpenPoseDetector(
            body,
            network.other("hands", hand_weights) if hands else None,
            tuple(scale) if scale else SCALES,
            fingers.SCALES if all_hand_scales else fingers.ONE_SCALE,
            _STYLES[style],
            min_keypoints,
        )

    return Task(detector, sidecars=keypoints)


def _check_options(body: "Network", scale: list[float] | None) -> None:
    """Raises UsageError for what this network cannot do."""
    if scale and body.name != "BodyNetwork":
        raise UsageError("--scale is for OpenPose's own network, and these are the weights of another")
    if body.name == "KeypointRCNN" and body.precision != "fp32":
        raise UsageError("--precision: Keypoint R-CNN computes in fp32 only")


def _no_network(given: object) -> None:
    if given:
        raise UsageError("--from-json needs no network: leave out --method, --weights, --scale and the like")


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
def openpifpaf(
    method: Annotated[str | None, method_option("openpifpaf")] = None,
    long_edge: Annotated[
        int | None,
        typer.Option(
            "--long-edge",
            metavar="PIXELS",
            min=33,
            max=8192,
            help="Bring the longer side to this before the network looks; it was trained with 513. Default: the "
            "image's own size, but at most 2048.",
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
    """Human poses by OpenPifPaf: skeletons of COCO's 17 joints, a color for each limb (RGB), on black.

    Reads the published .pkl files without running anything in them; [b]cn convert[/b] makes safetensors.
    """
    chosen = network.method("openpifpaf", method)

    def detector() -> "Detector":
        from cn.detect.pose.detectors import PifPafDetector

        drawn = "pifpaf" if style == "pifpaf" else _STYLES[style]
        return PifPafDetector(network.needed("openpifpaf", chosen), long_edge, drawn, min_keypoints)

    return Task(detector, sidecars=keypoints)
