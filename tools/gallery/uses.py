"""What else the paper does with a ControlNet: poses, masks, half of the steps, prompt settings, two controls."""

from dataclasses import replace

from tools.gallery.commands import detect, draw, map_of, rendering_of, sample, sample_folder, samples, scene
from tools.gallery.figure import AUTOMATIC, Cell, Figure, Plan, Settings, sampled
from tools.gallery.scenes import PROMPTS, SUBJECTS, find, largest_group, own_caption

POSES = 8
CAPTIONS = 64


def used(subject: str) -> int:
    """How many scenes of a subject other figures show: the next one is new."""
    return list(SUBJECTS.values()).count(subject) + 1


def many_poses(settings: Settings) -> Plan:
    """One prompt, eight poses, each with its sample below."""
    numbers = [find("person", skip) for skip in range(POSES)]
    prompt, columns = PROMPTS["person"][1], POSES // 2
    names = [f"{number:06d}.png" for number in numbers]
    cells: list[Cell] = []
    for start in range(0, POSES, columns):
        cells += [Cell(map_of("poses", number)) for number in numbers[start : start + columns]]
        cells += [Cell(f"samples/{name}") for name in names[start : start + columns]]
    return Plan(
        commands=(
            *(scene("poses", number, "openpose") for number in numbers),
            sample_folder(settings, "poses/source", names, prompt),
        ),
        cells=tuple(cells),
        columns=columns,
        listed=(f"Prompt: {prompt}",),
    )


