"""Train the captioner of the built-in world (`cn.caption.scene_reader`) on renderings: six minutes on one core.

    python tools/train_scene_reader.py --out cn/caption/scene_reader.safetensors

A part of the images is blurred, since those that the bundled base samples are softer than renderings. `--check` says
how much of what it reads is right.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from cn import images
from cn.caption.captioner import Compute, Image
from cn.caption.scene_labels import COLORS, GROUNDS, LIGHTS, PARTS, REST, TABLE
from cn.caption.scene_reader import CELL, SIZE, SceneReader, open_scene_captioner
from cn.caption.settings import CaptionSettings
from cn.caption.weights import SCENE_READER
from cn.data.seeds import EVAL_SEED, TRAIN_SEED
from cn.scenes import Scene, describe, raycaster, render
from cn.scenes.classes import CLASSES
from cn.scenes.colors import LINEAR
from cn.scenes.geometry import look_at
from cn.scenes.scene import Item
from cn.scenes.scene_model import build_scene_model

HELD_OUT = 300
FIRST = 10_000_000
"""Number of the first scene: not one of those that the bundled base has seen."""
NUMBER_OF_PART = {name: number for number, name in enumerate(PARTS)}
IGNORED = 255
Arrays = dict[str, NDArray[np.uint8]]


def cells_of(scene: Scene) -> Arrays:
    """The true part and color of each cell, (h, w) each."""
    side = SIZE // CELL
    solids = build_scene_model(scene).solids
    camera = look_at(np.array(scene.eye), np.array(scene.target), scene.fov, side, side)
    with np.errstate(all="ignore"):
        _, ids = raycaster.trace(camera, raycaster.project_solids(camera, solids, side, side), solids, side, side)
    table = np.zeros((len(solids) + 2, 2), np.uint8)
    table[:, 1] = IGNORED
    for number, solid in enumerate(solids, 2):
        color = next((name for name in COLORS if np.array_equal(LINEAR[name], solid.color)), "")
        if solid.owner >= 0:
            item = scene.items[solid.owner]
            part = next((part for part, own in _parts(item).items() if own == color), REST)
            table[number, 0] = NUMBER_OF_PART[item.kind, part]
        elif scene.table is not None and solid.class_id == CLASSES["table"]:
            part = "body"
            table[number, 0] = NUMBER_OF_PART[TABLE, part]
        else:
            continue
        if part != REST:
            table[number, 1] = COLORS.index(color)
    found = table[ids]
    return {"parts": found[..., 0], "colors": found[..., 1]}


def _parts(item: Item) -> dict[str, str]:
    if (person := item.person) is None:
        return dict(item.colors)
    of = {"top": person.top, "legs": person.legs, "hat": person.hat_color}
    return {
        part: color for part, color in (of | {"prop": person.prop_color, "seat": person.seat_color}).items() if color
    }


def whole_of(scene: Scene) -> list[int]:
    """Ground, light and number of people."""
    floating = scene.ground == "water" and all(item.kind == "boat" for item in scene.items)
    ground = "raft" if scene.ground == "water" and not floating else scene.ground
    people = sum(item.person is not None for item in scene.items)
    return [GROUNDS.index(ground), LIGHTS.index(scene.light), people]


def rendered(seed: int, first: int, count: int) -> dict[str, Tensor]:
    """Images, uint8 (count, 3, SIZE, SIZE), and what is true of them."""
    found: dict[str, list[Any]] = {"images": [], "parts": [], "colors": [], "whole": []}
    for number in range(first, first + count):
        scene = describe(seed, number)
        one: dict[str, Any] = {"images": render(scene, SIZE).rgb.transpose(2, 0, 1), **cells_of(scene)}
        for name, value in (one | {"whole": np.array(whole_of(scene), np.uint8)}).items():
            found[name].append(value)
    return {name: torch.from_numpy(np.stack(values)) for name, values in found.items()}


def blurred(images: Tensor, generator: torch.Generator) -> Tensor:
    """Some of the images at a half or a quarter of their size and back, all with a little noise."""

    def draw() -> Tensor:
        return torch.rand(len(images), 1, 1, 1, generator=generator)

    for side in (2, 4):
        soft = F.interpolate(F.avg_pool2d(images, side), scale_factor=side, mode="bilinear", align_corners=False)
        share = draw() * (draw() < (0.5 if side == 2 else 0.2))
        images = images * (1 - share) + soft * share
    return images + 0.05 * draw() * torch.randn(images.shape, generator=generator)


def loss_of(model: SceneReader, images: Tensor, true: dict[str, Tensor]) -> Tensor:
    """The mean cross-entropies of cells and of the whole."""
    reading = model(images)
    weights = torch.ones(len(PARTS))
    weights[0] = 0.3
    cells = F.cross_entropy(reading.parts.flatten(0, 2), true["parts"].flatten().long(), weights)
    colors = F.cross_entropy(reading.colors.flatten(0, 2), true["colors"].flatten().long(), ignore_index=IGNORED)
    whole = true["whole"].long()
    loss = cells + colors
    for k, logits in enumerate((reading.ground, reading.light, reading.people)):
        loss = loss + 0.3 * F.cross_entropy(logits, whole[:, k])
    return loss


def mirrored(images: Tensor, true: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Left and right exchanged."""
    return images.flip(3), true | {name: true[name].flip(2) for name in ("parts", "colors")}


