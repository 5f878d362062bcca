"""The condition images of `cn sample`: read, and what is known about each. Neither torch nor OpenCV, but to detect."""

import codecs
import io
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cn import conditions, images
from cn.conditions import ConditionInfo
from cn.detect.checks import MapFacts, check_photograph
from cn.detect.checks.facts import facts_of
from cn.errors import InputError, about
from cn.images import frames, maps, png_text, reader
from cn.images.reader import ImagePath
from cn.sample.identity import identity


@dataclass(frozen=True)
class Origin:
    """What is known about an image that was given, besides its pixels."""

    info: ConditionInfo | None = None
    """What its PNG states about them."""
    facts: MapFacts | None = None
    """What its file states about them."""
    warnings: tuple[str, ...] = ()
    """What was noticed when it was read."""
    check: bool = True
    """Whether its pixels are to be checked: not those of photographs, and of maps that were checked before."""
    source: str = ""
    """The `identity` of what was given, and what is detected in it; "": that of the image as it is."""


@dataclass(frozen=True)
class ConditionImage:
    """An image that was given for a condition."""

    image: NDArray[np.uint8]
    """(h, w, 3)"""
    name: str
    """What messages call it: its path, or where it came from."""
    kind: str | None = None
    """The kind that its PNG states, or that is to be detected."""
    origin: Origin = field(default_factory=Origin)


def read_condition(
    path: ImagePath,
    *,
    kind: str | None = None,
    follows: str | None = None,
    detect: str | None = None,
    invert: bool = False,
) -> ConditionImage:
    """The condition image of a file ("-": standard input); for `detect` a photograph, in which that is to be detected.

    `kind` is that of the map where its file does not state one, and `follows` the kind that its control follows, where
    that is known: where the image is transparent, it gets the background of its kind. `invert` turns dark lines on
    white into what controls follow, white on black.
    """
    name = reader.display_name(path)
    data = reader.read_bytes(path)
    with about(name):
        _refuse_json(data, name)
        text = png_text.read_text(io.BytesIO(data))
        info = ConditionInfo.from_text(text) if detect is None else None
    warnings = []
    if (count := frames.count_frames(io.BytesIO(data))) > 1:
        warnings.append(f"has {count} frames: only the first is used")
    if detect is not None:
        image = images.decode(data, name)
        warnings += map(str, check_photograph(image, text))
        origin = Origin(warnings=tuple(warnings), check=False, source=identity(image, made=detect))
        return ConditionImage(image, name, conditions.get(detect).kind, origin)
    kind = info.kind if info is not None else kind
    image = maps.decode_map(data, name, kind or follows)
    if invert:
        # What the PNG states is about the map as it was.
        image, info = 255 - image, None
    origin = Origin(info, facts_of(data[:4096]), tuple(warnings), source=identity(image))
    return ConditionImage(image, name, kind, origin)


def stated_condition(image: Any, name: str, info: ConditionInfo | None = None) -> ConditionImage:
    """From an array, an image of Pillow or a path; a path replaces the name, and its file may state what it is."""
    if isinstance(image, str | os.PathLike):
        return read_condition(os.fspath(image))
    return ConditionImage(images.as_rgb(image, name), name, info.kind if info is not None else None, Origin(info))


def detected(image: NDArray[np.uint8], kind: str) -> NDArray[np.uint8]:
    """The map (h, w, 3) RGB of a photograph (h, w, 3) RGB.

    As `cn detect KIND` with its defaults; where the weights of the default network are not here, the method without
    weights. Raises WeightsError where there is none either, and InputError where nothing was found.
    """
    from cn.detect.create import create_detector

    (detection,) = create_detector(kind).detect([image], ["-"])
    if detection.empty:
        raise InputError(f"--detect {kind}: nothing was found in the image")
    made = detection.map
    return np.repeat(made[..., None], 3, axis=2) if made.ndim == 2 else made


def _refuse_json(data: bytes, name: str) -> None:
    """InputError for keypoints, which people give for the pose that they describe."""
    if data[:512].removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"{", b"["):
        raise InputError(f"is JSON, not an image; draw its poses first: cn detect openpose --from-json {name} pose.png")
