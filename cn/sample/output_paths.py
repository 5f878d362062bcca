"""Where the images go: every path is chosen and checked before anything slow begins."""

import os
from dataclasses import dataclass
from pathlib import Path

from cn import conditions, images
from cn.errors import InputError, UsageError
from cn.files import make_folder
from cn.sample.request import SampleRequest

DEFAULT_FOLDER = Path("samples")


@dataclass(frozen=True)
class OutputPaths:
    """One path per image, in the order of the samples ("-" is standard output), and the sheet's."""

    images: tuple[str, ...]
    sheet: Path | None

    def warnings(self) -> list[str]:
        """What a user should know before sampling starts."""
        others = [path for path in self.images if path != "-" and images.format_of(path) != "PNG"]
        return [f"{path}: only a PNG carries the metadata that --from reads" for path in others]


def choose_paths(
    request: SampleRequest, out: str | None, *, grid: bool = False, overwrite: bool = False
) -> OutputPaths:
    """The paths for `--out`: a folder, a file for one image, "-", or None for the folder samples/.

    Without `out` a number is appended to names that exist already; with it, an existing file is an InputError unless
    `overwrite`. InputError also for a folder that is not writable, UsageError for several images in one file.
    """
    total = len(request.prompts) * request.count
    if out == "-":
        if total > 1 or grid:
            raise UsageError("--out - takes one image: no --grid, --count 1 and one --prompt")
        return OutputPaths(("-",), None)
    if out is None:
        paths = _names(request, DEFAULT_FOLDER, "", grid)
        number = 1
        while not overwrite and any(path.exists() for path in paths):
            number += 1
            paths = _names(request, DEFAULT_FOLDER, f"-{number}", grid)
    elif _is_folder(out):
        paths = _names(request, Path(out), "", grid)
    else:
        _check_suffix(out)
        if total > 1:
            raise UsageError(f"--out {out} is one file for {total} images: give a folder")
        paths = [Path(out), Path(out).with_name(f"{Path(out).stem}-grid.png")][: 1 + grid]
    _check(paths, request, overwrite)
    return OutputPaths(tuple(str(path) for path in paths[:total]), paths[total] if grid else None)


def _is_folder(out: str) -> bool:
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


def _names(request: SampleRequest, folder: Path, suffix: str, grid: bool) -> list[Path]:
    """`KIND[-prompt K]-seedN.png` for every image in order, then the sheet's name."""
    # The kind comes from an image file: only a known one may become part of a path.
    kinds = [
        c.kind if c.kind in conditions.KINDS else Path(c.control).stem or "control" for c in request.conditions
    ] or ["base"]
    kind, several = "-".join(kinds), len(request.prompts) > 1
    prefixes = [f"{kind}-prompt{k + 1}" if several else kind for k in range(len(request.prompts))]
    names = [f"{prefix}-seed{request.seed + i}" for prefix in prefixes for i in range(request.count)]
    names += [f"{kind}-seed{request.seed}-grid"] if grid else []
    return [folder / f"{name}{suffix}.png" for name in names]


def _check(paths: list[Path], request: SampleRequest, overwrite: bool) -> None:
    for path in paths:
        if path.exists() and not overwrite:
            raise InputError("exists already; give another --out, or --overwrite to replace it", path=path)
        if path.exists() and any(Path(name).exists() and path.samefile(name) for name in _inputs(request)):
            raise UsageError("the image would replace its own condition or start; give another --out", path=path)
    folder = make_folder(paths[0].parent)
    if not os.access(folder, os.W_OK):
        raise InputError("this folder is not writable; give another --out", path=folder)


def _inputs(request: SampleRequest) -> list[str]:
    """What the request's images are called: paths, where they are files."""
    start = request.start_image
    return [c.name for c in request.conditions] + ([start.name, start.mask_name] if start is not None else [])
