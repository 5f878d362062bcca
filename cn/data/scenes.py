"""Endless training data from the built-in scenes: image, exact condition map and caption by number."""

from collections.abc import Sequence
from dataclasses import dataclass

from cn.conditions import scene_kind
from cn.data.examples import Example, Fetched
from cn.data.flip import mirror
from cn.data.maps import condition_info, condition_map, shows_person
from cn.data.seeds import TRAIN_SEED
from cn.detect.lines.canny import HIGH, LOW, random_thresholds
from cn.errors import InputError

_RETRY_STRIDE = 1 << 40
_RETRIES = 64


def render_examples(
    kinds: Sequence[str], size: int, seed: int, number: int, *, random: bool = False
) -> dict[str, Example]:
    """Render scene `number` once, with a map of each of the `kinds`; size × size pixels.

    With `random`, Canny's thresholds are drawn for each scene, as in the paper's training data (§3.5). If openpose is
    among the kinds and the scene shows no person (the paper's rule: 30 % of a body's keypoints), the next of a fixed
    series of further scenes takes its place. A pure function of its arguments.
    """
    from cn.scenes import caption, describe, render

    for attempt in range(_RETRIES):
        scene = describe(seed, number + attempt * _RETRY_STRIDE)
        if "openpose" in kinds and all(item.person is None for item in scene.items):
            continue
        view = render(scene, size)
        if "openpose" not in kinds or shows_person(view):
            thresholds = random_thresholds(seed, str(number)) if random else (LOW, HIGH)
            prompt = caption(scene)
            return {
                kind: Example(view.rgb, condition_map(view, kind, thresholds), prompt, condition_info(kind, thresholds))
                for kind in kinds
            }
    raise InputError(f"no scene with a person found for number {number} of seed {seed}")


@dataclass(frozen=True)
class SceneDataset:
    """Scene `start + i` of `seed` as example i, with a map of one kind, size × size pixels; `count` None never ends."""

    kind: str
    size: int
    seed: int = TRAIN_SEED
    start: int = 0
    random_thresholds: bool = False
    count: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", scene_kind(self.kind))

    def __getitem__(self, index: int) -> Example:
        return render_examples((self.kind,), self.size, self.seed, self.start + index, random=self.random_thresholds)[
            self.kind
        ]

    def fetch(self, index: int, mirrored: bool = False) -> Fetched:
        """Example `index`, or its mirror image; scenes are never broken."""
        return Fetched(mirror(self[index], self.kind) if mirrored else self[index])
