"""Endless training data from the built-in scenes: image, condition map and caption by number."""

from collections.abc import Sequence
from dataclasses import dataclass

from cn.conditions import get
from cn.data.examples import Example, Fetched
from cn.data.flip import mirror
from cn.data.maps import condition_info, condition_map, shows_person, training_info, training_map
from cn.data.seeds import TRAIN_SEED
from cn.detect.checks.colors import POSES
from cn.errors import InputError

_RETRY_STRIDE = 1 << 40
_RETRIES = 64


def render_examples(
    kinds: Sequence[str], size: int, seed: int, number: int, *, random: bool = False
) -> dict[str, Example]:
    """Render scene `number` once, with a map of each of the `kinds`; size × size pixels.

    With `random`, maps of lines are made with random choices for each scene, as in the paper's training data (§3.5;
    `training_map`). If one of the kinds is a pose and the scene shows no person (the paper's rule: 30 % of a body's
    keypoints), the next of a fixed series of further scenes takes its place. A pure function of its arguments.
    """
    from cn.scenes import caption, describe, render

    of_people = not POSES.isdisjoint(kinds)
    for attempt in range(_RETRIES):
        scene = describe(seed, number + attempt * _RETRY_STRIDE)
        if of_people and all(item.person is None for item in scene.items):
            continue
        view = render(scene, size)
        if of_people and not shows_person(view):
            continue
        prompt, made = caption(scene), dict[str, Example]()
        for kind in kinds:
            if random:
                condition, info = training_map(view, kind, seed, number), training_info(kind, seed, number)
            else:
                condition, info = condition_map(view, kind), condition_info(kind)
            made[kind] = Example(view.rgb, condition, prompt, info)
        return made
    raise InputError(f"no scene with a person found for number {number} of seed {seed}")


@dataclass(frozen=True)
class SceneDataset:
    """Scene `start + i` of `seed` as example i, with a map of one kind, size × size pixels; `count` None never ends.

    `random_maps`: as `random` of `render_examples`.
    """

    kind: str
    size: int
    seed: int = TRAIN_SEED
    start: int = 0
    random_maps: bool = False
    count: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", get(self.kind).kind)

    def __getitem__(self, index: int) -> Example:
        number = self.start + index
        return render_examples((self.kind,), self.size, self.seed, number, random=self.random_maps)[self.kind]

    def fetch(self, index: int, mirrored: bool = False) -> Fetched:
        """Example `index`, or its mirror image; scenes are never broken."""
        return Fetched(mirror(self[index], self.kind) if mirrored else self[index])
