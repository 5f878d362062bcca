"""What worker processes do: decode an image with its maps once, and apply all rules to them."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cn.conditions import KINDS, ConditionInfo
from cn.data.lint import depth_checks, image_checks, registration
from cn.data.lint.contents import Image, Item, View
from cn.data.lint.finding import Finding
from cn.data.lint.image_checks import Photo
from cn.data.lint.map_checks import map_fault
from cn.data.lint.names import other_case
from cn.data.near_duplicates import Fingerprint, digest, fingerprint
from cn.detect.checks.facts import facts_of
from cn.errors import InputError
from cn.images import png_text
from cn.images.maps import decode_map
from cn.images.reader import read_bytes

_ASPECT_TOLERANCE = 0.02
"""As in training (`cn.data.folder`)."""

Pixels = NDArray[np.uint8]


@dataclass
class Examined:
    """What was found out about an image and its maps."""

    findings: list[Finding] = field(default_factory=list)
    fingerprint: Fingerprint | None = None
    size: tuple[int, int] | None = None
    """(width, height)"""
    depth: list[tuple[View, bytes]] = field(default_factory=list)
    """`depth_checks.coarse` of each depth map that is right otherwise."""


@dataclass(frozen=True)
class Examiner:
    """Called with images, it examines them. `images_only` leaves their maps out."""

    images_only: bool = False
    register: bool = True
    """Whether to measure how maps lie on their images, which takes most of the time."""

    def __call__(self, items: Sequence[Item]) -> list[Examined]:
        return [self.examine(item) for item in items]

    def examine(self, item: Item) -> Examined:
        """One image with its maps."""
        result = Examined()
        first, *further = item.lines
        try:
            data = read_bytes(item.target)
            photo = image_checks.decode(data, str(item.target))
        except InputError as error:
            result.findings.append(_unreadable(error, item.target, first, tuple(further), None))
            photo, data = None, b""
        if photo is not None:
            height, width = photo.pixels.shape[:2]
            result.size = width, height
            fault = image_checks.image_fault(photo)
            if fault is not None:
                rule, text = fault
                result.findings.append(Finding(rule, first, text, str(item.target), also=tuple(further)))
            if fault is None or fault[0] != "blank-image":
                result.fingerprint = fingerprint(data, photo.pixels)
        if not self.images_only:
            for view in item.views:
                self._view(view, item, photo, data, result)
        return result

    def _view(self, view: View, item: Item, photo: Photo | None, data: bytes, result: Examined) -> None:
        def found(rule: str, text: str, **values: object) -> None:
            result.findings.append(Finding(rule, view.where, text, str(view.source), kind, values=values))

        kind = view.kind if view.kind in KINDS else None
        try:
            raw = read_bytes(view.source)
            info = _info(raw)
            # A map that says what it is needs no --cond.
            kind = kind or (info.kind if info is not None and info.kind in KINDS else None)
            map = decode_map(raw, str(view.source), kind)
        except InputError as error:
            result.findings.append(_unreadable(error, view.source, view.where, (), kind))
            return
        if view.source == item.target or (photo is not None and digest(raw) == digest(data)):
            found("same-file", "is the image itself, not a map of it; leave the pair out, or detect its map")
            return
        fault = map_fault(map, kind, info, facts_of(raw[:4096]))
        if fault is not None:
            found(*fault)
        elif kind == "depth":
            result.depth.append((view, depth_checks.coarse(map)))
        if photo is None:
            return
        if (misfit := self._frame(map, photo, kind)) is not None:
            rule, text = misfit
            found(rule, text)
            if rule != "size":
                return
        # Nothing lies on an image of one color, which has no fingerprint.
        if fault is None and self.register and result.fingerprint is not None:
            self._registration(map, photo, kind, found)

    def _frame(self, map: Pixels, photo: Photo, kind: str | None) -> tuple[str, str] | None:
        """What is wrong with the size of a map."""
        (mh, mw), (ih, iw) = map.shape[:2], photo.pixels.shape[:2]
        if (mh, mw) == (ih, iw):
            return None
        sizes = f"is {mw}×{mh}, its image {iw}×{ih}"
        if abs(mw * ih / (mh * iw) - 1) <= _ASPECT_TOLERANCE:
            return "size", f"{sizes}: the map is resized, which breaks fine lines; detect it at the image's size"
        if photo.orientation >= 5 and abs(mh * ih / (mw * iw) - 1) <= _ASPECT_TOLERANCE:
            return "exif-rotation", _exif_text(photo, f"{sizes}: ")
        return "frame", f"{sizes}: not the same frame; detect the map again from this image"

    def _registration(self, map: Pixels, photo: Photo, kind: str | None, found: Callable[..., None]) -> None:
        fit = registration.measure(map, photo.pixels, kind)
        if fit is None:
            return
        if photo.orientation != 1:
            turned = image_checks.turned_upright(map, photo.orientation)
            if turned.shape[:2] == map.shape[:2]:
                score = registration.score_of_turn(turned, photo.pixels, kind)
                if score - fit.best >= registration.TURN_MARGIN and score >= registration.GOOD:
                    found("exif-rotation", _exif_text(photo, ""))
                    return
        misfit = registration.misfit(fit, kind, min(photo.pixels.shape[:2]))
        if misfit is not None:
            shift = {} if misfit.shift is None else {"shift": list(misfit.shift)}
            found(misfit.rule, misfit.text, **shift)


def _exif_text(photo: Photo, sizes: str) -> str:
    return (
        f"{sizes}its image is turned by its EXIF orientation ({photo.orientation}), and the map is not; detect the map "
        "again with cn detect, or store the image turned"
    )


def _unreadable(error: InputError, path: Image, where: str, also: tuple[str, ...], kind: str | None) -> Finding:
    """The finding for a file that is missing or cannot be decoded."""
    name = str(path)
    if error.what == "no such file":
        other = other_case(name) if isinstance(path, Path) else None
        hint = f" (there is {other}, in another case)" if other is not None else ""
        return Finding("missing", where, f"is missing{hint}; bring it back, or leave the pair out", name, kind, also)
    return Finding("broken", where, f"{error.what}; replace it, or leave the pair out", name, kind, also)


def _info(data: bytes) -> ConditionInfo | None:
    """What a PNG states about its map; None where it states nothing, or its text is damaged."""
    try:
        return ConditionInfo.from_text(png_text.read_text(io.BytesIO(data)))
    except InputError:
        return None