def train(minutes: float, share_of_rendering: float, batch: int, rate: float) -> SceneReader:
    """Render for a part of the time, then train for the rest, with a learning rate that falls to zero.

    The minutes are those of the CPU, so that others on the machine make no difference.
    """
    torch.manual_seed(0)
    start = time.process_time()
    pieces: list[dict[str, Tensor]] = []
    while time.process_time() - start < 60 * minutes * share_of_rendering:
        pieces.append(rendered(TRAIN_SEED, FIRST + 200 * len(pieces), 200))
    data = {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}
    count = len(data["images"])
    print(f"{count} scenes rendered in {time.process_time() - start:.0f} s", flush=True)
    model = SceneReader()
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.02)
    generator = torch.Generator().manual_seed(0)
    began, step, seen = time.process_time(), 0, 0.0
    length = 60 * minutes - (began - start)
    while (done := (time.process_time() - began) / length) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 50) * (1 - done)
        chosen = torch.randint(count, (batch,), generator=generator)
        true = {name: values[chosen] for name, values in data.items() if name != "images"}
        images = blurred(data["images"][chosen].float() / 127.5 - 1, generator)
        images, true = mirrored(images, true) if step % 2 else (images, true)
        loss = loss_of(model, images, true)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        step += 1
        seen = loss.item() if step == 1 else 0.98 * seen + 0.02 * loss.item()
        if step % 50 == 0:
            print(f"{done:4.0%} step {step}, loss {seen:.3f}", flush=True)
    return model


def measure(pictures: Iterable[Image], scenes: Iterable[Scene]) -> str:
    """How much of what the bundled captioner reads off these images of scenes is right."""
    right, total = Counter[str](), Counter[str]()

    def count(what: str, good: int, of: int = 1) -> None:
        right[what] += good
        total[what] += of

    captioner = open_scene_captioner(CaptionSettings(), Compute(torch.device("cpu"), torch.float32))
    for image, scene in zip(pictures, scenes, strict=True):
        ((seen, ground, light),) = captioner.read([image])
        true_ground, true_light, _ = whole_of(scene)
        count("ground", ground == GROUNDS[true_ground])
        count("light", light == LIGHTS[true_light])
        true = {item.kind for item in scene.items} | ({TABLE} if scene.table is not None else set())
        named = {one.thing for one in seen}
        count("named things that are there", len(named & true), len(named))
        count("things there that are named", len(named & true), len(true))
        for one in seen:
            same = [item for item in scene.items if item.kind == one.thing]
            colors = _parts(same[0]) if len(same) == 1 else {}
            for part, color in one.colors.items():
                if colors:
                    count("colors of these", colors.get(part) == color)
    return ", ".join(f"{what} {right[what] / max(1, total[what]):.0%}" for what in total)


def sampled(path: Path) -> tuple[list[Image], list[Scene]]:
    """The images that `cn sample --data SET --out PATH/sampled` made of `cn dataset synth PATH/set`, and the scenes."""
    records = [json.loads(line) for line in (path / "set/prompt.json").read_text().splitlines()]
    made = [images.read(path / "sampled" / Path(record["target"]).name) for record in records]
    return made, [describe(record["seed"], record["scene"]) for record in records]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--rendering", type=float, default=0.35, help="share of the time")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2.5e-3)
    parser.add_argument("--out", type=Path, default=SCENE_READER)
    parser.add_argument("--check", action="store_true", help="measure the bundled one on 300 held-out scenes")
    parser.add_argument("--check-sampled", type=Path, help="and on sampled images: a folder with set/ and sampled/")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.check or args.check_sampled:
        scenes = [describe(EVAL_SEED, number) for number in range(HELD_OUT)]
        if args.check:
            print(measure((render(scene, 256).rgb for scene in scenes), scenes))
        if args.check_sampled:
            print(measure(*sampled(args.check_sampled)))
        return
    model = train(args.minutes, args.rendering, args.batch, args.rate)
    save_file({name: value.half().contiguous() for name, value in model.state_dict().items()}, args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
