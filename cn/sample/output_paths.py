"""Where the images go: every path is chosen and checked before anything slow begins."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from cn import conditions, images
from cn.errors import InputError, UsageError
from cn.files import make_folder
from cn.images.exif_text import FORMATS
from cn.sample import recipes
from cn.sample.comparison import Comparison
from cn.sample.png_metadata import Recipe
from cn.sample.request import SampleRequest

DEFAULT_FOLDER = Path("samples")


@dataclass(frozen=True)
class OutputPaths:
    """One path per image that is to be sampled, in order ("-" is standard output), and the sheet's.

    `requests` are those whose images are sampled or shown on the sheet, and `every` the paths of all of their images;
    `there` are the images of the job that are there already, with their recipes.
    """

    images: tuple[str, ...]
    sheet: Path | None
    requests: tuple[SampleRequest, ...] = ()
    every: tuple[str, ...] = ()
    there: Mapping[str, Recipe] = field(default_factory=dict)

    def warnings(self) -> list[str]:
        """What a user should know before sampling starts."""
        formats = {path: images.format_of(path) for path in self.images if path != "-"}
        others = [path for path, format in formats.items() if format not in ("PNG", *FORMATS)]
        return [f"{path}: only PNG, JPEG and WebP carry the metadata that --from reads" for path in others]


def choose_paths(
    requests: Sequence[SampleRequest],
    out: str | None,
    *,
    grid: bool = False,
    overwrite: bool = False,
    number: bool = False,
    comparison: Comparison | None = None,
) -> OutputPaths:
    """The paths for `--out`: a folder, a file for one image, "-", or None for the folder samples/.

    With `number`, as always without `out`, a number is appended to all names where one of them exists already. Else,
    without `overwrite`, what is there of several files is left as it is, if `comparison` does not refuse it, and a
    single one that is there is an InputError. InputError also for a folder that is not writable, UsageError for several
    images in one file.
    """
    if number and overwrite:
        raise UsageError("--number keeps existing files, and --overwrite replaces them: give one of them")
    total = sum(request.total for request in requests)
    if out == "-":
        if total > 1 or grid:
            raise UsageError("--out - takes one image: no --grid, --count 1 and one --prompt")
        return OutputPaths(("-",), None, tuple(requests), ("-",))
    paths = _named(requests, out, grid, total)
    if number or (out is None and not overwrite):
        paths = _numbered(paths)
    images, sheet = paths[:total], next(iter(paths[total:]), None)
    complete = all(path.exists() for path in paths)
    if not overwrite and any(path.exists() for path in images) and not (total == 1 and complete):
        return _rest(requests, images, sheet, comparison or Comparison())
    _check(paths, requests, overwrite)
    every = tuple(map(str, images))
    return OutputPaths(every, sheet, tuple(requests), every)


def _named(requests: Sequence[SampleRequest], out: str | None, grid: bool, total: int) -> list[Path]:
    """Of `total` images and, with `grid`, of the sheet; `out` is as in `choose_paths`, but for "-"."""
    if out is None or is_folder(out):
        return _names(requests, DEFAULT_FOLDER if out is None else Path(out), grid)
    _check_suffix(out)
    if total > 1:
        raise UsageError(f"--out {out} is one file for {total} images: give a folder")
    return [Path(out), Path(out).with_name(f"{Path(out).stem}-grid.png")][: 1 + grid]


def _rest(
    requests: Sequence[SampleRequest], images: Sequence[Path], sheet: Path | None, comparison: Comparison
) -> OutputPaths:
    """What is left of a job of which some images are there. OtherRecipeError where one has another recipe."""
    paths, there, used, every = iter(images), dict[str, Recipe](), list[SampleRequest](), list[Path]()
    for request in requests:
        wanted = dict(zip(islice(paths, request.total), request.singles(), strict=True))
        found = {path: recipes.read(path) for path in wanted if path.exists()}
        for path, recipe in found.items():
            comparison.refuse(path, recipe, wanted[path])
        there |= {str(path): recipe for path, recipe in found.items()}
        # A sheet shows the conditions of all.
        if sheet is not None or len(found) < len(wanted):
            used.append(request)
            every += wanted
    left = [path for path in images if str(path) not in there]
    if sheet is not None and sheet.exists():
        if left:
            raise InputError(
                "exists already, and cannot show what is to be sampled: remove it, the images stay and a new one is "
                "made of all; or give another --out, or --overwrite to replace everything",
                path=sheet,
            )
        sheet = None
    _check([*left, *([] if sheet is None else [sheet])], requests, overwrite=False)
    return OutputPaths(tuple(map(str, left)), sheet, tuple(used), tuple(map(str, every)), there)


def is_folder(out: str) -> bool:
    """Whether `--out` names a folder: one that is there, or a name without an extension."""
    # A name without an extension is a folder: nobody wants a PNG called "images".
    if not out:
        raise UsageError("--out is empty: give a folder, or a file for one image")
    return Path(out).is_dir() or out.endswith(os.sep) or not Path(out).suffix


def _check_suffix(out: str) -> None:
    """InputError for a file in a format that is not written, with what to do if a folder was meant."""
    try:
        images.format_of(out)
    except InputError as error:
        if Path(out).suffix.lower() not in images.SUFFIXES:
            error.what += f"; if it is to be a folder, write {out}{os.sep}"
        raise


def _names(requests: Sequence[SampleRequest], folder: Path, grid: bool) -> list[Path]:
    """`KIND[-prompt K]-seedN.png` for every image in order, then the sheet's name."""
    several = sum(len(request.prompts) for request in requests) > 1
    names, number = list[str](), 0
    for request in requests:
        for _ in request.prompts:
            number += 1
            prefix = f"{_kinds(request)}-prompt{number}" if several else _kinds(request)
            names += [f"{prefix}-seed{request.seed + i}" for i in range(request.count)]
    names += [f"{_kinds(requests[0])}-seed{requests[0].seed}-grid"] if grid else []
    return [folder / f"{name}.png" for name in names]


def _numbered(paths: list[Path]) -> list[Path]:
    """With `-2`, `-3` … at the ends of all names, the first that leads to no file that exists."""
    found, number = paths, 1
    while any(path.exists() for path in found):
        number += 1
        found = [path.with_name(f"{path.stem}-{number}{path.suffix}") for path in paths]
    return found


def _kinds(request: SampleRequest) -> str:
    # The kind comes from an image file: only a known one may become part of a path.
    kinds = [c.kind if c.kind in conditions.KINDS else Path(c.control).stem or "control" for c in request.conditions]
    return "-".join(kinds or ["base"])


def _check(paths: list[Path], requests: Sequence[SampleRequest], overwrite: bool) -> None:
    given = {name for request in requests for name in inputs_of(request)}
    for path in paths:
        if path.exists() and not overwrite:
            raise InputError(
                "exists already; give another --out, --number to keep it, or --overwrite to replace it", path=path
            )
        if path.exists() and any(Path(name).exists() and path.samefile(name) for name in given):
            raise UsageError("the image would replace its own condition or start; give another --out", path=path)
    for folder in map(make_folder, {path.parent for path in paths}):
        if not os.access(folder, os.W_OK):
            raise InputError("this folder is not writable; give another --out", path=folder)


def inputs_of(request: SampleRequest) -> list[str]:
    """What the request's images are called: paths, where they are files."""
    start = request.start_image
    return [c.name for c in request.conditions] + ([start.name, start.mask_name] if start is not None else [])
