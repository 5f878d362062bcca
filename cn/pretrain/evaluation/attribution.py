"""Whether a word of the prompt shows in the sample: each scene is sampled in four versions that differ in one word.

A sample counts as right where the reader, which is asked for nothing but what differs, finds its own version likelier
than the other three: 0.25 is chance. The prompts name everything, and all versions of a scene have the same noise.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count as numbers
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cn.caption.scene_labels import COLORS, GROUNDS, LIGHTS, PERSON, WEATHERS
from cn.caption.scene_reader import Reading, SceneReader, prepare
from cn.pretrain.evaluation.held_out import Images
from cn.pretrain.labels import NUMBER_OF_PART, parts_of, recolored
from cn.scenes import Scene, describe, kinds

ATTRIBUTES = ("color", "light", "ground", "weather")
VERSIONS = 4
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
    """The first `count` scenes that have four versions."""
    return list(islice(_questions(attribute, seed), count))


def _questions(attribute: str, seed: int) -> Iterator[Question]:
    for number in numbers(FIRST):
        scene = describe(seed, number)
        rng = np.random.default_rng([seed, number])
        question = _in_colors(scene, rng) if attribute == "color" else _in_surroundings(scene, attribute, rng)
        if question is not None:
            yield question


def _in_colors(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Another color of one part of a thing that is the only one of its kind."""
    kinds_here = Counter(item.kind for item in scene.items)
    used = {color for item in scene.items for color in parts_of(item).values()}
    for place in rng.permutation(len(scene.items)):
        item = scene.items[place]
        choices = {PERSON: (("top", kinds.ALL),)}.get(item.kind) or kinds.KINDS[item.kind].parts
        for part, colors in choices:
            own = parts_of(item).get(part)
            free = sorted(set(colors) - used)
            if own is None or kinds_here[item.kind] > 1 or len(free) < VERSIONS - 1:
                continue
            words = (own, *(str(word) for word in rng.choice(free, VERSIONS - 1, replace=False)))
            items = [[*scene.items[:place], recolored(item, {part: word}), *scene.items[place + 1 :]] for word in words]
            return Question(tuple(replace(scene, items=tuple(one)) for one in items), words, (item.kind, part))
    return None


def _in_surroundings(scene: Scene, attribute: str, rng: np.random.Generator) -> Question | None:
    """Another light, ground or weather, where there may be four."""
    own = str(getattr(scene, attribute))
    others = sorted(_possible(scene, attribute) - {own})
    if len(others) < VERSIONS - 1 or own not in _possible(scene, attribute):
        return None
    words = (own, *(str(word) for word in rng.choice(others, VERSIONS - 1, replace=False)))
    changes: list[dict[str, Any]] = [{attribute: word} for word in words]
    return Question(tuple(replace(scene, **change) for change in changes), words)


def _possible(scene: Scene, attribute: str) -> set[str]:
    if attribute == "light":
        return set(LIGHTS)
    if attribute == "weather":
        return set(WEATHERS)
    # Things stand on other heights over water.
    allowed = [set(kinds.KINDS[item.kind].grounds) for item in scene.items if item.person is None]
    return set(GROUNDS).intersection(*allowed) - {"water", "raft"}


def likelihoods(reading: Reading, attribute: str, asked: Sequence[Question]) -> NDArray[np.float64]:
    """(n, VERSIONS): how likely each version is to the reader, for one image of each question."""
    if attribute == "color":
        logits = torch.stack([_color(reading.rows(i), question) for i, question in enumerate(asked)])
        names: Sequence[str] = COLORS
    else:
        logits = getattr(reading, attribute).float().log_softmax(-1)
        names = {"light": LIGHTS, "ground": GROUNDS, "weather": WEATHERS}[attribute]
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
