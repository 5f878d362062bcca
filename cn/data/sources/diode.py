"""DIODE's folders: images with measured depth and normals, `NAME.png`, `NAME_depth.npy`, `NAME_normal.npy`."""

import posixpath
from collections.abc import Mapping
from typing import Any

from cn.data.sources.captions import CaptionNames
from cn.data.sources.folder import FolderEntries, describe
from cn.data.sources.listing import Listing, located
from cn.data.sources.request import Found, Request
from cn.detect.surfaces.settings import DEPTH, MASK, NORMALS
from cn.images.formats import SUFFIXES


class _Measured:
    """The measured files of an image, by its key."""

    def __init__(self, root: str, names: set[str]):
        self.root, self.names = root, names

    def __call__(self, key: str) -> tuple[None, Mapping[str, Any]]:
        stem = posixpath.splitext(key)[0]
        endings = {"depth_file": DEPTH, "normal_file": NORMALS}
        found = {name: stem + ending for name, ending in endings.items() if stem + ending in self.names}
        return None, {name: located(self.root, key) for name, key in found.items()}


def recognize(listing: Listing, request: Request) -> Found | None:
    """Images of which at least one has a measured file beside it."""
    numbers = {key for key in listing.with_suffix((".npy",)) if key.endswith((DEPTH, NORMALS, MASK))}
    images = listing.with_suffix(SUFFIXES)
    measured = _Measured(listing.root, numbers)
    extras = [extra for extra in (measured(key)[1] for key in images) if extra]
    if not extras:
        return None
    entries = FolderEntries(listing.root, images, CaptionNames(listing.captions(images)), None, measured)
    found = describe(entries, False, "diode")
    depth, normals = (sum(name in extra for extra in extras) for name in ("depth_file", "normal_file"))
    found.about = f"DIODE's layout: {found.about}, {depth:,} with measured depth, {normals:,} with normals"
    stems = {posixpath.splitext(key)[0] for key in images}
    endings = (DEPTH, NORMALS, MASK)
    found.used |= {stem + ending for stem in stems for ending in endings} & numbers
    return found
