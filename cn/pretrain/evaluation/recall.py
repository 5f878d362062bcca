"""Which of the things and colors that captions name are seen in samples, by the reader."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from cn.caption.scene_captioner import SceneReading, readings
from cn.caption.scene_labels import GROUNDS, LIGHTS, PERSON, TABLE, WEATHERS, Seen
from cn.caption.scene_reader import SceneReader, prepare
from cn.eval.bootstrap import mean
from cn.pretrain.evaluation.held_out import Images
from cn.pretrain.evaluation.report import Figures, number, with_interval
from cn.pretrain.labels import parts_of, whole_of
from cn.scenes import Scene

Things = Counter[str]
Colors = Counter[tuple[str, str, str]]
"""(thing, part, color) → how often."""


@torch.inference_mode()
def read(reader: SceneReader, images: Images, batch_size: int) -> list[SceneReading]:
    """What the reader sees in images (n, h, w, 3)."""
    device = reader.stem.weight.device
    found = []
    for first in range(0, len(images), batch_size):
        found += readings(reader(prepare(list(images[first : first + batch_size]), device)))
    return found


def named(scene: Scene) -> tuple[Things, Colors]:
    """The things and colors that captions of a scene always name: of people the color of what they wear."""
    things, colors = Counter[str](), Counter[tuple[str, str, str]]()
    for item in scene.items:
        things[item.kind] += 1
        for part, color in parts_of(item).items():
            if item.kind != PERSON or part == "top":
                colors[item.kind, part, color] += 1
    if scene.table is not None:
        things[TABLE] += 1
        colors[TABLE, "body", scene.table.color("body")] += 1
    return things, colors


def found_in(seen: Sequence[Seen]) -> tuple[Things, Colors]:
    """The same of what is seen."""
    colors = [(one.thing, part, color) for one in seen for part, color in one.colors.items()]
    return Counter(one.thing for one in seen), Counter(colors)


def recall(scenes: Sequence[Scene], seen: Sequence[SceneReading]) -> Figures:
    """Shares of the things and colors that are found, means over images; and of ground, light and weather."""
    rows: dict[str, list[float]] = {name: [] for name in ("things", "colors", "ground", "light", "weather", "people")}
    for scene, one in zip(scenes, seen, strict=True):
        (things, colors), (things_seen, colors_seen) = named(scene), found_in(one.seen)
        rows["things"].append(_share(things, things_seen))
        rows["colors"].append(_share(colors, colors_seen))
        ground, light, weather, people = (int(answer) for answer in whole_of(scene))
        rows["ground"].append(one.ground == GROUNDS[ground])
        rows["light"].append(one.light == LIGHTS[light])
        rows["weather"].append(one.weather == WEATHERS[weather])
        rows["people"].append(sum(thing.thing == PERSON for thing in one.seen) == people)
    return {name: with_interval(mean(np.array(values, np.float64))) for name, values in rows.items()}


def _share(true: Counter[Any], found: Counter[Any]) -> float:
    """How much of what is there is found; NaN where there is nothing."""
    return (true & found).total() / true.total() if true else float("nan")


def relative(samples: Figures, renderings: Figures) -> Figures:
    """The figures of samples, with those of renderings and their ratio."""
    found = {}
    for name, figure in samples.items():
        best = renderings[name]["value"]
        ratio = number(figure["value"] / best) if best and figure["value"] is not None else None
        found[name] = figure | {"renderings": best, "relative": ratio}
    return found
