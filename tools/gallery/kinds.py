"""One condition under many prompts (Figs. 4–9 of the paper), and all conditions of a scene side by side (23–25)."""

from cn.conditions import KINDS
from tools.gallery.commands import map_of, rendering_of, sample, sample_folder, samples, scene
from tools.gallery.figure import Cell, Figure, Plan, Settings, sampled
from tools.gallery.scenes import PROMPTS, SUBJECTS, find, own_caption

NAMES = {
    "canny": "Canny edges",
    "hough": "Hough lines",
    "hed": "HED boundaries",
    "scribble": "Scribbles",
    "openpose": "OpenPose",
    "openpifpaf": "OpenPifPaf",
    "ade20k": "ADE20K segmentation",
    "coco": "COCO segmentation",
    "depth": "Depth",
    "normal": "Normals",
    "lineart": "Line art",
}
"""Titles."""

SCENES = ("house+person", "person", "people")
"""The subjects of the scenes whose conditions are shown side by side: poses need people."""


def prompts_of(kind: str) -> Figure:
    """The map of a scene, the scene, and a sample for its own caption and for each other prompt."""
    subject = SUBJECTS[kind]

    def plan(settings: Settings) -> Plan:
        # The second scene where two kinds show the same.
        shown = [other for other in SUBJECTS if SUBJECTS[other] == subject]
        number, count = find(subject, shown.index(kind)), settings.count(1)
        prompts = (own_caption(number), *PROMPTS[subject])
        condition = map_of("scene", number)
        made = sampled(samples("samples", [kind], len(prompts), count), prompts)
        return Plan(
            commands=(
                scene("scene", number, kind),
                sample(settings, "--cond", condition, kinds=[kind], prompts=prompts, count=count),
            ),
            cells=(Cell(condition, "condition"), Cell(rendering_of("scene", number), "scene (not given)"), *made),
            columns=4,
        )

    return Figure(f"prompts-{kind}", NAMES[kind], "", plan, kinds=(kind,))


def conditions_of(position: int) -> Figure:
    """A scene and its maps, and below each a sample with the scene's caption: that below the scene has no control."""

    def plan(settings: Settings) -> Plan:
        # Not the scenes that `prompts_of` shows.
        subject = SCENES[position]
        number = find(subject, list(SUBJECTS.values()).count(subject))
        kinds, prompt = settings.usable(KINDS), own_caption(number)
        several = len(kinds) > 1
        maps = {kind: map_of("scene", number, kind if several else None) for kind in kinds}
        names = [f"{kind}/source/{number:06d}.png" for kind in kinds] if several else [f"{number:06d}.png"]
        pattern = f"scene/*/source/{number:06d}.png" if several else "scene/source"
        columns = -(-(len(kinds) + 1) // 2)
        top = [
            Cell(rendering_of("scene", number, kinds[0] if several else None), "scene"),
            *map(_map_cell, maps.items()),
        ]
        below = [Cell("alone/base-seed0.png", "no control"), *(Cell(f"samples/{name}") for name in names)]
        return Plan(
            commands=(
                scene("scene", number, *kinds),
                sample_folder(settings, pattern, names, prompt),
                sample(settings, prompts=[prompt], out="alone"),
            ),
            cells=(*_pairs(top, below, columns),),
            columns=columns,
            cell=192,
            listed=(f"Prompt: {prompt}",),
        )

    return Figure(f"conditions-{position + 1}", f"Scene {position + 1}", "", plan, kinds=KINDS, some=True)


def _map_cell(entry: tuple[str, str]) -> Cell:
    kind, path = entry
    return Cell(path, kind)


def _pairs(top: list[Cell], below: list[Cell], columns: int) -> list[Cell | None]:
    """Rows of `columns` cells: one of `top`, then those that belong below it, and so on."""
    cells: list[Cell | None] = []
    for start in range(0, len(top), columns):
        for row in (top, below):
            part = row[start : start + columns]
            cells += [*part, *[None] * (columns - len(part))]
    return cells


PROMPTS_OF = tuple(prompts_of(kind) for kind in KINDS)
CONDITIONS_OF = tuple(conditions_of(position) for position in range(len(SCENES)))
