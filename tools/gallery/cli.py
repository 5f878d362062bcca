"""The command line of the tools that make figures: which ones, where, and what to do about missing weights."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cn.conditions import KINDS
from cn.errors import CnError, ExitCode
from tools.gallery.figure import Figure, Settings
from tools.gallery.make import Maker, missing


@dataclass(frozen=True)
class Tool:
    """A set of figures: their default folders, and what is done with the documentation when one is made."""

    program: str
    figures: Mapping[str, Figure]
    out: Path
    work: Path
    write_pages: Callable[[], None]

    def run(self, words: Sequence[str] | None = None) -> int:
        """Make the figures that are not there or not of the weights that are here; returns an exit status of `cn`."""
        arguments = self._parser().parse_args(words)
        chosen = [self.figures[name] for name in arguments.only or self.figures]
        lacking = {figure.name: missing(figure) for figure in chosen}
        lost = [kind for kind in KINDS if any(kind in kinds for kinds in lacking.values())]
        if lost and not arguments.preview and not arguments.dry_run:
            _say(f"no bundled controls for {', '.join(lost)}: --preview makes the other figures")
            return ExitCode.WEIGHTS
        usable = tuple(kind for kind in KINDS if kind not in lost) if arguments.preview else None
        maker = Maker(arguments.out, arguments.work, Settings(arguments.seeds, arguments.steps, usable))
        total = 0
        for figure in chosen:
            if lacking[figure.name] and not (arguments.preview and figure.some):
                _say(f"{figure.name}: left out, no control for {', '.join(lacking[figure.name])}")
                continue
            try:
                total += self._make(figure, maker, dry_run=arguments.dry_run)
            except CnError as error:
                _say(str(error))
                return error.exit_code
        if not arguments.dry_run:
            self._write_pages(maker)
        _say(f"{total} samples {'to make' if arguments.dry_run else 'made'}")
        return ExitCode.OK

    def _make(self, figure: Figure, maker: Maker, *, dry_run: bool) -> int:
        """Make a figure, unless it is there; returns the number of its samples."""
        plan, digest = maker.plan(figure)
        if maker.is_made(figure, digest):
            _say(f"{figure.name}: there already")
            return 0
        _say(f"{figure.name}: {plan.samples} samples")
        if not dry_run:
            print(maker.make(figure), flush=True)
            self._write_pages(maker)
        return plan.samples

    def _write_pages(self, maker: Maker) -> None:
        # Images elsewhere, of a trial, are not those of the documentation.
        if maker.out.resolve() == self.out:
            self.write_pages()

    def _parser(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(prog=f"python -m {self.program}")
        names = ", ".join(self.figures)
        parser.add_argument("--out", type=Path, default=self.out, help="folder of the images (default: %(default)s)")
        parser.add_argument("--work", type=Path, default=self.work, help="folder of the samples (default: %(default)s)")
        parser.add_argument("--only", action="append", choices=self.figures, metavar="NAME", help=f"one of {names}")
        parser.add_argument("--seeds", type=int, metavar="N", help="images for each prompt, where a figure has seeds")
        parser.add_argument("--steps", type=int, metavar="N", help="steps of the sampler (default: that of cn sample)")
        parser.add_argument("--preview", action="store_true", help="leave out what the weights here cannot show")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be sampled")
        return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
