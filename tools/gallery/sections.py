"""The headings of docs/gallery.md, in order, and their figures."""

from tools.gallery import free, kinds, uses
from tools.gallery.figure import Figure, Section

_others = {figure.name: figure for figure in (*uses.FIGURES, *free.FIGURES)}


def _named(*names: str) -> tuple[Figure, ...]:
    return tuple(_others[name] for name in names)


SECTIONS = (
    Section(
        "One condition, many prompts",
        "As Figs. 4–9 of the paper, with each of its conditions. The first prompt is the scene's own caption, the "
        "others change colors, ground and light.",
        kinds.PROMPTS_OF,
    ),
    Section("Poses", "", _named("poses", "groups", "stick-figures")),
    Section(
        "All conditions of one scene",
        "As Figs. 23–25: below each map the sample that follows it, with the scene's caption and seed 0; below the "
        "scene that of the caption alone.",
        kinds.CONDITIONS_OF,
    ),
    Section("Editing and control", "", _named("masked", "half", "prompt-settings", "two-controls")),
    Section("Input from elsewhere", "", _named("drawings", "depth-render")),
    Section("The base alone", "", _named("captions")),
)

FIGURES: dict[str, Figure] = {figure.name: figure for section in SECTIONS for figure in section.figures}
