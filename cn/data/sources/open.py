"""`open_source`: what SRC is, whatever people have."""

from collections.abc import Callable, Mapping, Sequence

from cn.data.sources import diode, folder, kohya, lists, pairs, parquet, standard_input, videos, webdataset
from cn.data.sources.columns import check_columns
from cn.data.sources.listing import Listing, list_source, suffix
from cn.data.sources.own import own_files
from cn.data.sources.request import Found, Request, counted
from cn.data.sources.sample import Source
from cn.detect.run.left_out import LeftOut, nothing
from cn.errors import InputError, UsageError
from cn.images.formats import SUFFIXES, VIDEO_SUFFIXES
from cn.text import first_names

_Recognizer = Callable[[Listing, Request], Found | None]

RECOGNIZERS: Mapping[str, _Recognizer] = {
    "prompt.json": pairs.recognize,
    "imagefolder": lists.recognize_metadata,
    "webdataset": webdataset.recognize,
    "parquet": parquet.recognize,
    "kohya": kohya.recognize,
    "diode": diode.recognize,
    "list": lists.recognize_list,
    "folder": folder.recognize,
    "video": videos.recognize,
}
"""By the names of layouts, the more specific ones first: the first that recognizes a source reads it."""

_ARCHIVES = (".zip", ".7z", ".rar", ".zst")

_PLAN = "/build/plan.json"
"""What every dataset of `cn dataset build` has."""

_TAKES = {
    "columns": ("imagefolder", "parquet", "list", "prompt.json"),
    "images": ("imagefolder", "list", "kohya", "prompt.json"),
    "conditions": ("folder", "kohya", "imagefolder", "list"),
}
"""The layouts that each option is for."""

LAYOUTS = (*RECOGNIZERS,)
"""What `--layout` can be."""


def open_source(
    src: str,
    *,
    results: Sequence[str] = (),
    recursive: bool = True,
    columns: Mapping[str, str] | None = None,
    images: str | None = None,
    layout: str | None = None,
    conditions: str | None = None,
    fps: float | None = None,
    frames: str | None = None,
    stdin_paths: Sequence[str | bytes] | None = None,
) -> Source:
    """The samples of SRC: a folder, a file, a pattern (`*`, `{000..012}`), a URL, or "-" with `stdin_paths`.

    `results`: folders that are left out. `columns`: names of columns by what they hold ("image", "caption",
    "condition", or a kind). `images`: the folder that paths in lists are relative to. `layout`: one of `LAYOUTS`, where
    it shall not be recognized. `conditions`: a folder of condition maps with the names of the images. `fps` and
    `frames`: of videos, as for `cn detect`. Nothing is read but what says which samples there are. Raises InputError
    where there is nothing to read, UsageError for options that do not fit.
    """
    request = Request(src, results, recursive, columns or {}, images, layout, conditions, fps, frames)
    check_columns(request.columns)
    if layout is not None and layout not in LAYOUTS:
        raise UsageError(f"--layout {layout}: choose one of {', '.join(LAYOUTS)}")
    if src == "-":
        if stdin_paths is None:
            raise UsageError("SRC is '-', but nothing is piped in")
        found, left_out = standard_input.recognize(stdin_paths, request), LeftOut()
    else:
        listing = list_source(request)
        datasets = _without_datasets(listing)
        found = _recognized(listing, request)
        used = found.used | own_files(listing)
        unused = [key for key in listing.keys if key not in used]
        found.about += _besides(unused) + datasets
        if found.layout not in _TAKES["columns"]:
            found.warnings += lists.unused(unused)
        listing.leave_out(unused)
        left_out = listing.left_out
    videos.check_request(request, found.parts)
    _check_options(request, found)
    return Source(found.layout, found.about, found.parts, left_out, tuple(found.warnings))


def _without_datasets(listing: Listing) -> str:
    """Leave out what builds have written into folders of a source that has other images, and say so."""
    folders = sorted(key.removesuffix(_PLAN) for key in listing.keys if key.endswith(_PLAN))
    inside = tuple(f"{folder}/" for folder in folders)
    rest = [key for key in listing.keys if not key.startswith(inside)] if folders and listing.whole else []
    if not any(suffix(key) in SUFFIXES for key in rest):
        return ""
    listing.keys[:] = rest
    return f"; not used: what was built in {first_names(folders, 5)}"


def _recognized(listing: Listing, request: Request) -> Found:
    for name, recognize in RECOGNIZERS.items():
        if request.layout in (None, name) and (found := recognize(listing, request)) is not None:
            return found
    listing.leave_out(listing.keys)
    if request.layout is not None:
        raise InputError(f"is not of the layout {request.layout}", path=request.src)
    packed = "; unpack it first" if any(suffix(key) in _ARCHIVES for key in listing.keys) else ""
    raise InputError(nothing("no images in it", listing.left_out) + packed, path=request.src)


def _check_options(request: Request, found: Found) -> None:
    """UsageError for options that the layout that was recognized has no use for."""
    options = {"columns": "--column", "images": "--images", "conditions": "--conditions"}
    for name, option in options.items():
        if getattr(request, name) and found.layout not in _TAKES[name]:
            layouts = ", ".join(_TAKES[name])
            what = f"{option} is for the layouts {layouts}; this is {found.about}"
            raise UsageError(what, path=request.src)


def _besides(unused: Sequence[str]) -> str:
    """What else is there that could have been read, in words."""
    sorts = {"image": SUFFIXES, "video": VIDEO_SUFFIXES, "tar": {".tar"}}
    numbers = {noun: sum(suffix(key) in suffixes for key in unused) for noun, suffixes in sorts.items()}
    words = ", ".join(counted(number, noun) for noun, number in numbers.items() if number)
    return f"; not used: {words}" if words else ""
