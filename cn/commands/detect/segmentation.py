"""`cn detect ade20k|coco|palette`: segmentation into classes."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cn import console
from cn.commands.detect.network_options import Ade20kNetworkOptions, CocoNetworkOptions, NetworkOptions
from cn.commands.detect.shared import Task, network_task, shared
from cn.commands.options import Given, Json
from cn.detect.settings import METHOD_PANEL, SEGMENTATION_PANEL, Ade20kSettings, CocoSettings, label_suffixes
from cn.errors import UsageError

if TYPE_CHECKING:
    from cn.detect.detector import Detector

Ids = Annotated[
    str | None,
    typer.Option(
        "--ids",
        metavar="FOLDER",
        help="Also write the classes of each image to FOLDER/NAME.png: a gray image of ids from 0, 255 for none. "
        "Colors cannot always be converted back into classes.",
        rich_help_panel=SEGMENTATION_PANEL,
    ),
]
Nearest = Annotated[
    bool,
    typer.Option(
        "--nearest",
        help="For --from-labels colors: areas whose color is not in the palette become the class with the nearest "
        "color. Default: no class, and a warning that names them.",
        rich_help_panel=METHOD_PANEL,
    ),
]


@shared
def ade20k(
    given: Given[Ade20kSettings],
    from_labels: Annotated[
        Literal["challenge", "full", "ids", "colors"] | None,
        typer.Option(
            "--from-labels",
            help="The files are label maps, not photographs: of the challenge (0 none, 1–150), of the full release "
            "(…_seg.png), plain ids (0–149, 255 none; .png or .npy), or in the colors of the palette. No weights.",
            rich_help_panel=METHOD_PANEL,
        ),
    ] = None,
    nearest: Nearest = False,
    ids: Ids = None,
    *,
    network: Ade20kNetworkOptions,
) -> Task:
    """Segmentation: ADE20K's 150 classes in the colors (RGB) that existing controls expect.

    By a network, or from the dataset's own labels ([b]--from-labels[/b]). [b]cn detect palette ade20k[/b]
    prints the colors. With [b]--json[/b] each record contains the fraction of the image that each class has.
    """
    _check_nearest(nearest, from_labels)
    if from_labels is not None:
        _check_no_network(network, given)

        def labels() -> "Detector":
            from cn.detect.segmentation.detectors import Ade20kLabels

            return Ade20kLabels(from_labels, nearest=nearest, wants_ids=ids is not None)

        return Task(labels, label_suffixes(from_labels), ids)
    return network_task("ade20k", network, given, sidecars=ids)


@shared
def coco(
    given: Given[CocoSettings],
    from_labels: Annotated[
        Literal["stuffthingmaps", "ids", "panoptic", "colors"] | None,
        typer.Option(
            "--from-labels",
            help="The files are label maps, not photographs: COCO-Stuff's stuffthingmaps (0–181, 255 none), plain ids "
            "(0–170, 255 none; .png or .npy), COCO's panoptic PNGs, or in the colors of the palette. No weights.",
            rich_help_panel=METHOD_PANEL,
        ),
    ] = None,
    panoptic_json: Annotated[
        str | None,
        typer.Option(
            "--panoptic-json",
            metavar="FILE",
            help="For --from-labels panoptic: panoptic_train2017.json or panoptic_val2017.json.",
            rich_help_panel=METHOD_PANEL,
        ),
    ] = None,
    nearest: Nearest = False,
    ids: Ids = None,
    *,
    network: CocoNetworkOptions,
) -> Task:
    """Segmentation: COCO-Stuff's 171 classes in the colors (RGB) in common use.

    By a network, or from the dataset's own labels, which the paper used ([b]--from-labels[/b]).
    [b]cn detect palette coco[/b] prints the colors. With [b]--json[/b] each record contains the fraction of the image
    that each class has.
    """
    if (panoptic_json is not None) != (from_labels == "panoptic"):
        raise UsageError("--from-labels panoptic and --panoptic-json FILE go together")
    _check_nearest(nearest, from_labels)
    if from_labels is not None:
        _check_no_network(network, given)

        def labels() -> "Detector":
            from cn.detect.segmentation.detectors import CocoLabels

            return CocoLabels(from_labels, panoptic_json, nearest, ids is not None)

        return Task(labels, label_suffixes(from_labels), ids)
    return network_task("coco", network, given, sidecars=ids)


def _check_nearest(nearest: bool, layout: str | None) -> None:
    if nearest and layout != "colors":
        raise UsageError("--nearest is for --from-labels colors")


def _check_no_network(network: NetworkOptions, given: Given[Any]) -> None:
    if network.method is not None or network.is_given or given:
        raise UsageError(
            "--from-labels needs no network: leave out --method, --weights and the network's other options"
        )


def palette(
    kind: Annotated[
        Literal["ade20k", "coco"], typer.Argument(metavar="KIND", help="ade20k or coco.", show_default=False)
    ],
    json: Json = False,
) -> None:
    """The colors of segmentation maps: id, red, green, blue, hexadecimal, class; a line each.

    Classes that share their color with others are marked: they cannot be distinguished in a map.
    """
    from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF

    chosen = {"ade20k": ADE20K, "coco": COCO_STUFF}[kind]
    shared_by = chosen.shared()
    for number, (name, color) in enumerate(chosen.entries):
        others = [chosen.name_of(other) for other in shared_by.get(color, ()) if other != number]
        text = "#{:02x}{:02x}{:02x}".format(*color)
        if json:
            record = {"id": number, "name": name, "rgb": color, "hex": text, "shared_with": others}
            console.emit(record, json=True)
        else:
            mark = f"  (as {', '.join(others)})" if others else ""
            console.emit(f"{number:3}  {color[0]:3} {color[1]:3} {color[2]:3}  {text}  {name}{mark}")
