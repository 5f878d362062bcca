"""Whether a word of the prompt shows in the sample: each scene is sampled in four versions that differ in one word.

A sample counts as right where the reader, which is asked for nothing but what differs, finds its own version likelier
than the other three: 0.25 is chance. The prompts name everything, and all versions of a scene have the same noise.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cn.caption.scene_labels import COLORS, GROUNDS, LIGHTS, PERSON, WEATHERS
from cn.caption.scene_reader import Reading, SceneReader, prepare
from cn.pretrain.evaluation.held_out import Images
from cn.pretrain.labels import NUMBER_OF_PART, parts_of
from cn.scenes import Scene, describe, kinds, versions
from cn.scenes.captions import full_caption

ATTRIBUTES = ("color", "light", "ground", "weather")
ANSWERS = {"light": LIGHTS, "ground": GROUNDS, "weather": WEATHERS}
VERSIONS = 4
SEARCHED = 50
"""Scenes that are looked at for each that is wanted."""
FIRST = 100_000
"""Number of the first scene: none of those on which fidelity is measured."""


@dataclass(frozen=True)
class Question:
    """A scene in four versions, with the word in which each differs from the others."""

    scenes: tuple[Scene, ...]
    words: tuple[str, ...]
    part: tuple[str, str] | None = None
    """The (thing, part) whose color differs."""


def questions(attribute: str, seed: int, count: int) -> list[Question]:
    """The first `count` scenes that have four versions with different prompts; fewer, if there are hardly any."""
    return list(islice(_questions(attribute, seed, SEARCHED * count), count))


def _questions(attribute: str, seed: int, searched: int) -> Iterator[Question]:
    for number in range(FIRST, FIRST + searched):
        scene, rng = describe(seed, number), np.random.default_rng([seed, number])
        question = _in_colors(scene, rng) if attribute == "color" else _in_surroundings(scene, attribute, rng)
        if question is not None and len({full_caption(version) for version in question.scenes}) == VERSIONS:
            yield question


def _in_colors(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Another color of one part of a thing that is the only one of its kind."""
    alike = Counter(item.kind for item in scene.items)
    used = {color for item in scene.items for color in parts_of(item).values()}
    for place in rng.permutation(len(scene.items)):
        item = scene.items[place]
        choices = (("top", kinds.ALL),) if item.kind == PERSON else kinds.KINDS[item.kind].parts
        for part, colors in choices:
            own, free = parts_of(item)[part], sorted(set(colors) - used)
            if alike[item.kind] == 1 and own in COLORS and len(free) >= VERSIONS - 1:
                words = _words(own, free, rng)
                scenes = tuple(versions.recolored(scene, item, part, word) for word in words)
                return Question(scenes, words, (item.kind, part))
    return None


def _in_surroundings(scene: Scene, attribute: str, rng: np.random.Generator) -> Question | None:
    """Another light, ground or weather, where there may be four."""
    others = {}
    for word in ANSWERS[attribute]:
        # What stands by the water stands on a raft, or floats: which of the two is no matter of one word.
        if word not in ("water", "raft", getattr(scene, attribute)):
            changes: dict[str, Any] = {attribute: word}
            others[word] = versions.changed(scene, **changes)
    possible = sorted(word for word, version in others.items() if version is not None)
    if len(possible) < VERSIONS - 1 or getattr(scene, attribute) == "water":
        return None
    words = _words(getattr(scene, attribute), possible, rng)
    scenes = (scene, *(version for word in words[1:] if (version := others[word]) is not None))
    return Question(scenes, words)


def _words(own: str, others: Sequence[str], rng: np.random.Generator) -> tuple[str, ...]:
    return (own, *(str(word) for word in rng.choice(others, VERSIONS - 1, replace=False)))


def likelihoods(reading: Reading, attribute: str, asked: Sequence[Question]) -> NDArray[np.float64]:
    """(n, VERSIONS): how likely each version is to the reader, for one image of each question."""
    if attribute == "color":
        logits = torch.stack([_color(reading.rows(i), question) for i, question in enumerate(asked)])
        names: Sequence[str] = COLORS
    else:
        logits = getattr(reading, attribute).float().log_softmax(-1)
        names = ANSWERS[attribute]
    columns = torch.tensor([[names.index(word) for word in question.words] for question in asked])
    return logits.cpu().gather(1, columns).double().numpy()


def _color(one: Reading, question: Question) -> Tensor:
    """The color of the part, (colors,): the mean over cells, weighted by how likely it is that the part is there."""
    assert question.part is not None
    k = NUMBER_OF_PART[question.part]
    where = one.parts[0].float().softmax(-1)[..., k]
    return torch.einsum("hw,hwc->c", where / where.sum().clamp_min(1e-9), one.colors[0].float().log_softmax(-1))


@torch.inference_mode()
def right(
    reader: SceneReader, attribute: str, asked: Sequence[Question], images: Sequence[Images], batch: int
) -> NDArray[np.float64]:
    """The share of right answers of each question, (n,): `images` are (n, h, w, 3) of each version."""
    device, answers = reader.stem.weight.device, []
    for version, shown in enumerate(images):
        for first in range(0, len(asked), batch):
            part = slice(first, first + batch)
            reading = reader(prepare(list(shown[part]), device))
            found = likelihoods(reading, attribute, asked[part])
            answers.append(found.argmax(1) == version)
    return np.concatenate(answers).reshape(len(images), len(asked)).mean(0)
