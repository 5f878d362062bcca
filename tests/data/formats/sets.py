"""Datasets that are hard to pack: names, captions and keys that one layout or another cannot hold."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def image(seed: int, format: str, size: tuple[int, int] = (24, 16)) -> bytes:
    """The bytes of a small image file."""
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format)
    return buffer.getvalue()


MISSING = object()
CAPTIONS: list[Any] = [
    "a cat",
    "ein Café — 猫と犬 🐈",
    'she said "yes", \\ and left',
    "two lines\nand\ta tab",
    "  spaces at both ends  ",
    "",
    MISSING,
    "a cat",
]
NAMES = [
    "a.jpg",
    "a.png",
    "A.jpg",
    "day 1/b.c d.jpg",
    "day.2/b.webp",
    "日本/猫.jpg",
    "test/train.jpg",
    "x.JPEG",
]
EXTRAS: list[dict[str, Any]] = [
    {},
    {"score": 0.1, "tags": ["x", None, True], "n": 12345678901234567890},
    {"score": "not a number"},
    {"cn": {"image": "mine"}, "extra": "own"},
    {"text": "another text", "image_file_name": "no file"},
    {"nested": {"ä": {"b": [1, 2.5]}}},
    {"empty": "", "null": None},
    {"scene": 7},
]
FORMATS = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}


def write_set(root: Path) -> Path:
    """A dataset of one kind: eight images in subfolders, with every caption and key above."""
    lines = []
    for number, (name, caption, extra) in enumerate(zip(NAMES, CAPTIONS, EXTRAS, strict=True)):
        source = name.rpartition(".")[0] + f".{number}.png"
        put(root / "target" / name, image(number, FORMATS[name.rpartition(".")[2].lower()]))
        put(root / "source" / source, image(100 + number, "PNG"))
        prompt = {} if caption is MISSING else {"prompt": caption}
        lines.append({"source": f"source/{source}", "target": f"target/{name}", **prompt, **extra})
    write_lines(root / "prompt.json", lines)
    return root


def write_kinds(root: Path) -> Path:
    """A dataset of three kinds that share their images; depth lacks one, and some keys belong to one kind."""
    for number in range(4):
        put(root / f"target/3f/{number}.jpg", image(number, "JPEG"))
    for kind, missing in (("canny", None), ("depth", 2), ("openpose", None)):
        lines = []
        for number in range(4):
            if number == missing:
                continue
            put(root / f"{kind}/source/3f/{number}.png", image(hash_of(kind) + number, "PNG"))
            own = {"low": 50 + number} if kind == "canny" else {}
            line = {
                "source": f"source/3f/{number}.png",
                "target": f"../target/3f/{number}.jpg",
                "prompt": f"image {number}",
            }
            lines.append({**line, "all": number, **own})
        write_lines(root / kind / "prompt.json", lines)
    put(root / "dataset.json", json.dumps({"format": 1, "kinds": ["canny", "depth", "openpose"]}).encode())
    return root


def hash_of(kind: str) -> int:
    return sum(kind.encode())


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_lines(file: Path, lines: list[dict[str, Any]]) -> None:
    put(file, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())


def contents(root: Path) -> dict[str, bytes]:
    """Path → bytes of all files below a folder."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
