"""`cn detect canny|hough|hed|scribble|lineart`: what is drawn as lines."""

from typing import TYPE_CHECKING, Annotated

import typer

from cn.commands.detect.networks import METHOD_PANEL, NetworkChoice, method_option
from cn.commands.detect.shared import Task, shared
from cn.errors import UsageError

if TYPE_CHECKING:
    from cn.detect.detector import Detector

SoftEdgeMethod = Annotated[
    str | None,
    method_option("hed"),
]


@shared
def canny(
    low: Annotated[
        float | None,
        typer.Option(
            "--low",
            min=0,
            max=10000,
            help="An edge goes on down to this gradient. Default, as released: 100.",
            rich_help_panel="Canny",
        ),
    ] = None,
    high: Annotated[
        float | None,
        typer.Option(
            "--high",
            min=0,
            max=10000,
            help="An edge begins above this gradient. Default, as released: 200.",
            rich_help_panel="Canny",
        ),
    ] = None,
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
        int | None,
        typer.Option(
            "--seed", metavar="N", min=0, help="For --random-thresholds. Default: 0.", rich_help_panel="Canny"
        ),
    ] = None,
) -> Task:
    """Canny edges: white lines, one pixel wide, on black.

    Each PNG says which detector made it, and with which thresholds; [b]cn sample[/b] and [b]cn train[/b] read that.
    What is already in DST is skipped, so that an interrupted run goes on where it stopped.
    """
    if random_thresholds and (low is not None or high is not None):
        raise UsageError("--random-thresholds chooses the thresholds: leave out --low and --high")
    _seeded(seed, random_thresholds, "--random-thresholds")
    thresholds = (100.0 if low is None else low, 200.0 if high is None else high)
    if thresholds[0] > thresholds[1]:
        raise UsageError(f"--low {thresholds[0]:g} is above --high {thresholds[1]:g}")

    def detector() -> "Detector":
        from cn.detect.lines.canny import CannyDetector

        return CannyDetector(*thresholds, random_thresholds, seed or 0)

    return Task(detector)


@shared
def hough(
    method: Annotated[str | None, method_option("hough")] = None,
    score: Annotated[
        float | None,
        typer.Option(
            "--score",
            min=0,
            max=1,
            help="mlsd: least confidence of a line. Default, as released: 0.1.",
            rich_help_panel="Lines",
        ),
    ] = None,
    length: Annotated[
        float | None,
        typer.Option(
            "--length",
            min=0,
            max=100_000,
            help="Shortest line. mlsd: in pixels of its map, of half the image's size (default 0.1); lsd: as a share "
            "of the shorter side (default 0.06).",
            rich_help_panel="Lines",
        ),
    ] = None,
    *,
    network: NetworkChoice,
) -> Task:
    """Straight lines: white, one pixel wide, on black.

    M-LSD, large or tiny as its weights are; [b]--method lsd[/b] needs no weights. An image without straight lines gives
    a black map ([b]--on-empty[/b]).
    """
    chosen = network.method("hough", method)
    if score is not None and chosen is not None and not chosen.networks:
        raise UsageError(f"--score is for --method mlsd, not {chosen.name}")

    def detector() -> "Detector":
        from cn.detect.lines.hough import SCORE, HoughDetector

        return HoughDetector(network.open("hough", chosen), SCORE if score is None else score, length)

    return Task(detector)


@shared
def hed(
    method: SoftEdgeMethod = None,
    safe: Annotated[
        bool,
        typer.Option(
            "--safe",
            help="Three gray levels only, as ControlNet 1.1's safe preprocessors: no faint traces of the picture.",
            rich_help_panel="Soft edges",
        ),
    ] = False,
    *,
    network: NetworkChoice,
) -> Task:
    """Soft edges: boundaries in shades of gray, white where sure, on black.

    HED in both published forms (ControlNetHED.pth, network-bsds500.pth), or TIN; [b]--method gradient[/b] needs no
    weights.
    """
    chosen = network.method("hed", method)

    def detector() -> "Detector":
        from cn.detect.lines.hed import HedDetector

        return HedDetector(network.open("hed", chosen), safe)

    return Task(detector)


@shared
def scribble(
    method: SoftEdgeMethod = None,
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
        int | None,
        typer.Option("--seed", metavar="N", min=0, help="For --random. Default: 0.", rich_help_panel="Scribble"),
    ] = None,
    *,
    network: NetworkChoice,
) -> Task:
    """Scribbles: thick white strokes (255) on black (0), nothing between.

    Made from soft edges of the chosen method, with the fixed settings of the release or at random;
    [b]--method gradient[/b] and [b]--from-drawing[/b] need no weights.
    """
    if from_drawing and (method is not None or random or network.is_given):
        raise UsageError("--from-drawing takes the drawing as it is: leave out --random and all that a network needs")
    _seeded(seed, random, "--random")
    chosen = None if from_drawing else network.method("hed", method)

    def detector() -> "Detector":
        from cn.detect.lines.hed import HedDetector
        from cn.detect.lines.scribble import DrawingDetector, ScribbleDetector

        if from_drawing:
            return DrawingDetector()
        return ScribbleDetector(HedDetector(network.open("hed", chosen)), random, seed or 0)

    return Task(detector)


@shared
def lineart(
    method: Annotated[
        str | None,
        method_option("lineart"),
    ] = None,
    invert: Annotated[
        bool,
        typer.Option("--invert", help="Dark lines on white, as they are drawn.", rich_help_panel="Lines"),
    ] = False,
    *,
    network: NetworkChoice,
) -> Task:
    """Line drawings: white lines on black; with [b]--invert[/b] dark lines on white.

    Anime2Sketch, made for drawn images; [b]--method standard[/b] needs no weights.
    """
    chosen = network.method("lineart", method)

    def detector() -> "Detector":
        from cn.detect.lines.lineart import LineartDetector

        return LineartDetector(network.open("lineart", chosen), invert)

    return Task(detector)


def _seeded(seed: int | None, random: bool, option: str) -> None:
    """Raises UsageError for a seed of nothing: whoever gives one believes that something is random."""
    if seed is not None and not random:
        raise UsageError(f"--seed is for {option}: without it nothing is random")
