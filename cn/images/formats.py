"""Which files are images: by suffix, without opening them. Imports neither NumPy nor Pillow."""

import os
from importlib.util import find_spec
from pathlib import PurePath

from cn.errors import InputError

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".heics", ".heifs", ".hif"})
JXL_SUFFIXES = frozenset({".jxl"})

PLUGINS = {"heif": ("HEIC", "pillow_heif", HEIF_SUFFIXES), "jxl": ("JPEG XL", "pillow_jxl", JXL_SUFFIXES)}
"""Of each extra that brings a decoder: the format's name, the module, and the suffixes."""

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"}
    | {".avif", ".avifs", ".jp2", ".j2k", ".jpx", ".jpf", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico"}
).union(*(suffixes for _, module, suffixes in PLUGINS.values() if find_spec(module)))
"""Suffixes (lower case) of the files in a folder that count as images: those that the installed decoders read."""

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".3gp", ".mts", ".m2ts"}
)
"""Suffixes (lower case) of the files that `cn.images.video` reads."""

_NUMBERS = frozenset({".exr", ".pfm", ".npz", ".npy"})
MEASURED_SUFFIXES = _NUMBERS | {".png", ".tif", ".tiff"}
"""Suffixes (lower case) of the files that `cn.images.pixel_values` reads: measured or rendered depth and normals."""
_RAW = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".gpr", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef"}
    | {".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)
_EXPORT = frozenset(
    {".afphoto", ".clip", ".cur", ".dcm", ".dcx", ".dds", ".djvu", ".fit", ".fits", ".icns", ".jls", ".jxr", ".kra"}
    | {".ora", ".pcx", ".pict", ".psb", ".psd", ".qoi", ".ras", ".sgi", ".rgb", ".wdp", ".xbm", ".xcf", ".xpm", ".bpg"}
)
_DRAWINGS = frozenset({".ai", ".cdr", ".emf", ".eps", ".pdf", ".ps", ".svg", ".svgz", ".wmf"})

RAW_ADVICE = "is a camera's raw file; develop it to PNG or TIFF first"
NUMBERS_ADVICE = "holds numbers, not an image; `cn detect depth --from-depth` reads it"


def unread(name: str) -> str | None:
    """What to do with a file that looks like an image by its name, or holds numbers like one, but is not read as one.

    None for a file that `cn.images.read` takes, for a video, and for a name that does not look like an image.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix in SUFFIXES:
        return None
    for extra, (format, _module, suffixes) in PLUGINS.items():
        if suffix in suffixes:
            return plugin_advice(format, extra)
    if suffix in _NUMBERS:
        return NUMBERS_ADVICE
    if suffix in _RAW:
        return RAW_ADVICE
    if suffix == ".hdr":
        return "is an image of high dynamic range; tone-map it to PNG or JPEG first"
    if suffix in _EXPORT:
        return f"{suffix} images are not read; export it as PNG or TIFF first"
    if suffix in _DRAWINGS:
        return f"{suffix} is a document or drawing; export it as PNG first"
    return None


def plugin_advice(format: str, extra: str) -> str:
    """What to do about an image whose decoder is not installed."""
    return f'reading {format} images needs an extra: pip install "controlnet-cn[{extra}]"'


_WRITTEN = {
    "": "PNG",
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""Pillow's names of the formats that are written, by suffix."""


def format_of(path: str | os.PathLike[str]) -> str:
    """Pillow's name of the format of `path`'s suffix, PNG without one; InputError for a format that is not written."""
    suffix = PurePath(path).suffix.lower()
    if suffix not in _WRITTEN:
        raise InputError(f"cannot write {suffix} images; use .png, .jpg or .webp", path=path)
    return _WRITTEN[suffix]
