"""Inputs as people give them, made in a folder: each function writes what one row of `test_given_inputs` is about."""

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, PngImagePlugin

from cn.detect.segmentation.palettes import ADE20K
from tests.conftest import write_pairs
from tests.helpers.cli import cn

SKY, CAR, ROAD = (ADE20K.colors[[name for name, _ in ADE20K.entries].index(name)] for name in ("sky", "car", "road"))


def gradient(height: int = 40, width: int = 60) -> np.ndarray:
    """Gray from black (left) to white (right), with a bright square: something that every detector finds."""
    image = np.tile(np.linspace(0, 200, width).astype(np.uint8), (height, 1))
    image[10:30, 20:40] = 255
    return np.repeat(image[..., None], 3, axis=2)


def photo(folder: Path, name: str = "in/a.png") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(gradient()).save(path)
    return path


def ramp(near: float, far: float, dtype: type) -> np.ndarray:
    """Distance of a ground: far above, near below, in 11 rows."""
    return np.linspace(far, near, 11)[:, None].repeat(8, 1).astype(dtype)


def save(folder: Path, array: np.ndarray, name: str = "in/a.png") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), array if array.ndim == 2 else array[..., ::-1]):
        raise AssertionError(path)


def mixed_folder(folder: Path) -> None:
    photo(folder)
    for name in ("b.cr2", "c.exr", "d.pfm", "e.npz", "notes.txt"):
        (folder / "in" / name).write_bytes(b"1")


def link_to_folder(folder: Path) -> None:
    photo(folder, "real/a.png")
    photo(folder, "in/b.png")
    (folder / "in/day1").symlink_to(folder / "real")


def link_to_itself(folder: Path) -> None:
    photo(folder)
    (folder / "in/again").symlink_to(folder / "in")


def animation(folder: Path) -> None:
    (folder / "in").mkdir()
    frames = [Image.fromarray(np.roll(gradient(), 5 * n, axis=1)) for n in range(3)]
    frames[0].save(folder / "in/a.gif", save_all=True, append_images=frames[1:])


def video(folder: Path) -> None:
    (folder / "in").mkdir()
    writer = cv2.VideoWriter(str(folder / "in/a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (60, 40))
    for n in range(4):
        writer.write(np.roll(gradient(), 5 * n, axis=1))
    writer.release()


def turned(folder: Path) -> None:
    """A photograph with the EXIF orientation of a phone held upright."""
    photo(folder)
    image = Image.open(folder / "in/a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "in/a.jpg", exif=exif)
    os.unlink(folder / "in/a.png")


def deep(folder: Path) -> None:
    save(folder, np.repeat((gradient()[..., 0].astype(np.uint16) * 257)[..., None], 3, axis=2)[..., 0])


def bomb(folder: Path) -> None:
    """107 bytes that claim 14,000 × 14,000 pixels of 16 bits."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    (folder / "in").mkdir()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 14000, 14000, 16, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(4000))) + chunk(b"IEND", b"")
    (folder / "in/a.png").write_bytes(data)


def cut(folder: Path) -> None:
    path = photo(folder)
    path.write_bytes(path.read_bytes()[:60])


def edges_of_edges(folder: Path) -> None:
    photo(folder, "photos/a.png")
    assert cn("detect", "canny", "photos", "in", cwd=folder).returncode == 0


def flying_pixel(folder: Path) -> None:
    depth = np.full((40, 40), 2000, np.uint16)
    depth[20:] = 1000
    depth[0, 0] = 1
    save(folder, depth)


def doubles(folder: Path) -> None:
    save(folder, ramp(1, 2, np.float64), "in/a.tiff")


def portable_float_map(folder: Path) -> None:
    """Bottom row first, little-endian."""
    (folder / "in").mkdir()
    (folder / "in/a.pfm").write_bytes(b"Pf\n8 11\n-1.0\n" + ramp(1, 2, np.float32)[::-1].astype("<f4").tobytes())


def archive(folder: Path) -> None:
    (folder / "in").mkdir()
    np.savez(folder / "in/a.npz", depth=ramp(1, 2, np.float32))


def game_normals(folder: Path) -> None:
    """A wall that faces right, up and the viewer, beside one that faces the viewer; green is down."""
    normals = np.full((9, 18, 3), (128, 128, 255), np.uint8)
    normals[:, :9] = 204, 46, 189
    save(folder, normals)


def labels(*extra: tuple[int, int, int]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        image = np.empty((30, 30, 3), np.uint8)
        image[:10], image[10:] = SKY, ROAD
        for k, color in enumerate(extra):
            image[12:18, 6 * k : 6 * k + 6] = color
        save(folder, image)

    return make


def smeared_labels(folder: Path) -> None:
    labels()(folder)
    image = Image.open(folder / "in/a.png").resize((240, 240), Image.Resampling.NEAREST)
    image.save(folder / "in/a.jpg", quality=70)
    os.unlink(folder / "in/a.png")


PERSON = [x for point in range(18) for x in (20.0 + 2 * point, 30.0 + point, 1.0)]


FACE = {"pose_keypoints_2d": PERSON, "face_keypoints_2d": [9.0, 9, 1] * 70}


def people(*persons: dict[str, Any], **more: Any) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        record = {"canvas_width": 80, "canvas_height": 64, "people": list(persons)} | more
        (folder / "in").mkdir()
        (folder / "in/a.json").write_text(json.dumps(record))

    return make


def first_editor(folder: Path) -> None:
    points = [[20 + 2 * n, 30 + n] for n in range(18)]
    (folder / "in").mkdir()
    (folder / "in/a.json").write_text(json.dumps({"width": 80, "height": 64, "keypoints": points}))


def brackets(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "in/a.json").write_text("[" * 3000)


def lines(background: int, foreground: int) -> np.ndarray:
    image = np.full((64, 64, 3), background, np.uint8)
    image[8::16] = foreground
    return image


def inverted_edges(folder: Path) -> None:
    save(folder, lines(255, 0))


def alpha_lines(folder: Path) -> None:
    image = np.dstack([np.full((64, 64, 3), 255, np.uint8), lines(0, 255)[..., 0]])
    (folder / "in").mkdir()
    Image.fromarray(image).save(folder / "in/a.png")


def real_photograph(folder: Path) -> None:
    save(folder, np.random.default_rng(1).integers(60, 200, (64, 64, 3), np.uint8))


def nearly_black(folder: Path) -> None:
    save(folder, np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16))


def dataset(change: Callable[[Path], None]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        change(write_pairs(folder / "data", 6))

    return make


def halve(data: Path) -> None:
    target = data / "target/3.png"
    target.write_bytes(target.read_bytes()[:60])


def as_array(data: Path) -> None:
    lines = (data / "prompt.json").read_text().splitlines()
    (data / "prompt.json").write_text(f"\ufeff[{','.join(lines)}]")


def without_captions(data: Path) -> None:
    lines = [json.loads(line) for line in (data / "prompt.json").read_text().splitlines()]
    text = "\n".join(json.dumps({k: v for k, v in line.items() if k != "prompt"}) for line in lines)
    (data / "prompt.json").write_text(text)


def of_a1111(folder: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 64x64")
    Image.fromarray(gradient()).save(folder / "a.png", pnginfo=info)
