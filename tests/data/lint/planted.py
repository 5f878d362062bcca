"""A right dataset of several kinds, and faults that are planted into it."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from cn import images
from cn.data.scenes import render_examples
from cn.detect.pose.skeleton import JOINTS, draw
from tests.data.lint.photographs import Pixels, crops, line_map

SCENE_KINDS = ("canny", "depth", "normal", "openpose", "ade20k")
SIZE, SCENES = 96, 20
"""The side of the images, and the number of scenes that there are at least."""
_PLACES = (
    "at home",
    "in the city",
    "by the sea",
    "in a museum",
    "on a table",
    "in the morning",
    "far away",
    "up close",
)
_WAYS = ("sharp", "soft", "old", "new", "bright", "pale", "quiet", "busy", "small", "large", "rough", "smooth")


@dataclass
class Line:
    """A line of the dataset and the files that only it uses."""

    kind: str
    record: dict[str, Any]
    map: Pixels
    image: Pixels
    own_image: bool
    """Whether no other line has its image."""
    fault: str | None = None
    faces: bool = False
    """Whether it is the skeleton of somebody whose face is seen."""


@dataclass
class Planted:
    """The dataset on disk; `lines` by kind, in the order of its file."""

    root: Path
    lines: dict[str, list[Line]] = field(default_factory=dict)
    raw: dict[int, str] = field(default_factory=dict)
    """Lines by `id` that are written as they are."""

    def source(self, line: Line) -> Path:
        return self.root / line.kind / line.record["source"]

    def target(self, line: Line) -> Path:
        return self.root / line.kind / line.record["target"]

    def put(self, line: Line, map: Pixels, name: str | None = None) -> None:
        """Write another map, without the text of the right one, which nobody else's program writes."""
        if name is not None:
            line.record["source"] = f"source/{name}"
        images.write(self.source(line), map)

    def write_lines(self) -> dict[str, str | None]:
        """Write all files of lines. Returns "FILE:LINE" → the fault's rule, None for right lines."""
        places = {}
        for kind, lines in self.lines.items():
            file = self.root / kind / "prompt.json"
            texts = []
            for number, line in enumerate(lines, start=1):
                texts.append(self.raw.get(id(line)) or json.dumps(line.record))
                places[f"{file}:{number}"] = line.fault
            file.write_text("\n".join(texts) + "\n")
        return places


