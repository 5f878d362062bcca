"""The gallery: `python -m tools.gallery` makes the figures of docs/gallery.md."""

import sys
from collections.abc import Sequence

from tools.gallery import page
from tools.gallery.cli import Tool
from tools.gallery.sections import FIGURES, SECTIONS

OUT = page.ROOT / "docs/gallery"


def main(words: Sequence[str] | None = None) -> int:
    """Make what is not there, and write it into the page."""
    work = page.ROOT / "build/gallery"
    return Tool("tools.gallery", FIGURES, OUT, work, lambda: page.write_gallery(SECTIONS, OUT)).run(words)


if __name__ == "__main__":
    sys.exit(main())
