"""`cn detect canny|hough|hed|scribble|lineart`: edges and lines."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cn.commands.detect.network_options import HedNetworkOptions, HoughNetworkOptions, LineartNetworkOptions
from cn.commands.detect.shared import Task, network_task, shared
from cn.commands.options import Given
from cn.detect.settings import (
    METHOD_PANEL,
    CannySettings,
    HedSettings,
    HoughSettings,
    LineartSettings,
    ScribbleSettings,
)
from cn.errors import UsageError

if TYPE_CHECKING:
    from cn.detect.detector import Detector


@shared
def canny(given: Given[CannySettings]) -> Task:
    """Canny edges: white lines, one pixel wide, on black.

    Each PNG stores its detector and thresholds; [b]cn sample[/b] and [b]cn train[/b] read them. Files that are already
    in DST are skipped, so that an interrupted run can be resumed.
    """
    settings = CannySettings(**given)
    _check_seed(given, "--random-thresholds")
    if settings.random and ("low" in given or "high" in given):
        raise UsageError("--random-thresholds chooses the thresholds: leave out --low and --high")
    if settings.low > settings.high:
        raise UsageError(f"--low {settings.low:g} is above --high {settings.high:g}")

    def detector() -> "Detector":
        from cn.detect.lines.canny import CannyDetector

        return CannyDetector(**given)

    return Task(detector)


@shared
def hough(given: Given[HoughSettings], network: HoughNetworkOptions) -> Task:
    """Straight lines: white, one pixel wide, on black.

    An image without straight lines gives a black map ([b]--on-empty[/b]).
    """
    chosen = network.chosen
    if "score" in given and chosen is not None and not chosen.networks:
        raise UsageError(f"--score is for --method mlsd, not {chosen.name}")
    return network_task("hough", network, given)


@shared
def hed(given: Given[HedSettings], network: HedNetworkOptions) -> Task:
    """Soft edges: boundaries in shades of gray on black, white where certain."""
    return network_task("hed", network, given)


@shared
def scribble(
    given: Given[ScribbleSettings],
    from_drawing: Annotated[
        bool,
        typer.Option(
            "--from-drawing",
            help="The images are drawings, dark on light or light on dark: their ink is the scribble. No weights.",
            rich_help_panel=METHOD_PANEL,
        ),
    ] = False,
    *,
    network: HedNetworkOptions,
) -> Task:
    """Scribbles: thick white strokes (255) on black (0), nothing between.

    Made from soft edges of the chosen method, with the fixed settings of the release or at random.
    """
    if from_drawing and (network.method is not None or given.get("random") or network.is_given):
        raise UsageError("--from-drawing takes the drawing as it is: leave out --random and all options of networks")
    _check_seed(given, "--random")
    if not from_drawing:
        network.check()

    def detector() -> "Detector":
        from cn.detect.lines.hed import HedDetector
        from cn.detect.lines.scribble import DrawingDetector, ScribbleDetector

        return DrawingDetector() if from_drawing else ScribbleDetector(soft=HedDetector(network.open()), **given)

    return Task(detector)


@shared
def lineart(given: Given[LineartSettings], network: LineartNetworkOptions) -> Task:
    """Line drawings: white lines on black; with [b]--invert[/b] dark lines on white."""
    return network_task("lineart", network, given)


def _check_seed(given: Given[Any], option: str) -> None:
    """Raises UsageError for a seed that has no effect: a user who gives one expects something random."""
    if "seed" in given and not given.get("random"):
        raise UsageError(f"--seed is for {option}: without it nothing is random")