def build(root: Path, scenes: int, photographs: int) -> Planted:
    """`scenes` of the built-in ones with five kinds each, and as many photographs with one kind each."""
    planted = Planted(root, {kind: [] for kind in (*SCENE_KINDS, "hed")})
    rng = np.random.default_rng(7)
    for kind in planted.lines:
        (root / kind / "source").mkdir(parents=True)
    (root / "target").mkdir()
    for number in range(scenes):
        examples = render_examples(SCENE_KINDS, SIZE, 11, number)
        name = f"s{number:04d}.png"
        for kind, example in examples.items():
            if kind == SCENE_KINDS[0]:
                images.write(root / "target" / name, example.target)
            text = example.info.to_text() if example.info else None
            images.write(root / kind / "source" / name, example.condition, text)
            record = {"source": f"source/{name}", "target": f"../target/{name}", "prompt": example.prompt}
            planted.lines[kind].append(Line(kind, record, example.condition, example.target, False))
    _add_people(planted, max(12, scenes // 6), rng)
    squares = crops(SIZE, 3)
    for number in range(photographs):
        kind = ("canny", "hed")[number % 2]
        title, image, map = next(
            (title, image, map)
            for title, image in squares
            for map in [line_map(kind, image, rng)]
            if 0.02 < (map[..., 0] > 64).mean() < 0.5
        )
        name = f"p{number:04d}"
        target, source = f"../target/{name}.{('jpg', 'png')[number % 3 == 0]}", f"source/{name}.png"
        record = {"source": source, "target": target, "prompt": _caption(title, number, rng)}
        line = Line(kind, record, map, image, True)
        images.write(planted.target(line), image)
        images.write(planted.source(line), map)
        planted.lines[kind].append(line)
    return planted


def _add_people(planted: Planted, count: int, rng: np.random.Generator) -> None:
    """Skeletons as OpenPose finds them, of a size at which eyes and shoulders are told apart; some from behind."""
    for number in range(count):
        name, size = f"q{number:04d}.png", 2 * SIZE
        behind = number % 4 == 3
        map = draw(person(size, rng, behind=behind)[None], size, size)
        image = next(crops(size, 100 + number))[1]
        record = {
            "source": f"source/{name}",
            "target": f"../target/{name}",
            "prompt": f"person {number}, {rng.random()}",
        }
        line = Line("openpose", record, map, image, True, faces=not behind)
        images.write(planted.target(line), image)
        images.write(planted.source(line), map)
        planted.lines["openpose"].append(line)


_STANDING = (
    *((0, -0.1), (0, 0), (-0.12, 0.02), (-0.17, 0.2), (-0.16, 0.36), (0.12, 0.02), (0.17, 0.2), (0.16, 0.36)),
    *((-0.08, 0.4), (-0.08, 0.6), (-0.09, 0.8), (0.08, 0.4), (0.08, 0.6), (0.09, 0.8)),
    *((-0.03, -0.13), (0.03, -0.13), (-0.07, -0.11), (0.07, -0.11)),
)
"""The 18 joints of a person of height 1 who faces the camera: (to the right of the image, down) from the neck."""


def person(size: int, rng: np.random.Generator, behind: bool = False) -> np.ndarray:
    """18 keypoints (x, y, score) of someone who faces the camera, or turns the back to it: eyes and nose unseen."""
    points = np.array([(*place, 1.0) for place in _STANDING])
    points[:, :2] += rng.normal(0, 0.004, (len(JOINTS), 2))
    points[:, 0] *= -1 if behind else 1
    points[:, :2] *= size * rng.uniform(0.75, 0.95)
    points[:, :2] += (size * rng.uniform(0.35, 0.65), size * 0.2)
    if behind:
        points[[JOINTS.index(joint) for joint in ("nose", "right eye", "left eye")], 2] = 0
    return points


def _caption(title: str, number: int, rng: np.random.Generator) -> str:
    place, way, other = rng.choice(_PLACES), rng.choice(_WAYS), rng.choice(_WAYS)
    forms = (f"{way} {title} {place}", f"{place}, {other} {title}", f"{title}, {way} and {other}, {place}")
    return f"{forms[number % 3]}, number {number}"


Fault = Callable[[Planted, Line, np.random.Generator], None]


def _map_fault(change: Callable[[Pixels, np.random.Generator], Pixels]) -> Fault:
    return lambda planted, line, rng: planted.put(line, np.ascontiguousarray(change(line.map, rng)))


def _shifted(map: Pixels, rng: np.random.Generator) -> Pixels:
    """By 2 to 6 pixels; what comes in at the edge repeats it."""
    x, y = 0, 0
    while max(abs(x), abs(y)) < 2:
        x, y = (int(value) for value in rng.integers(-6, 7, 2))
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    size = (map.shape[1], map.shape[0])
    return np.asarray(cv2.warpAffine(map, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE))


def _of_another(planted: Planted, line: Line, rng: np.random.Generator) -> None:
    others = [other for other in planted.lines[line.kind] if other is not line and other.fault is None]
    planted.put(line, others[int(rng.integers(len(others)))].map)


def _smooth(map: Pixels) -> np.ndarray:
    """Depth as measured, 0..1, without the steps of 8 bits."""
    return cv2.GaussianBlur(map[..., 0].astype(np.float32) / 255, (0, 0), 0.7)


def _gray(values: np.ndarray) -> Pixels:
    return np.repeat(values.astype(np.int64).astype(np.uint8)[..., None], 3, axis=2)


def _truncated(map: Pixels, rng: np.random.Generator) -> Pixels:
    """The low byte of 16 bits (astype(uint8)) at three scales, or the high byte of millimeters, stretched."""
    way = int(rng.integers(4))
    if way == 3:
        return _gray((_smooth(map) * 5000).astype(int) // 256 * (255 / 19))
    return _gray((_smooth(map) * (65535, 5000, 2040)[way]).astype(int) % 256)


def _nearly_empty(map: Pixels, rng: np.random.Generator) -> Pixels:
    new = np.zeros_like(map)
    y, x = rng.integers(10, SIZE - 10, 2)
    new[y, x : x + 4] = 255
    return new


def _jpeg_labels(planted: Planted, line: Line, rng: np.random.Generator) -> None:
    planted.put(line, line.map, Path(line.record["source"]).stem + ".jpg")


def _off_palette(map: Pixels, rng: np.random.Generator) -> Pixels:
    """A patch in a color of one's own."""
    new = map.copy()
    y, x = rng.integers(0, SIZE - 12, 2)
    new[y : y + 12, x : x + 12] = (1, 2, 3)
    return new


def _image_as_map(planted: Planted, line: Line, rng: np.random.Generator) -> None:
    """The photograph, a little brighter: not the same bytes as the image."""
    planted.put(line, np.clip(line.image.astype(int) + 3, 0, 255).astype(np.uint8))


def _other_kind(planted: Planted, line: Line, rng: np.random.Generator) -> None:
    number = planted.lines[line.kind].index(line)
    other = {"canny": "openpose", "depth": "normal", "normal": "ade20k", "openpose": "canny", "ade20k": "normal"}
    planted.put(line, planted.lines[other[line.kind]][number % SCENES].map)


def _resized(height: float, width: float) -> Fault:
    def plant(planted: Planted, line: Line, rng: np.random.Generator) -> None:
        size = (round(SIZE * width), round(SIZE * height))
        planted.put(line, np.asarray(cv2.resize(line.map, size, interpolation=cv2.INTER_NEAREST), np.uint8))

    return plant


def _cut_off(planted: Planted, line: Line, rng: np.random.Generator) -> None:
    path = planted.target(line) if line.own_image and rng.integers(2) else planted.source(line)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * int(rng.integers(2, 9)) // 10])


def _missing(planted: Planted, line: Line, rng: np.random.Generator) -> None:
    (planted.target(line) if line.own_image and rng.integers(2) else planted.source(line)).unlink()


def _broken_line(planted: Planted, line: Line, rng: np.random.Generator) -> None:
    text = json.dumps(line.record)
    planted.raw[id(line)] = (text[: len(text) // 2], text.replace('"target"', '"image"'))[int(rng.integers(2))]


def _same_file(planted: Planted, line: Line, rng: np.random.Generator) -> None:
    line.record["source"] = line.record["target"]


def _image_fault(change: Callable[[Pixels, np.random.Generator], bytes]) -> Fault:
    return lambda planted, line, rng: (planted.target(line).write_bytes(change(line.image, rng)), None)[1]


def _saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _odd_format(image: Pixels, rng: np.random.Generator) -> bytes:
    way = int(rng.integers(3))
    if way == 0:
        return _saved(Image.fromarray(image).convert("CMYK"), "JPEG", quality=95)
    if way == 1:
        return _saved(Image.fromarray(image[..., 0].astype(np.uint16) * 257), "PNG")
    alpha = np.full((*image.shape[:2], 1), 255, np.uint8)
    alpha[:9, :9] = 90
    return _saved(Image.fromarray(np.concatenate([image, alpha], axis=2)), "PNG")


def _exif_turned(image: Pixels, rng: np.random.Generator) -> bytes:
    """As the map sees it; a reader that follows EXIF sees it turned."""
    exif = Image.Exif()
    exif[274] = int(rng.choice([3, 6, 8]))
    return _saved(Image.fromarray(image), "JPEG", quality=95, exif=exif)


def _copied(near: bool) -> Fault:
    """An image that comes again with its own map, under another name: copied, or resized and compressed."""

    def plant(planted: Planted, line: Line, rng: np.random.Generator) -> None:
        lines = planted.lines[line.kind]
        first = next(other for other in lines[: lines.index(line)][::-1] if other.own_image and other.fault in (None,))
        data = planted.target(first).read_bytes()
        if near:
            image = cv2.resize(first.image, (SIZE * 4 // 5, SIZE * 4 // 5), interpolation=cv2.INTER_AREA)
            image = np.asarray(cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), np.uint8)
            data = _saved(Image.fromarray(image), "JPEG", quality=int(rng.integers(60, 90)))
        name = f"{Path(line.record['target']).stem}-copy.jpg"
        line.record["target"] = f"../target/{name}"
        planted.target(line).write_bytes(data)
        planted.put(line, first.map)

    return plant


def _caption_fault(change: Callable[[str], str]) -> Fault:
    def plant(planted: Planted, line: Line, rng: np.random.Generator) -> None:
        line.record["prompt"] = change(line.record["prompt"])

    return plant


def _case_clash(planted: Planted, line: Line, rng: np.random.Generator) -> None:
    """A map whose name another map has in lower case."""
    lines = planted.lines[line.kind]
    first = next(other for other in lines[: lines.index(line)] if other.fault is None)
    name = Path(first.record["source"])
    line.record["source"] = f"source/{name.stem.upper()}{name.suffix}"
    images.write(planted.source(line), line.map)


def _constant(map: Pixels, rng: np.random.Generator) -> Pixels:
    return np.full_like(map, int(rng.choice([0, 128, 255])))


LINES, SURFACES = ("canny", "hed"), ("depth", "normal", "ade20k")
_PHOTOGRAPHS, _FACES = "photographs", "faces"

FAULTS: tuple[tuple[str, int, tuple[str, ...], Fault], ...] = (
    ("misregistered", 14, LINES, _map_fault(_shifted)),
    ("misregistered", 12, SURFACES, _map_fault(_shifted)),
    ("misregistered", 6, LINES, _of_another),
    ("mirrored", 10, (*LINES, *SURFACES), _map_fault(lambda map, rng: map[:, ::-1])),
    ("mirrored", 4, (_FACES,), _map_fault(lambda map, rng: map[:, ::-1])),
    ("turned", 6, (*LINES, *SURFACES), _map_fault(lambda map, rng: (map[::-1], np.rot90(map))[int(rng.integers(2))])),
    ("inverted", 9, LINES, _map_fault(lambda map, rng: 255 - map)),
    ("inverted-depth", 6, ("depth",), _map_fault(lambda map, rng: 255 - map)),
    ("blank", 6, ("canny", "depth", "openpose"), _map_fault(_constant)),
    ("dark", 4, ("hed", "depth"), _map_fault(lambda map, rng: map // 16)),
    ("near-empty", 5, ("canny", "hed", "openpose"), _map_fault(_nearly_empty)),
    ("truncated-16-bit", 10, ("depth",), _map_fault(_truncated)),
    ("reversed-channels", 15, ("openpose", "normal", "ade20k"), _map_fault(lambda map, rng: map[..., ::-1])),
    ("smeared-colors", 6, ("ade20k",), _jpeg_labels),
    ("off-palette", 5, ("ade20k",), _map_fault(_off_palette)),
    ("photograph", 6, ("canny",), _image_as_map),
    ("other-kind", 6, SCENE_KINDS, _other_kind),
    ("frame", 5, (*LINES, *SURFACES), _resized(1, 0.75)),
    ("size", 5, (*LINES, *SURFACES), _resized(0.5, 0.5)),
    ("same-file", 4, (*LINES, *SURFACES), _same_file),
    ("broken", 8, (_PHOTOGRAPHS, "normal"), _cut_off),
    ("missing", 6, (_PHOTOGRAPHS, "depth"), _missing),
    ("broken-line", 4, (*LINES, *SURFACES), _broken_line),
    ("blank-image", 3, (_PHOTOGRAPHS,), _image_fault(lambda image, rng: images.encode(np.full_like(image, 90)))),
    ("too-small", 4, (_PHOTOGRAPHS,), lambda planted, line, rng: _shrink(planted, line)),
    ("image-format", 5, (_PHOTOGRAPHS,), _image_fault(_odd_format)),
    ("exif-rotation", 4, (_PHOTOGRAPHS,), _image_fault(_exif_turned)),
    ("duplicate", 4, (_PHOTOGRAPHS,), _copied(near=False)),
    ("near-duplicate", 5, (_PHOTOGRAPHS,), _copied(near=True)),
    ("empty-caption", 4, (*LINES, *SURFACES), _caption_fault(lambda text: " " * (len(text) % 2))),
    ("caption-spaces", 3, (*LINES, *SURFACES), _caption_fault(lambda text: f" {text}\n")),
    ("repeated-caption", 7, (_PHOTOGRAPHS,), _caption_fault(lambda text: "photo")),
    ("long-caption", 3, (*LINES, *SURFACES), _caption_fault(lambda text: ", ".join([text] * 12))),
    ("case-clash", 2, (*LINES, *SURFACES), _case_clash),
)


def _shrink(planted: Planted, line: Line) -> None:
    small = (SIZE // 3, SIZE // 3)
    images.write(planted.target(line), np.asarray(cv2.resize(line.image, small, interpolation=cv2.INTER_AREA)))
    planted.put(line, np.asarray(cv2.resize(line.map, small, interpolation=cv2.INTER_AREA), np.uint8))


def plant(planted: Planted, share: float = 1.0) -> None:
    """Plant that share of `FAULTS`, at least one of each, into lines that are right so far."""
    rng = np.random.default_rng(5)
    for rule, count, kinds, fault in FAULTS:
        # One caption for a few images is right.
        for number in range(count if rule == "repeated-caption" else max(1, round(count * share))):
            line = _victim(planted, kinds[number % len(kinds)], rng)
            line.fault = rule
            fault(planted, line, rng)


def _victim(planted: Planted, kind: str, rng: np.random.Generator) -> Line:
    """Not among the first lines, which copies are made of."""
    if kind == _PHOTOGRAPHS:
        lines = [line for name in LINES for line in planted.lines[name] if line.own_image]
    elif kind == _FACES:
        lines = [line for line in planted.lines["openpose"] if line.faces]
    else:
        # Skeletons of scenes are compared with the other kinds of the same scene.
        lines = [line for line in planted.lines[kind] if kind in LINES or not line.own_image]
    free = [line for line in lines[3:] if line.fault is None]
    return free[int(rng.integers(len(free)))]
