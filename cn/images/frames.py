"""Animations and files of several pages: how many frames there are, and any one of them."""

import io
import os
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image

from cn import errors
from cn.errors import InputError
from cn.images import claims, png_chunks, tiff_pages, unidentified
from cn.images.opening import brands, opened, quietly
from cn.images.pixels import ImageArray, to_rgb
from cn.images.reader import display_name, read_bytes


def frame_count(path: str | os.PathLike[str]) -> int:
    """The number of frames of an animation, or of pages of a TIFF; 1 for a still image.

    Reads headers where that is enough. Previews, masks, thumbnails and depth images that belong to an image, the second
    image of an MPO and the sizes of an icon are no frames. 1 also for a file that cannot be read: reading it says why.
    """
    try:
        with open(path, "rb") as file:
            return count_frames(file)
    except OSError:
        return 1


def count_frames(file: BinaryIO) -> int:
    """`frame_count` of an open file."""
    head = file.read(256)
    file.seek(0)
    if head.startswith(png_chunks.SIGNATURE):
        return max(1, png_chunks.count_frames(file))
    if head.startswith(unidentified.TIFF):
        return max(1, len(tiff_pages.pages(file)))
    animated_webp = head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20:21] != b"" and head[20] & 2
    # Sequences have a brand of their own, but several images in a HEIC have none.
    media = head[4:8] == b"ftyp" and (b"avif" not in brands(head) or b"avis" in brands(head))
    if head.startswith(b"GIF8") or animated_webp or media:
        try:
            with opened(file.read()) as image:
                return max(1, getattr(image, "n_frames", 1))
        except InputError:
            file.seek(0)
            return _count_until_broken(file.read())
    return 1


def _count_until_broken(data: bytes) -> int:
    """The frames of an animation that is broken, with the first one that is: reading that one says so."""
    count = 0
    try:
        with opened(data) as image, quietly():
            while True:
                image.seek(count)
                count += 1
    except InputError:
        return max(1, count + (count > 1))


def read_frame(path: str | os.PathLike[str], number: int) -> ImageArray:
    """Frame `number` (from 0) as RGB: uint8 (h, w, 3), upright, as it is shown, over white; see `cn.images.read`.

    In most formats a frame builds on those before it: use `frames` for all of them. Raises InputError when the file
    cannot be read or has no such frame.
    """
    for found, image in _frames(read_bytes(path), display_name(path), range(number, number + 1)):
        if found == number:
            return image
    raise InputError(f"has no frame {number + 1}", path=display_name(path))


def frames(path: str | os.PathLike[str]) -> Iterator[tuple[int, ImageArray]]:
    """(number, image) of all frames in order, each as `read_frame` gives it, decoded once.

    Raises InputError at the frame that is broken, after those before it.
    """
    return _frames(read_bytes(path), display_name(path), None)


def _frames(data: bytes, name: str, numbers: range | None) -> Iterator[tuple[int, ImageArray]]:
    with errors.about(name):
        count = count_frames(io.BytesIO(data))
        with opened(data) as image:
            positions = tiff_pages.pages(io.BytesIO(data)) if image.format == "TIFF" else range(count)
            for number in range(count) if numbers is None else numbers:
                if number >= count:
                    return
                yield number, _frame(data, image, positions[number] if count > 1 else None)


def _frame(data: bytes, image: Image.Image, position: int | None) -> ImageArray:
    if position is not None:
        with quietly():
            image.seek(position)
        claims.check(data, image)
    with quietly():
        return to_rgb(image)