def groups(settings: Settings) -> Plan:
    """Two scenes with two people, and that with the most: two prompts, two seeds."""
    commands, cells, count = [], list[Cell | None](), settings.count(2)
    first = used("people")
    for position, number in enumerate((find("people", first), find("people", first + 1), largest_group())):
        out, folder = f"samples{position + 1}", f"scene{position + 1}"
        prompts = (own_caption(number), PROMPTS["people"][position])
        condition = map_of(folder, number)
        commands += [
            scene(folder, number, "openpose"),
            sample(settings, "--cond", condition, kinds=["openpose"], prompts=prompts, count=count, out=out),
        ]
        cells += [Cell(condition, "condition"), Cell(rendering_of(folder, number), "scene (not given)")]
        cells += sampled(samples(out, ["openpose"], len(prompts), count), prompts)
    return Plan(tuple(commands), tuple(cells), columns=len(cells) // 3, cell=192)


def masked(settings: Settings) -> Plan:
    """A tree scribbled beside a thing, and other clothes for a person; all else stays as it is."""
    count = settings.count(3)
    thing, person = find("dog", ground="meadow"), find("person", used("person"), ground="snow")
    image, edges = rendering_of("scene", thing), map_of("person", person, "canny")
    added, clothes = f"{own_caption(thing)}, a green tree on the right", "a woman in a yellow coat on snow"
    start = ("--image", image, "--mask", "tree-mask.png", "--cond", "scribble.png")
    portrait = rendering_of("person", person, "canny")
    dressed = ("--image", portrait, "--mask", "person-mask.png", "--cond", edges)
    trees = samples("trees", ["scribble"], 1, count)[0]
    coats = samples("coats", ["canny"], 1, count)[0]
    return Plan(
        commands=(
            scene("scene", thing, "canny"),
            draw("tree", "tree.png"),
            detect("scribble", "tree.png", "scribble.png", "--from-drawing"),
            draw("tree-mask", "tree-mask.png"),
            sample(settings, *start, kinds=["scribble"], prompts=[added], count=count, out="trees"),
            scene("person", person, "canny", "openpose"),
            draw("mask-of", "person-mask.png", map_of("person", person, "openpose")),
            sample(settings, *dressed, kinds=["canny"], prompts=[clothes], count=count, out="coats"),
        ),
        cells=(
            *(Cell(image, "image"), Cell("tree-mask.png", "mask"), Cell("scribble.png", "condition")),
            *sampled([trees], [added]),
            *(Cell(portrait, "image"), Cell("person-mask.png", "mask"), Cell(edges, "condition")),
            *sampled([coats], [clothes]),
        ),
        columns=3 + count,
        cell=192,
    )


def half(settings: Settings) -> Plan:
    """The control in all steps, and in the first half of them, with the same noise."""
    number, count = find("house", used("house")), settings.count(4)
    condition, prompt = map_of("scene", number), PROMPTS["tower"][0]
    options = ("--cond", condition, "--control-end", "0.5")
    whole, part = (samples(out, ["canny"], 1, count)[0] for out in ("whole", "half"))
    return Plan(
        commands=(
            scene("scene", number, "canny"),
            sample(settings, *options[:2], kinds=["canny"], prompts=[prompt], count=count, out="whole"),
            sample(settings, *options, kinds=["canny"], prompts=[prompt], count=count, out="half"),
        ),
        cells=(Cell(condition), *map(Cell, whole), Cell(condition), *map(Cell, part)),
        columns=1 + count,
        column_titles=("condition", *(f"seed {seed}" for seed in range(count))),
        row_titles=("all steps", "the first half"),
        listed=(f"Prompt: {prompt}",),
    )


def prompt_settings(settings: Settings) -> Plan:
    """The paper's four: no prompt, the default one, an automatic one, the user's (§4.1)."""
    number, count = find("car", used("car")), settings.count(3)
    condition, prompt = map_of("scene", number), PROMPTS["car"][0]
    commands, cells = [scene("scene", number, "canny")], list[Cell | None]()
    for mode in ("none", "default", "auto", "user"):
        prompts = [prompt] if mode == "user" else []
        chosen = () if mode == "user" else ("--prompt-mode", mode)
        passes = 2 if mode == "auto" else 1
        commands.append(
            sample(
                *(settings, "--cond", condition, *chosen),
                kinds=["canny"],
                prompts=prompts,
                count=count,
                out=mode,
                passes=passes,
            )
        )
        label = AUTOMATIC if mode == "auto" else ""
        cells += [Cell(condition), *(Cell(path, label) for path in samples(mode, ["canny"], 1, count)[0])]
    return Plan(
        tuple(commands),
        tuple(cells),
        columns=1 + count,
        column_titles=("condition", *(f"seed {seed}" for seed in range(count))),
        row_titles=("no prompt", "the default prompt", "automatic (below each)", prompt),
        cell=192,
    )


def two_controls(settings: Settings) -> Plan:
    """Pose and depth of the same scene: each alone, then both."""
    number, count = find("people", used("people") + 2), settings.count(4)
    prompt = own_caption(number)
    maps = {kind: map_of("scene", number, kind) for kind in ("openpose", "depth")}
    commands, cells = [scene("scene", number, *maps)], list[Cell | None]()
    for kinds in (["openpose"], ["depth"], ["openpose", "depth"]):
        given = [word for kind in kinds for word in ("--cond", maps[kind])]
        out = "-".join(kinds)
        commands.append(sample(settings, *given, kinds=kinds, prompts=[prompt], count=count, out=out))
        cells += [Cell(maps[kind]) if kind in kinds else None for kind in maps]
        cells += [Cell(path) for path in samples(out, kinds, 1, count)[0]]
    return Plan(
        tuple(commands),
        tuple(cells),
        columns=2 + count,
        column_titles=("pose", "depth", *(f"seed {seed}" for seed in range(count))),
        row_titles=("pose alone", "depth alone", "both"),
        cell=192,
        listed=(f"Prompt: {prompt}",),
    )


def captions(settings: Settings) -> Plan:
    """The base alone: captions of scenes that it has not seen, one image each."""
    texts = [own_caption(number) for number in range(CAPTIONS)]
    made = [row[0] for row in samples("samples", [], CAPTIONS, 1)]
    sampling = sample(settings, "--prompts", "captions.txt")
    return Plan(
        commands=(
            draw("captions", "captions.txt", str(CAPTIONS)),
            replace(sampling, makes=tuple(made), samples=CAPTIONS),
        ),
        cells=tuple(map(Cell, made)),
        columns=8,
        cell=144,
        listed=tuple(texts),
    )


FIGURES = (
    Figure(
        "poses",
        "One prompt, many poses",
        "The first eight scenes with one person; below each pose the sample with seed 0 (Fig. 10 of the paper).",
        many_poses,
        kinds=("openpose",),
    ),
    Figure(
        "groups",
        "Several people in one map",
        "Two people, and the largest group of 2,000 scenes; the first prompt is the scene's own caption.",
        groups,
        kinds=("openpose",),
    ),
    Figure(
        "masked",
        "Masked editing",
        "Only what is white in the mask is sampled anew (Fig. 16): a tree that is scribbled in, other clothes within "
        "the same edges.",
        masked,
        kinds=("canny", "scribble", "openpose"),
    ),
    Figure(
        "half",
        "Half of the steps",
        "With the control in the first half of the steps the prompt decides more, and the map gives the layout "
        "(Fig. 27). The lines are those of a house, the prompt names a tower.",
        half,
        kinds=("canny",),
    ),
    Figure(
        "prompt-settings",
        "No, default, automatic and own prompt",
        "The four settings of §4.1, with the same noise in each column.",
        prompt_settings,
        kinds=("canny",),
    ),
    Figure(
        "two-controls",
        "Two controls at once",
        "The pose says nothing about the rest of the scene, the depth map little about limbs; together they say both.",
        two_controls,
        kinds=("openpose", "depth"),
    ),
    Figure(
        "captions",
        "64 captions",
        "The base alone, without a control: the captions of the first 64 scenes of a seed that it was not trained on, "
        "one image each, none left out.",
        captions,
    ),
)
