"""Which scenes the figures show, chosen by rule and not by eye, and the prompts for each subject."""

from functools import cache

from cn.data.scenes import render_examples
from cn.scenes import caption, describe

SEED = 11
"""Of the scenes of the gallery: neither training nor evaluation renders these."""

SEARCHED = 20_000
"""Scenes that are searched for a subject."""

PROMPTS: dict[str, tuple[str, ...]] = {
    "house": (
        "a red house with a white roof on snow at night",
        "a yellow house with a blue roof on sand at sunset",
        "a green house with a brown roof in a meadow in the morning",
        "a white house with a red roof by moonlight",
        "a purple cottage with an orange roof on snow at noon",
    ),
    "car": (
        "a red car on snow at night",
        "a blue car in a meadow at noon",
        "a yellow car on a sandy beach at sunset",
        "a green car in the morning",
        "a white car on a tiled floor",
    ),
    "boat": (
        "a red boat with a white sail on a lake in the morning",
        "a blue boat with a yellow sail at night",
        "a green boat with an orange sail at sunset",
        "a white boat with a red sail on a sunny day",
        "a brown boat with a pink sail on the water at dusk",
    ),
    "dog": (
        "a white dog on grass at noon",
        "a brown dog on snow at night",
        "a black dog on a sandy beach at sunset",
        "a grey dog in a meadow in the morning",
        "an orange dog on a tiled floor",
    ),
    "cat": (
        "a white cat on grass at noon",
        "a black cat on snow at dusk",
        "an orange cat on a sandy beach at sunset",
        "a grey cat in a meadow in the morning",
        "a brown cat on a tiled floor at night",
    ),
    "tower": (
        "a white tower with a red roof on snow at night",
        "a yellow tower with a green roof in a meadow at noon",
        "a brown castle tower with a blue roof on sand at sunset",
        "a grey tower with a purple roof in the morning",
        "a pink tower with a white roof by moonlight",
    ),
    "chair": (
        "a red chair in a meadow at noon",
        "a white chair on snow at night",
        "a blue chair on a sandy beach at sunset",
        "a yellow chair on a tiled floor",
        "a green chair in the morning",
    ),
    "person": (
        "a woman in a red coat on snow at night",
        "a man in a blue jacket on a beach at sunset",
        "a girl in a yellow dress in a meadow at noon",
        "a boy in a green jumper on a tiled floor",
        "a man in a purple shirt in the morning",
    ),
    "people": (
        "a woman in a red coat and a man in a blue jacket on snow at night",
        "a man and a woman on a sandy beach at sunset",
        "two people dancing in a meadow at noon",
        "a girl in a yellow dress and a boy in a green jumper on a tiled floor",
        "two children in a meadow in the morning",
    ),
}
"""Subject → prompts in the words of the built-in scenes, besides the scene's own caption."""

SUBJECTS: dict[str, str] = {
    "canny": "house",
    "hough": "tower",
    "hed": "dog",
    "scribble": "car",
    "openpose": "person",
    "openpifpaf": "people",
    "ade20k": "house",
    "coco": "boat",
    "depth": "car",
    "normal": "chair",
    "lineart": "cat",
}
"""Condition → what is in the scene that shows it."""


@cache
def find(subject: str, skip: int = 0, ground: str | None = None) -> int:
    """The number of the first scene whose main things are those of the subject and no others, after `skip` such scenes.

    "house+person" is two things, "people" two of "person". With `ground`, of those on it. LookupError where there is
    none.
    """
    wanted = sorted(["person", "person"] if subject == "people" else subject.split("+"))
    for number in range(SEARCHED):
        if sorted(_things(number)) != wanted or ground not in (None, describe(SEED, number).ground):
            continue
        if "person" in wanted and not _is_rendered_with_poses(number):
            continue
        if skip == 0:
            return number
        skip -= 1
    raise LookupError(f"none of {SEARCHED} scenes of seed {SEED} shows {subject}: choose another subject")


def _is_rendered_with_poses(number: int) -> bool:
    """Whether `cn dataset synth` renders this scene for pose maps, too: it takes another one where too little shows."""
    return render_examples(("openpose",), 64, SEED, number)["openpose"].prompt == own_caption(number)


@cache
def largest_group() -> int:
    """The number of the first scene, of the first 2,000, that shows the most people."""
    return max(range(2000), key=lambda number: _things(number).count("person"))


@cache
def _things(number: int) -> list[str]:
    """The kinds of the main things of a scene."""
    return [item.kind for item in describe(SEED, number).items]


def own_caption(number: int) -> str:
    """What `cn dataset synth` writes as the prompt of a scene."""
    return caption(describe(SEED, number))
