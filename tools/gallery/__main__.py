"""The gallery: `python -m tools.gallery` makes the figures that are not there or not of today's weights."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cn.conditions import KINDS
from cn.errors import CnError
from tools.gallery import free, kinds, page, uses
from tools.gallery.figure import Figure, Settings
from tools.gallery.make import Maker, missing

OUT = page.ROOT / "docs/gallery"
WORK = page.ROOT / "build/gallery"

_many, _scenes = kinds.FIGURES[: len(KINDS)], kinds.FIGURES[len(KINDS) :]
_by_name = {figure.name: figure for figure in (*uses.FIGURES, *free.FIGURES)}

SECTIONS: dict[str, tuple[Figure, ...]] = {
    "One condition, many prompts": _many,
    "Poses": tuple(_by_name[name] for name in ("poses", "groups", "stick-figures")),
    "All conditions of one scene": _scenes,
    "Editing and control": tuple(_by_name[name] for name in ("masked", "half", "prompt-settings", "two-controls")),
    "Input from elsewhere": tuple(_by_name[name] for name in ("drawings", "depth-render")),
    "The base alone": (_by_name["captions"],),
}
"""The headings of docs/gallery.md, in order, and their figures."""

FIGURES: dict[str, Figure] = {figure.name: figure for figures in SECTIONS.values() for figure in figures}


def main(words: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(words)
    chosen = [FIGURES[name] for name in arguments.only or FIGURES]
    lacking = {figure.name: missing(figure) for figure in chosen}
    if any(lacking.values()) and not arguments.preview and not arguments.dry_run:
        needed = sorted({kind for kinds in lacking.values() for kind in kinds}, key=KINDS.index)
        _say(
            f"there are no scene maps or no bundled controls for {', '.join(needed)}; --preview makes the other figures"
        )
        return 4
    made_of = None
    if arguments.preview:
        made_of = tuple(kind for kind in KINDS if kind not in {kind for kinds in lacking.values() for kind in kinds})
    maker = Maker(arguments.out, arguments.work, Settings(arguments.seeds, arguments.steps, made_of))
    total = 0
    for figure in chosen:
        if lacking[figure.name] and not (arguments.preview and figure.some):
            _say(f"{figure.name}: left out, there is no scene map or no control for {', '.join(lacking[figure.name])}")
            continue
        plan, digest = maker.plan(figure)
        if maker.is_made(figure, digest):
            _say(f"{figure.name}: there already")
            continue
        total += plan.samples
        _say(f"{figure.name}: {plan.samples} samples")
        if not arguments.dry_run:
            try:
                print(maker.make(figure), flush=True)
            except CnError as error:
                _say(str(error))
                return int(error.exit_code)
            _write_page(arguments.out)
    _say(f"{total} samples {'to make' if arguments.dry_run else 'in all'}")
    if not arguments.dry_run:
        _write_page(arguments.out)
    return 0


def _write_page(out: Path) -> None:
    # Images elsewhere, of a trial, are not those of the page.
    if out.resolve() == OUT:
        page.write_page(SECTIONS, out)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.gallery", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the images (default: docs/gallery)")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the samples (default: build/gallery)")
    parser.add_argument("--only", action="append", choices=FIGURES, metavar="NAME", help=f"one of {', '.join(FIGURES)}")
    parser.add_argument("--seeds", type=int, metavar="N", help="images for each prompt, where a figure has seeds")
    parser.add_argument("--steps", type=int, metavar="N", help="steps of the sampler (default: that of cn sample)")
    parser.add_argument("--preview", action="store_true", help="leave out what the weights that are here cannot show")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be sampled")
    return parser


if __name__ == "__main__":
    sys.exit(main())
