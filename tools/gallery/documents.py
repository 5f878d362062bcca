"""The images of README.md and docs/ that the bundled base makes, besides those of the gallery."""

from cn.conditions import KINDS
from tools.gallery.commands import detect, map_of, rendering_of, sample, samples, scene, train
from tools.gallery.figure import Cell, Command, Figure, Plan, Settings
from tools.gallery.scenes import PROMPTS, find, own_caption

SHOWN = (("canny", "house"), ("depth", "car"), ("openpose", "person"))
"""Condition and subject of each row of the samples of the README."""

README_PROMPTS = ("a yellow house on sand at dusk", "a red house on snow at night")
"""Of its quick start."""

SCENE_SUBJECTS = ("person", "house+person")
PAIRS = 4
HOUSE = 3
"""Which of the houses the quick start shows: the gallery shows those before."""


def house(settings: Settings) -> Plan:
    """The image of the quick start."""
    number = find("house", HOUSE)
    return Plan((scene("house", number, "canny"),), (Cell(rendering_of("house", number)),), columns=1)


def quick_start(settings: Settings) -> Plan:
    """The lines of the quick start, with their image."""
    number = find("house", HOUSE)
    image, (yellow, red) = rendering_of("house", number), README_PROMPTS
    data = ("cn", "dataset", "synth", "data", "--cond", "canny", "--count", "256")
    return Plan(
        commands=(
            scene("house", number, "canny"),
            detect("canny", image, "edges.png"),
            sample(settings, "--cond", "edges.png", kinds=["canny"], prompts=[yellow], out="yellow"),
            Command(data, ("data/prompt.json",)),
            train("run", "--cond", "canny", "--data", "data"),
            sample(*(settings, "--cond", "edges.png", "--control", "run"), kinds=["canny"], prompts=[red], out="red"),
        ),
        cells=(
            Cell(image, "image"),
            Cell("edges.png", "edges"),
            Cell("yellow/canny-seed0.png", f"bundled ControlNet: {yellow}"),
            Cell("red/canny-seed0.png", f"trained here: {red}"),
        ),
        columns=4,
    )


def shown_prompts(subject: str) -> tuple[int, tuple[str, ...]]:
    """The scene of a row of the README's samples, and its prompts: its own caption, and two others."""
    number = find(subject, HOUSE)
    return number, (own_caption(number), *PROMPTS[subject][:2])


def readme_samples(settings: Settings) -> Plan:
    """Three conditions, three prompts each."""
    commands, cells = list[Command](), list[Cell | None]()
    for kind, subject in SHOWN:
        number, prompts = shown_prompts(subject)
        condition = map_of(kind, number)
        commands += [
            scene(kind, number, kind),
            sample(settings, "--cond", condition, kinds=[kind], prompts=prompts, out=f"{kind}-samples"),
        ]
        made = samples(f"{kind}-samples", [kind], len(prompts), 1)
        cells += [Cell(condition), *(Cell(row[0], prompt) for prompt, row in zip(prompts, made, strict=True))]
    titles = ("condition", "its own caption", "another prompt", "yet another")
    rows = tuple(kind for kind, _ in SHOWN)
    return Plan(tuple(commands), tuple(cells), columns=4, column_titles=titles, row_titles=rows)


def scene_maps(settings: Settings) -> Plan:
    """Built-in scenes and all maps that they give."""
    kinds = settings.usable(KINDS)
    commands, cells = list[Command](), list[Cell | None]()
    for subject in SCENE_SUBJECTS:
        number, folder = find(subject, HOUSE), subject.replace("+", "-")
        commands.append(scene(folder, number, *kinds))
        shown = [Cell(rendering_of(folder, number, kinds[0]), own_caption(number))]
        shown += [Cell(map_of(folder, number, kind), kind) for kind in kinds]
        columns = min(6, len(shown))
        cells += [*shown, *[None] * (-len(shown) % columns)]
    return Plan(tuple(commands), tuple(cells), columns=columns, cell=192)


def default_training(settings: Settings) -> Plan:
    """What a run with default settings draws of itself."""
    return _training("--cond", "canny")


def small_training(settings: Settings) -> Plan:
    """The same for the middle block alone."""
    return _training("--cond", "canny", "--small-scale")


def _training(*words: str) -> Plan:
    command = train("run", *words)
    return Plan((command,), (Cell("run/curves.png"),), columns=1, facts="run/summary.json")


def evaluation(settings: Settings) -> Plan:
    """Pairs of an evaluation: condition, original, reconstruction, samples with and without the control."""
    count = str(PAIRS)
    data = ("cn", "dataset", "synth", "pairs", "--cond", "canny", "--count", count, "--seed", "12")
    line = ("cn", "eval", "canny", "--data", "pairs", "--count", count, "--out", "eval")
    steps = ("--steps", str(settings.steps)) if settings.steps else ()
    titles = ("condition", "original", "reconstruction", "canny", "no control")
    cells, pairs = list[Cell | None](), list[str]()
    for number in range(PAIRS):
        name = f"{number:06d}.png"
        pairs += [f"pairs/source/{name}", f"pairs/target/{name}"]
        cells += map(Cell, pairs[-2:])
        cells += [Cell(f"eval/samples/{title.replace(' ', '?')}-????????/{name}") for title in titles[2:]]
    return Plan(
        commands=(
            Command(data, tuple(pairs)),
            Command((*line, *steps), ("eval/report.json",), samples=2 * PAIRS),
        ),
        cells=tuple(cells),
        columns=len(titles),
        column_titles=titles,
        cell=160,
    )


FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure("house", "The image of the quick start", "", house, suffix=".png"),
        Figure("samples", "Samples", "", readme_samples, kinds=tuple(kind for kind, _ in SHOWN)),
        Figure("conditions-scenes", "Built-in scenes", "", scene_maps),
        Figure("eval-report", "Pairs of an evaluation", "", evaluation, kinds=("canny",)),
        Figure("quick-start", "The quick start", "", quick_start, kinds=("canny",)),
        Figure("default-run", "Loss and edge F1 of a default run", "", default_training, suffix=".png"),
        Figure("small-scale-run", "Loss and edge F1 of a small-scale run", "", small_training, suffix=".png"),
    )
}
"""In the order in which they are made: those that train come last."""
