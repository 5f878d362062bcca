"""`cn detect KIND SRC DST`: photographs to condition images, one sub-command for each kind."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cn.commands.detecting import MakeDetector, shared
from cn.commands.options import BatchSize
from cn.detect import methods
from cn.errors import UsageError

if TYPE_CHECKING:
    from cn.detect.loading import Weights
    from cn.detect.methods import Method
    from cn.detect.protocol import Detector

app = typer.Typer(no_args_is_help=True)


def _method(kind: str, words: str) -> typer.models.OptionInfo:
    listed = "|".join(method.name for method in methods.METHODS[kind])
    return typer.Option("--method", metavar=listed, help=words, rich_help_panel=METHOD_PANEL)


METHOD_PANEL = "Method"

WeightsFile = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="The network's published weights. Default: the file that [b]cn weights pull[/b] has fetched. "
        "Without --method, the file says which network it is.",
        rich_help_panel=METHOD_PANEL,
    ),
]
SoftEdgeMethod = Annotated[
    str | None,
    _method("hed", "hed: the network of the paper; tin: a small network; gradient: no weights needed. Default: hed."),
]
DepthMethod = Annotated[
    str | None,
    _method("depth", "dpt-hybrid: the network of the paper; midas-small: a small, fast one. Default: dpt-hybrid."),
]


@app.callback()
def _detect() -> None:
    pass


@app.command()
@shared
def canny(
    low: Annotated[
        float,
        typer.Option("--low", min=0, max=10000, help="An edge goes on down to this gradient.", rich_help_panel="Canny"),
    ] = 100,
    high: Annotated[
        float,
        typer.Option("--high", min=0, max=10000, help="An edge begins above this gradient.", rich_help_panel="Canny"),
    ] = 200,
    random_thresholds: Annotated[
        bool,
        typer.Option(
            "--random-thresholds",
            help="Other thresholds for every file, as in the paper's training data: low 50–150, high low + 50–300. "
            "They depend on --seed and the file's path below SRC only.",
            rich_help_panel="Canny",
        ),
    ] = False,
    seed: Annotated[
        int,
        typer.Option("--seed", metavar="N", min=0, help="For --random-thresholds.", rich_help_panel="Canny"),
    ] = 0,
) -> MakeDetector:
    """Canny edges: white lines, one pixel wide, on black.

    Each PNG says which detector made it, and with which thresholds; [b]cn sample[/b] and [b]cn train[/b] read that.
    What is already in DST is skipped, so that an interrupted run goes on where it stopped.
    """
    if low > high:
        raise UsageError(f"--low {low:g} is above --high {high:g}")

    def detector() -> "Detector":
        from cn.detect.canny import CannyDetector

        return CannyDetector(low, high, random_thresholds, seed)

    return detector


@app.command()
@shared
def hough(
    method: Annotated[
        str | None, _method("hough", "mlsd: the network of the paper; lsd: no weights needed. Default: mlsd.")
    ] = None,
    weights: WeightsFile = None,
    score: Annotated[
        float,
        typer.Option("--score", min=0, max=1, help="mlsd: least confidence of a line.", rich_help_panel="Lines"),
    ] = 0.1,
    length: Annotated[
        float | None,
        typer.Option(
            "--length",
            min=0,
            help="Shortest line. mlsd: in pixels of its map, of half the image's size (default 0.1); lsd: as a share "
            "of the shorter side (default 0.06).",
            rich_help_panel="Lines",
        ),
    ] = None,
    batch_size: BatchSize = 1,
) -> MakeDetector:
    """Straight lines: white, one pixel wide, on black.

    M-LSD, large or tiny as its weights are; [b]--method lsd[/b] needs no weights. An image without straight lines gives
    a black map.
    """
    chosen = methods.choose("hough", method, weights is not None)

    def detector() -> "Detector":
        from cn.detect.detectors import HoughDetector

        return HoughDetector(_weights("hough", chosen, weights), score, length, batch_size)

    return detector


@app.command()
@shared
def hed(method: SoftEdgeMethod = None, weights: WeightsFile = None, batch_size: BatchSize = 1) -> MakeDetector:
    """Soft edges: boundaries in shades of grey, white where sure, on black.

    HED in both published forms (ControlNetHED.pth, network-bsds500.pth), or TIN; [b]--method gradient[/b] needs no
    weights.
    """
    chosen = methods.choose("hed", method, weights is not None)

    def detector() -> "Detector":
        from cn.detect.detectors import HedDetector

        return HedDetector(_weights("hed", chosen, weights), batch_size)

    return detector


@app.command()
@shared
def scribble(
    method: SoftEdgeMethod = None,
    weights: WeightsFile = None,
    from_drawing: Annotated[
        bool,
        typer.Option(
            "--from-drawing",
            help="The images are drawings, dark on light or light on dark: their ink is the scribble. No weights.",
            rich_help_panel=METHOD_PANEL,
        ),
    ] = False,
    random: Annotated[
        bool,
        typer.Option(
            "--random",
            help="The paper's augmentations, other ones for every file: thresholds, strokes left out, morphology, "
            "non-maximum suppression. They depend on --seed and the file's path below SRC only.",
            rich_help_panel="Scribble",
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="For --random.", rich_help_panel="Scribble")
    ] = 0,
    batch_size: BatchSize = 1,
) -> MakeDetector:
    """Scribbles: thick white strokes (255) on black (0), nothing between.

    Made from soft edges of the chosen method, with the fixed settings of the release or at random;
    [b]--method gradient[/b] and [b]--from-drawing[/b] need no weights.
    """
    if from_drawing and (method is not None or weights is not None or random):
        raise UsageError("--from-drawing takes the drawing as it is: leave out --method, --weights and --random")
    chosen = None if from_drawing else methods.choose("hed", method, weights is not None)

    def detector() -> "Detector":
        from cn.detect.detectors import DrawingDetector, HedDetector, ScribbleDetector

        if from_drawing:
            return DrawingDetector()
        return ScribbleDetector(HedDetector(_weights("hed", chosen, weights), batch_size), random, seed)

    return detector


@app.command()
@shared
def depth(method: DepthMethod = None, weights: WeightsFile = None, batch_size: BatchSize = 1) -> MakeDetector:
    """Depth: inverse depth, stretched to 0–255; the nearest is white, the farthest black.

    MiDaS DPT-hybrid or v2.1 small. No method works without weights.
    """
    chosen = methods.choose("depth", method, weights is not None)

    def detector() -> "Detector":
        from cn.detect.detectors import DepthDetector

        return DepthDetector(_needed("depth", chosen, weights), batch_size)

    return detector


@app.command()
@shared
def normal(
    method: DepthMethod = None,
    weights: WeightsFile = None,
    strength: Annotated[
        float,
        typer.Option(
            "--strength",
            min=0.001,
            max=10000,
            help="The normals' share towards the viewer: larger is flatter. As published, for dpt-hybrid: 2π.",
            rich_help_panel="Normals",
        ),
    ] = 6.283185307179586,
    background: Annotated[
        float,
        typer.Option(
            "--background",
            min=0,
            max=1,
            help="What is farther than this share of the range of depths is flat. The app of the released control "
            "has 0.4.",
            rich_help_panel="Normals",
        ),
    ] = 0.1,
    bgr: Annotated[
        bool,
        typer.Option(
            "--bgr",
            help="Channels the other way round (blue left, red towards the viewer), as the released v1.0 control "
            "was trained.",
            rich_help_panel="Normals",
        ),
    ] = False,
    batch_size: BatchSize = 1,
) -> MakeDetector:
    """Normals, RGB: red where a surface faces left, green up, blue the viewer; (127, 127, 255) is flat.

    From the inverse depth of MiDaS, as published. People expect RGB; the released v1.0 control was trained on BGR
    ([b]--bgr[/b]). No method works without weights.
    """
    chosen = methods.choose("depth", method, weights is not None)

    def detector() -> "Detector":
        from cn.detect.detectors import NormalDetector

        return NormalDetector(_needed("depth", chosen, weights), strength, background, bgr, batch_size)

    return detector


@app.command()
@shared
def lineart(
    method: Annotated[
        str | None,
        _method("lineart", "anime2sketch: a network; standard: no weights needed. Default: anime2sketch."),
    ] = None,
    weights: WeightsFile = None,
    invert: Annotated[
        bool,
        typer.Option("--invert", help="Dark lines on white, as they are drawn.", rich_help_panel="Lines"),
    ] = False,
    batch_size: BatchSize = 1,
) -> MakeDetector:
    """Line drawings: white lines on black; with [b]--invert[/b] dark lines on white.

    Anime2Sketch, made for drawn pictures; [b]--method standard[/b] needs no weights.
    """
    chosen = methods.choose("lineart", method, weights is not None)

    def detector() -> "Detector":
        from cn.detect.detectors import LineartDetector

        return LineartDetector(_weights("lineart", chosen, weights), invert, batch_size)

    return detector


def _weights(family: str, method: "Method | None", given: Path | None) -> "Weights | None":
    """The weights for a method of `methods.METHODS[family]`; None for one that needs none."""
    return None if method is not None and not method.networks else _needed(family, method, given)


def _needed(family: str, method: "Method | None", given: Path | None) -> "Weights":
    from cn.detect.loading import open_weights
    from cn.weights import published

    path = str(published.locate((method or methods.METHODS[family][0]).published, given))
    weights = open_weights(family, path)
    methods.check(method, path, weights.network)
    return weights
