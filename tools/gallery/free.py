"""Input that no renderer of ours made: drawings by hand, stick figures, depth of another renderer."""

from tools.gallery.commands import detect, draw, sample, samples
from tools.gallery.figure import Cell, Figure, Plan, Settings, sampled
from tools.gallery.scenes import PROMPTS

DRAWN = (
    ("house", (PROMPTS["house"][0], "a house and a tree in a meadow at noon")),
    ("car", PROMPTS["car"][:2]),
    ("person", PROMPTS["person"][:2]),
)
FIGURES_DRAWN = (
    ("cheering", ("a woman in a red coat cheering on snow", "a boy in a blue shirt in a meadow at noon")),
    (
        "couple",
        (
            "a man and a woman on a sandy beach at sunset",
            "a man in a red coat and a woman in a blue dress on snow at night",
        ),
    ),
    ("three", ("three people in a meadow in the morning", "three children on snow at noon")),
)
RENDERED = (
    ("balls", ("a red ball and a blue box on grass at noon", "a white ball and a green box on snow at dusk")),
    ("cottage", PROMPTS["house"][:2]),
)


def drawings(settings: Settings) -> Plan:
    """A drawing, its scribble map, two prompts with two seeds."""
    return _plan(settings, "scribble", [(name, ".png", ("--from-drawing",), prompts) for name, prompts in DRAWN])


def stick_figures(settings: Settings) -> Plan:
    """A file of keypoints, its map, two prompts with two seeds."""
    return _plan(settings, "openpose", [(name, ".json", ("--from-json",), prompts) for name, prompts in FIGURES_DRAWN])


def depth(settings: Settings) -> Plan:
    """Distances in millimeters, their map, two prompts with two seeds."""
    return _plan(settings, "depth", [(name, ".png", ("--from-depth",), prompts) for name, prompts in RENDERED])


def _plan(settings: Settings, kind: str, rows: list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]) -> Plan:
    """A row for each (name, suffix of the file that is drawn, options of `cn detect`, prompts)."""
    commands, cells, count = [], list[Cell | None](), settings.count(2)
    for name, suffix, options, prompts in rows:
        condition = f"{name}-{kind}.png"
        commands += [
            draw(name if kind != "depth" else f"depth-{name}", f"{name}{suffix}"),
            detect(kind, f"{name}{suffix}", condition, *options),
            sample(settings, "--cond", condition, kinds=[kind], prompts=prompts, count=count, out=name),
        ]
        # A drawing is an image to be shown; keypoints and 16-bit distances are not.
        cells += [Cell(f"{name}{suffix}", "drawing")] if kind == "scribble" else []
        cells += [Cell(condition, "condition")]
        cells += sampled(samples(name, [kind], len(prompts), count), prompts)
    return Plan(tuple(commands), tuple(cells), columns=len(cells) // len(rows), cell=192 if kind == "scribble" else 208)


FIGURES = (
    Figure(
        "drawings",
        "Drawings by a shaky hand",
        "Strokes of a program that draws like a hand: it trembles, overshoots and leaves gaps.",
        drawings,
        kinds=("scribble",),
    ),
    Figure(
        "stick-figures",
        "Stick figures from JSON",
        "Keypoints that were written by hand, in the format of OpenPose and of the web UIs' editors.",
        stick_figures,
        kinds=("openpose",),
    ),
    Figure(
        "depth-render",
        "Depth of another renderer",
        "Distances in millimeters of simple solids, as a depth camera or another renderer gives them.",
        depth,
        kinds=("depth",),
    ),
)
