"""Small images and files of images for tests."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

RED, GREEN, BLUE = (250, 10, 20), (10, 250, 20), (20, 10, 250)


def corners(height: int = 6, width: int = 8) -> np.ndarray:
    """Three colors in the corners on gray, so that every rotation shows."""
    array = np.full((height, width, 3), 128, np.uint8)
    array[0, 0], array[0, -1], array[-1, 0] = RED, GREEN, BLUE
    return array


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def png(width: int, height: int, depth: int, color_type: int, rows: bytes, extra: bytes = b"") -> bytes:
    """The bytes of a PNG that Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
